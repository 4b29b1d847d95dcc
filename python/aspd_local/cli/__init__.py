"""The command line: what a person types and sees. All printing of the package is here."""
