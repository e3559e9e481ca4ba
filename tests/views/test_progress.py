from __future__ import annotations

import pytest

from factory.running.progress import Progress
from factory.views import progress as progressview
from factory.views.display import Console
from factory.views.progress import CountView, ProgressView, counting


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    monkeypatch.setattr(progressview, "err", Console(stderr=True, soft_wrap=True, width=500))
    return capsys


def test_each_note_is_told_once_in_whatever_order_workers_bring_them(told: pytest.CaptureFixture[str]) -> None:
    view = ProgressView()
    for notes in (("a",), ("b", "a"), ("a", "b"), ("b",), ("a", "b", "c [x]")):
        view(Progress(planned=1, workers=2, notes=notes))
    assert told.readouterr().err == "note: a\nnote: b\nnote: c [x]\n"


def test_a_server_that_is_waited_for_is_told_and_so_is_its_answer(told: pytest.CaptureFixture[str]) -> None:
    view = ProgressView()
    for waiting in (None, "it is away", "it is still away", None, None):
        view(Progress(planned=1, workers=1, waiting=waiting))
    assert told.readouterr().err == "waiting: it is away\nthe server answers again\n"


@pytest.mark.parametrize("end", [{"workers": 0}, {"workers": 1, "stopping": True}])
def test_no_answer_is_told_where_the_run_ends(end: dict[str, int], told: pytest.CaptureFixture[str]) -> None:
    view = ProgressView()
    view(Progress(planned=1, workers=1, waiting="it is away"))
    view(Progress(planned=1, **end))
    assert told.readouterr().err == "waiting: it is away\n"


def test_when_quiet_nothing_is_counted_and_notes_are_still_told(
    told: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progressview, "_LINE_EVERY_S", 0.0)
    for quiet in (False, True):
        counts = Console(stderr=True, soft_wrap=True, width=500, quiet=quiet)
        monkeypatch.setattr(progressview, "counts", counts)
        ProgressView()(Progress(planned=7, workers=1, notes=("a",)))
        CountView()("seeds", 3)
        with counting("pairs", 4) as report:
            report(2)
        lines = told.readouterr().err.splitlines()
        assert lines[0] == "note: a"
        assert any("of 7 committed" in line for line in lines) is not quiet
        assert ("3 seeds" in lines, "2 of 4 pairs" in lines) == (not quiet, not quiet)
