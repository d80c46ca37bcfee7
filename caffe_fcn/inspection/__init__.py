"""What is known about a net and its weights without running it: for the command `inspect` and for the report page."""
