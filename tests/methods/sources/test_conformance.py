"""What holds of every source that is found. The example in its docstring makes one that is named `source`."""

from __future__ import annotations

import doctest
import json
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
