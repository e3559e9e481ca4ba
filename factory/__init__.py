"""Persona factory: persona seeds in, a consistent dialogue corpus out.

>>> from factory import Corpus, load_job, plan, run
>>> job = load_job("jobs/quickstart.yaml", ["stages.converse.turns=6"])
>>> plan(job).summary.rows
24
>>> run(job).committed
24
>>> accepted = [row for row in Corpus(job.corpus).rows() if row.decision == "accept"]
"""

from factory.corpus import Corpus
from factory.job import Job
from factory.jobfile import load_job
from factory.plan import plan
from factory.run import run

__all__ = ["Corpus", "Job", "load_job", "plan", "run"]
