"""The command line: one command a file, no logic of its own. Importing it must stay cheap."""
