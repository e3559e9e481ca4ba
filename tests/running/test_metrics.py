"""What a run tells Prometheus, read from Ray's own endpoint, and a board of Grafana that asks for nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from factory.running.progress import Progress
from factory.running.run import run
from tests.jobs import scripted_job, write_personas

ROOT = Path(__file__).parents[2]
LABELS = {
    "ray_factory_rows_total": {"corpus", "decision"},
    "ray_factory_dead_letters_total": {"corpus", "stage", "reason"},
    "ray_factory_tokens_total": {"corpus", "model", "kind"},
    "ray_factory_requests": {"corpus", "model", "state"},
}
LIMIT_S = 120


@pytest.fixture
def exporting() -> Iterator[str]:
    """A Ray that exports its metrics every second, and the address where it does."""
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1",
        _system_config={"metrics_report_interval_ms": 1000},
    )  # fmt: skip
    yield f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    ray.shutdown()


class Scraper:
    """Reads the metrics of a corpus while a run goes on, and ends it as Ctrl-C does once all are there. Workers that
    other tests ran in this process may have told of other corpora."""

    def __init__(self, address: str, corpus: str) -> None:
        self.address, self.corpus = address, corpus
        self.labels: dict[str, set[str]] = {}
        self.values: dict[str, float] = {}
        self._started = time.monotonic()
        self._stopped = False

    def __call__(self, progress: Progress) -> None:
        with urllib.request.urlopen(self.address, timeout=30) as answer:
            for name, labels, value in re.findall(r"^(ray_factory_\w+)\{(.*)\} (\S+)$", answer.read().decode(), re.M):
                found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
                if found.get("corpus") != self.corpus:
                    continue
                self.labels.setdefault(name, set()).update(found)
                self.values[f"{name} {found.get('kind') or found.get('reason') or found.get('state')}"] = float(value)
        over = time.monotonic() - self._started > LIMIT_S
        if (over or self.labels.keys() >= LABELS.keys()) and not self._stopped:
            self._stopped = True
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_exports_what_the_board_asks_for(exporting: str, tmp_path: Path) -> None:
    write_personas(tmp_path, 400, dict.fromkeys(range(0, 400, 4), "I keep poison."))
    job = scripted_job(
        tmp_path, "scripted?latency_ms=50&fail=poison",
        run={"rows_per_shard": 2, "dialogues_in_flight": 2, "max_failed_share": 1},
    )  # fmt: skip
    scraper = Scraper(exporting, job.corpus)
    result = run(job, report=scraper)
    assert result.committed
    assert result.failed
    assert scraper.labels.keys() == LABELS.keys()
    for name, labels in LABELS.items():
        assert labels <= scraper.labels[name]
    assert scraper.values["ray_factory_tokens_total completion"] > 0
    assert scraper.values["ray_factory_dead_letters_total request"] > 0
    assert scraper.values.keys() >= {"ray_factory_requests running", "ray_factory_requests waiting"}


def test_the_board_asks_for_metrics_and_labels_that_there_are() -> None:
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used: set[str] = set()
    for query in asked:
        assert query.count("(") == query.count(")")
        names = re.findall(r"\b([a-z_]\w*)\{(.*?)\}", query)
        assert names
        for name, matched in names:
            used.add(name)
            assert set(re.findall(r"(\w+)(?:=|!)", matched)) <= LABELS[name]
        grouped = {label.strip() for labels in re.findall(r"by \((.*?)\)", query) for label in labels.split(",")}
        assert all(grouped <= LABELS[name] for name, _ in names)
    assert used == LABELS.keys()
    variables = [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    assert [re.findall(r"\((\w+),", query)[0] in LABELS for query in variables] == [True]
