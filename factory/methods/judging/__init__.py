"""Judging: a question put to a language model about a part of a dialogue, its answers, and what they agree on.

Apart from the score that uses it, so that whatever compares texts or corpora can ask and settle alike.
"""
