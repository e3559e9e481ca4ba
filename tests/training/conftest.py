"""Hypothesis without deadlines: the first draw reads the tables."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("training", deadline=None, max_examples=50)
settings.load_profile("training")
