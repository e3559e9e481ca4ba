"""Makers: methods that write a row, in the order in which the job file has them."""

PARTS = {
    "name": "what a job file calls it",
    "version": "a whole number, raised when the code would write something else for the same inputs",
    "Params": "its parameters, a `factory.methods.Params` with the literal of its name as `method`",
    "reads": "the fields it reads",
    "writes": "the fields it writes",
    "of_imported": "whether dialogues that already exist pass it",
    "needs": "the kinds of models it asks",
    "calls": "how many calls rows take",
    "clear": "takes off a row what it wrote",
    "run": "writes its part of a row",
}
"""What each class has, and what it is for."""

TAKEN: frozenset[str] = frozenset()
