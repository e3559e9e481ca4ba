"""Scores: methods that measure a row, in no order but that of what they read."""

PARTS = {
    "name": "what a job file calls it",
    "version": "a whole number, raised when the code would measure something else for the same inputs",
    "Params": "its parameters, a `factory.methods.Params` with the literal of its name as `method`",
    "reads": "the fields it reads",
    "columns": "the values of a dialogue that it fills",
    "details": "what the values of each kind of detail are",
    "needs": "the kinds of models it asks",
    "calls": "how many calls rows take",
    "score": "measures a row",
}
"""What each class has, and what it is for."""

TAKEN: frozenset[str] = frozenset()
