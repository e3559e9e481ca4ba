"""Persona factory: persona seeds in, a consistent dialogue corpus out.

>>> from factory import Corpus, load_job, plan, run
>>> job = load_job("jobs/quickstart.yaml", ["makers.converse.turns=6"])
>>> plan(job).summary.rows
24
>>> run(job).committed
24
>>> accepted = [row for row in Corpus(job.corpus).rows() if row.decision == "accept"]
"""

from factory.base.starting import prepare

prepare()

from factory.planning.plan import plan  # noqa: E402
from factory.running.run import run  # noqa: E402
from factory.spec.job import Job  # noqa: E402
from factory.spec.jobfile import load_job  # noqa: E402
from factory.store.corpus import Corpus  # noqa: E402

__all__ = ["Corpus", "Job", "load_job", "plan", "run"]
