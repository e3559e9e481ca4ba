"""A corpus of every kind of thing that is exported, made by the real stages around scripted models."""

from __future__ import annotations

import pytest

from factory.spec.job import Job
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds

TEMPLATE = """\
{% block system %}You are someone.{% for fact in facts %} {{ fact }}{% endfor %} Talk of {{ topic }}.{% endblock %}
{% block user %}Begin.{% endblock %}
"""


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """100 dialogues of 50 personas, two of each pair, in shards of 3; four candidates a turn, chosen by models that
    can be opened; a prompt of the job's own."""
    folder = tmp_path_factory.mktemp("exported")
    write_seeds(folder, some_personas(50))
    (folder / "own.j2").write_text(TEMPLATE, encoding="utf-8")
    made = job_in(
        folder, "pairing.samples=2", "models.nli.name=nli-small", "models.embedding.name=minilm",
        "makers.converse.candidates=4", "makers.converse.turns=4", "makers.converse.relevance=-1",
        "makers.converse.topics=[hens]", "makers.converse.prompt=own.j2", "makers.augment.probability=1",
        "makers.extract.min_similarity=0.3",
        'select={reject: {contradicted: "consistency.contradicted_share > 0.1"}}',
    )  # fmt: skip
    Rehearsal().run(made)
    return made
