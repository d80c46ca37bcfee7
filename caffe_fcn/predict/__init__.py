"""Runs nets on pictures: preprocessing, answers and their positions, reports and drawings."""
