"""Weights of the small models that persona-factory opens by name; each folder has a card."""
