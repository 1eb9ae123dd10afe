"""The command line: its one definition, and what is made from it."""
