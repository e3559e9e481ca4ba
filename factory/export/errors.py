"""What can go wrong with an export."""


class ExportError(Exception):
    """An export that cannot be made: why, and what to do."""
