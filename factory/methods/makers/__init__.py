"""Makers: methods that write a row."""
