"""Runs nets on pictures: preprocessing, answers and their places, reports and drawings."""
