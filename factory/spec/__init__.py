"""The job file: what the corpus should be."""
