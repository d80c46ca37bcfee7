"""What the program tells: reports for people, documents for programs."""
