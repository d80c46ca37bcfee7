"""Reports for people and documents for programs."""
