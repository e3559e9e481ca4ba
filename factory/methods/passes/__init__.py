"""Corpus passes: methods that see many rows, and write a column of their own like a score."""
