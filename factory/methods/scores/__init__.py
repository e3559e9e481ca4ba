"""Scores: methods that measure a row."""
