from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.planning.plan import plan
from factory.planning.wanted import PlanError
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, wanted_of, write_seeds


def test_every_seed_opens_partners_times_samples_rows(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(9))
    planned = plan(job_in(tmp_path, "pairing.partners=2", "pairing.samples=3"))
    rows = wanted_of(planned)
    assert len(rows) == len(planned.wanted) == 9 * 2 * 3
    openers = [row.seeds[0].id for row in rows.values()]
    assert {openers.count(seed) for seed in openers} == {6}
    for key, row in rows.items():
        assert key == row.row_id
        assert row.seeds[0].id != row.seeds[1].id
        assert [speaker.seed_id for speaker in row.speakers] == [seed.id for seed in row.seeds]


def test_donors_are_others_and_stand_in_their_seeds(tmp_path: Path) -> None:
    personas = some_personas(12)
    write_seeds(tmp_path, personas)
    for row in wanted_of(plan(job_in(tmp_path, "makers.augment.count=3"))).values():
        assert [len(donors) for donors in row.donors] == [9, 9]
        for fact in (fact for donors in row.donors for fact in donors):
            assert fact.source_id not in {seed.id for seed in row.seeds}
            assert fact.text in personas[fact.source_id]


def test_ranges_of_keys_hold_each_slot_once(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(40))
    wanted = plan(job_in(tmp_path, "pairing.samples=2")).wanted
    whole, middle = wanted.slots(0, 2**64 - 1), 2**63
    halves = [wanted.slots(0, middle - 1), wanted.slots(middle, 2**64 - 1)]
    assert all(len(half) for half in halves)
    assert sorted(slot for half in halves for slot in half.slot) == sorted(whole.slot)
    assert len(set(whole.slot.tolist())) == len(whole) == len(wanted) == 80


def test_candidates_of_convai2_reach_the_row(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("1 your persona: i ski.\n2 hi\thello\t\tno|yes|hello\n3 so\tbye\n")
    (row,) = wanted_of(plan(job_in(tmp_path, f"seeds=[{{path: {tmp_path}/d.txt}}]", "makers={}"))).values()
    assert [[(one.text, one.chosen) for one in turn.candidates] for turn in row.turns] == [
        [], [("hello", True), ("no", False), ("yes", False)], [], [],
    ]  # fmt: skip


def test_two_personas_of_a_row_talk_to_each_other(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    rows = [{"id": "ab", "personas": [["I ski."], ["I cook."]]}, {"personas": {"Ann": ["I read."], "Bo": ["I run."]}}]
    (tmp_path / "seeds" / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = job_in(tmp_path, "pairing.samples=2")
    wanted = plan(job).wanted
    both = [row for row in wanted_of(plan(job)).values() if len(row.seeds) == 1]
    assert len(wanted) == 4 * 2 + 2 * 2
    told = sorted((row.sample, *(one.facts_of("seed")[0] for one in row.speakers)) for row in both)
    assert told == [(sample, *facts) for sample in (0, 1) for facts in (("I read.", "I run."), ("I ski.", "I cook."))]
    assert {row.kind for row in both} == {"generated"}
    assert {row.speakers[0].name for row in both} == {None, "Ann"}
    assert all(fact.source_id != row.seeds[0].id for row in both for donors in row.donors for fact in donors)


def test_pairs_alone_are_made_and_a_changed_one_is_made_again(tmp_path: Path) -> None:
    def write(*firsts: str) -> None:
        rows = [{"id": str(number), "personas": [[first], ["I cook."]]} for number, first in enumerate(firsts)]
        (tmp_path / "seeds").mkdir(exist_ok=True)
        (tmp_path / "seeds" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))

    write("I ski.", "I read.")
    job = job_in(tmp_path, "makers.augment=null")
    Rehearsal().run(job)
    rows = rows_of(job)
    assert len(rows) == 2
    assert all(len(row.turns) == 3 and len(row.seeds) == 1 for row in rows.values())
    assert settled(job)
    write("I ski.", "I paint.", "I sing.")
    summary = plan(job).summary
    assert (summary.make, summary.remake.total(), summary.unchanged) == (1, 1, 1)


def write_partners(folder: Path, partners: dict[str, object]) -> None:
    (folder / "seeds").mkdir(exist_ok=True)
    rows = [{"id": name, "facts": [f"I am {name}."], "to": partner} for name, partner in partners.items()]
    (folder / "seeds" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))


FILE = ("pairing.partners=file", "seeds.0.fields.partner=to")


def test_partners_are_those_that_the_file_names(tmp_path: Path) -> None:
    write_partners(tmp_path, {"a": "b", "b": None, "c": ["a", "d", "a"], "d": "c", "e": ""})
    job = job_in(tmp_path, *FILE, "pairing.samples=2", "makers.augment=null")
    planned = plan(job)
    pairs = sorted(tuple(seed.id for seed in row.seeds) for row in wanted_of(planned).values())
    assert pairs == sorted([("a", "b"), ("c", "a"), ("c", "d"), ("d", "c")] * 2)
    assert len(planned.wanted) == 8
    low, high = planned.wanted.slots(0, 2**63 - 1), planned.wanted.slots(2**63, 2**64 - 1)
    assert len(low) + len(high) == 8
    Rehearsal().run(job)
    assert settled(job)
    assert all("to" not in speaker.attributes for row in rows_of(job).values() for speaker in row.speakers)
    write_partners(tmp_path, {"a": "e", "b": None, "c": ["a", "d"], "d": "c", "e": ""})
    summary = plan(job).summary
    assert (summary.make, summary.drop, summary.unchanged) == (2, 2, 6)


def test_partners_in_a_csv_file_are_a_list_of_json(tmp_path: Path) -> None:
    (tmp_path / "seeds.csv").write_text('id,persona,to\na,I ski.,"[""b"", ""c""]"\nb,I cook.,c\nc,I read.,\n')
    planned = plan(job_in(tmp_path, f"seeds=[{{path: {tmp_path}/seeds.csv, fields: {{partner: to}}}}]", FILE[0]))
    pairs = sorted(tuple(seed.id for seed in row.seeds) for row in wanted_of(planned).values())
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]


