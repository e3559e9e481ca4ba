from __future__ import annotations

import pyarrow as pa
import pytest

from factory.methods.example import dialogue
from factory.methods.exports import ExportError, Source
from factory.methods.exports.flat import Flat
from factory.store.records import Fact

SCORES = {
    "near": pa.struct([("apc", pa.float64()), ("pairs", pa.int32()), ("word", pa.string()), ("clear", pa.bool_())]),
    "rate": pa.struct([("apc", pa.float64())]),
}


def flat(scores: dict[str, pa.StructType]) -> Flat:
    made = Flat(Flat.Params())
    made.fit(scores)
    return made


def test_each_value_of_each_score_has_a_column_of_its_type() -> None:
    made, row, bare = flat(SCORES), dialogue(0), dialogue(1)
    row.scores = {"near": {"apc": 0.25, "pairs": 3, "word": "so", "clear": True}}
    bare.scores = {}
    table = made.table(list(made.records([row, bare], Source())))
    assert table.schema.field("near_pairs").type == pa.int32()
    assert table.select(["near_apc", "near_pairs", "near_word", "near_clear", "rate_apc"]).to_pylist() == [
        {"near_apc": 0.25, "near_pairs": 3, "near_word": "so", "near_clear": True, "rate_apc": None},
        dict.fromkeys(["near_apc", "near_pairs", "near_word", "near_clear", "rate_apc"]),
    ]
    assert set(made.columns) == {"reasons", "near", "rate"}


def test_every_cell_is_a_text_or_a_number() -> None:
    assert not any(pa.types.is_nested(kind) for kind in flat(SCORES).schema.types)


def test_several_reasons_and_facts_stand_in_one_cell() -> None:
    row = dialogue()
    row.reasons = ["short", "loops"]
    row.speakers[0].facts.append(Fact("I swim.", "expand", "a"))
    (line,) = flat({}).records([row], Source())
    assert (line["reasons"], line["persona_a"]) == ("short, loops", "I ski.\nI swim.")
    assert line["words"] == sum(len(turn.text.split()) for turn in row.turns)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ({"a": {"b_c"}, "a_b": {"c"}}, r"a_b\.c and a\.b_c would both be the column a_b_c; rename the score a_b"),
        ({"persona": {"a"}}, r"persona\.a and persona_a would both be the column persona_a; rename the score persona"),
    ],
)
def test_two_columns_of_one_name_are_refused(scores: dict[str, set[str]], why: str) -> None:
    with pytest.raises(ExportError, match=why):
        flat({score: pa.struct([(name, pa.float64()) for name in names]) for score, names in scores.items()})
