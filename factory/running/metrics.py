"""What workers tell Ray's metrics: rows, dead letters, tokens and requests, for Prometheus and Ray's dashboard.

Ray's agent on each node exports them with `ray_` before the name; where nobody reads them, that costs some microseconds
an answer. Limitations: what a worker did that died before it handed it in is counted again with the one that does it
again; rows that wait for a pass count as undecided; of models that share an engine each counts its requests against
the whole capacity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ray.util.metrics import Counter, Gauge

from factory.engines import Reply
from factory.running.merging import Merged
from factory.store.dead_letters import DeadLetter


class Metrics:
    """The metrics of one worker. All have the label `corpus`, where its corpus lives."""

    def __init__(self, corpus: str) -> None:
        self._corpus = corpus
        self._rows = Counter("factory_rows", "Finished rows by decision.", ("corpus", "decision"))
        self._letters = Counter("factory_dead_letters", "Rows that failed.", ("corpus", "stage", "reason"))
        self._tokens = Counter(
            "factory_tokens",
            "Tokens by model: prompt (all), cached (those of the prompt that a cache held), completion.",
            ("corpus", "model", "kind"),
        )
        self._requests = Gauge(
            "factory_requests", "Requests to a model that run, or wait for room.", ("corpus", "model", "state")
        )

    def answered(self, model: str, reply: Reply) -> None:
        """A model has answered."""
        for kind in ("prompt", "cached", "completion"):
            _add(self._tokens, getattr(reply, f"{kind}_tokens"), corpus=self._corpus, model=model, kind=kind)

    def merged(self, merged: Merged) -> None:
        """The finished rows of a shard are written."""
        undecided = merged.finished - merged.decisions.total()
        for decision, rows in (merged.decisions | {"undecided": undecided}).items():
            _add(self._rows, rows, corpus=self._corpus, decision=decision)

    def failed(self, letters: Iterable[DeadLetter]) -> None:
        """Rows have failed."""
        for letter in letters:
            _add(self._letters, 1, corpus=self._corpus, stage=letter.stage, reason=letter.reason)

    def asked(self, requests: Mapping[str, tuple[int, int]]) -> None:
        """How many requests each model has now, and how many it takes at once."""
        for model, (asked, capacity) in requests.items():
            for state, count in (("running", min(asked, capacity)), ("waiting", max(0, asked - capacity))):
                self._requests.set(count, _plain({"corpus": self._corpus, "model": model, "state": state}))


def _add(counter: Counter, count: int, **labels: str) -> None:
    if count:  # Ray takes no 0
        counter.inc(count, _plain(labels))


def _plain(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as Ray takes them: it encodes them as ASCII."""
    return {name: value.encode("ascii", "backslashreplace").decode() for name, value in labels.items()}