@pytest.mark.parametrize(
    ("partners", "message"),
    [
        ({"a": "b", "b": "nobody"}, r"seeds/a\.jsonl, line 2: the partner 'nobody' is no other persona .* 1 such"),
        ({"a": ["b", "a"], "b": None}, r"seeds/a\.jsonl, line 1: the partner 'a' is no other persona"),
        ({"a": None, "b": None}, r"no seed names a partner: set fields\.partner"),
    ],
)
def test_partners_that_are_none(tmp_path: Path, partners: dict[str, object], message: str) -> None:
    write_partners(tmp_path, partners)
    with pytest.raises(PlanError, match=message):
        plan(job_in(tmp_path, *FILE))


def test_too_few_seeds_name_the_first_bad_rows(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"good": ["I ski."]} | {f"bad{number}": [] for number in range(4)})
    with pytest.raises(PlanError) as caught:
        plan(job_in(tmp_path))
    lines = str(caught.value).splitlines()
    assert lines[0] == "1 readable seed(s): a dialogue needs two personas; 4 cannot be read:"
    assert lines[1:] == [
        *(f"  seeds/a.jsonl, line {line}: empty: no fact in 'facts'" for line in (2, 3, 4)),
        "  and 1 more",
    ]


def test_a_row_again_with_another_partner_is_no_repeat(tmp_path: Path) -> None:
    write_partners(tmp_path, {"a": "b", "b": "a"})
    rows = [{"id": "a", "facts": ["I am a."], "to": to} for to in ("b", "c")]
    with (tmp_path / "seeds" / "a.jsonl").open("a") as file:
        file.write("\n" + "\n".join(map(json.dumps, rows)))
    summary = plan(job_in(tmp_path, *FILE)).summary
    assert (summary.make, summary.repeated_seeds, summary.bad_seeds) == (2, 1, 1)


def test_too_few_seeds_tell_of_repeats(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.jsonl").write_text('{"persona": "I ski."}\n' * 3)
    with pytest.raises(PlanError, match=r"1 readable .* 2 row\(s\) repeat another; add seeds"):
        plan(job_in(tmp_path))
