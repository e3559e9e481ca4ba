"""Tests of whether a judge is fit: the same is asked again in a way that must not change the answer, or that must.

Each test is a function that gives a `Finding`. Answers are asked for one at a time, at temperature 0, with the job's
own questions and frame, so what changes is due to what was changed. Limitations: a judge that passes may still be
wrong; only labelled pairs say how often it is right. The words that are put in are English.
"""
