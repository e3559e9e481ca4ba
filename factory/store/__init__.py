"""The corpus on disk: rows, dead letters, versions."""
