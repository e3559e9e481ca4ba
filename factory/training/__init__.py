"""Training: language models on a corpus, NLI classifiers on labelled pairs, and the two bundled models from nothing."""


class TrainingError(Exception):
    """A training that cannot begin or go on: why, and what to do."""
