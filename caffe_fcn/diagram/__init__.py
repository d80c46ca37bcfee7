"""Drawings of nets: what is drawn, where it lies, and SVG, PNG and DOT made of it."""
