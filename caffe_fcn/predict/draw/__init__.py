"""Draws maps over their pictures."""
