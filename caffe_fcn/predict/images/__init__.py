"""Pictures read from files, a piece at a time."""
