"""What holds of every source that is found. The example in its docstring makes one that is named `source`."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from factory.methods.registry import found
from factory.methods.sources import Source
from factory.seeds.store import Seeds
from factory.spec.job import Job
from factory.spec.sources import sources_of
from factory.store.storage import Storage

every_source = pytest.mark.parametrize("kind", list(found("sources").values()), ids=list(found("sources")))


def example_of(kind: type[Source]) -> Any:
    """The source that the docstring's example makes; the example must say what is so."""
    module = sys.modules[kind.__module__]
    (example,) = doctest.DocTestFinder(recurse=False).find(kind, kind.name, module, vars(module).copy())
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    return example.globs["source"]


@every_source
def test_the_same_parameters_make_the_same_rows(kind: type[Source]) -> None:
    source = example_of(kind)
    rows = [json.dumps(row) for row in source.rows()]
    assert rows
    given = source.params.model_dump_json()
    assert rows == [json.dumps(row) for row in kind(kind.Params.model_validate_json(given)).rows()]


def test_another_process_makes_the_same_rows() -> None:
    """Whatever order it has sets in."""
    sources = [example_of(kind) for kind in found("sources").values()]
    given = json.dumps([[source.name, source.params.model_dump_json()] for source in sources])
    code = (
        "import json, sys\n"
        "from factory.methods.registry import named\n"
        "kinds = [(named('sources', name), params) for name, params in json.loads(sys.argv[1])]\n"
        "made = [list(kind(kind.Params.model_validate_json(params)).rows()) for kind, params in kinds]\n"
        "print(json.dumps(made))\n"
    )
    env = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code, given], env=env, capture_output=True, check=True)
    assert json.loads(done.stdout) == [list(source.rows()) for source in sources]


@every_source
def test_a_job_asks_for_it_by_name_and_its_rows_are_seeds(kind: type[Source], tmp_path: Path) -> None:
    source = example_of(kind)
    entry = {**source.params.model_dump(mode="json"), "make": kind.name}
    job = Job.model_validate({"corpus": "c", "base": tmp_path, "seeds": [entry]})
    assert job.seeds == (source.params,)
    seeds = Seeds(sources_of(job.seeds, tmp_path, job.corpus), tmp_path, Storage(str(tmp_path / "corpus")), 0)
    assert {seed.source for seed in seeds.take(np.arange(len(seeds)))} == {f"make: {kind.name}"}
    assert seeds.unkept == []


@every_source
def test_an_unknown_parameter_is_refused(kind: type[Source]) -> None:
    with pytest.raises(ValidationError, match="nonsense"):
        kind.Params.model_validate({"make": kind.name, "nonsense": 1})
