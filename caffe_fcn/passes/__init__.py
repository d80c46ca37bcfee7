"""What is done to a net with its weights: one pass a file, a package where it needs more."""
