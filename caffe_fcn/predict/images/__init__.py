"""Reads pictures from files, one piece at a time."""
