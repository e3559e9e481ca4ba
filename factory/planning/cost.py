"""What a corpus cost: calls and tokens by entry and of dead letters, time, and what went into rows and lines that were
refused.

Counted by polars over the rows' `stages` and the dead letters, streaming. Tokens are those that were computed: of
the prompt what no cache held, and the completion. Limitations: rows that were remade or dropped since, dead letters
whose rows were made since, and what a worker did not finish before it died are in no figure; dead letters do not tell
time.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from factory.methods.registry import found
from factory.store.records import COUNTS, UNASKED

_one = pl.element().struct.field
_COMPUTED = _one("prompt_tokens") - _one("cached_tokens") + _one("completion_tokens")
_STAGES, _LINES = pl.col("stages").list, pl.col("extracted").list


def cost(rows: pl.LazyFrame, letters: pl.LazyFrame) -> dict[str, Any]:
    """Costs of a corpus's rows and dead letters, as JSON values. `total` and `per_accepted` have both; `under_way_s`
    are the seconds in which some row of the corpus was in the entry."""
    stages, total = _by_stage(rows)
    failed = _dicts(letters.select(pl.col("row_id").count().alias("rows"), pl.col(*COUNTS).sum()))[0]
    total |= {name: total[name] + failed[name] for name in COUNTS}
    decisions = _tokens(rows).group_by("decision").agg(pl.len().alias("rows"), pl.col("tokens").sum())
    decided = {row.pop("decision"): row for row in _dicts(decisions.drop_nulls().sort("decision"))}
    accepted = decided.get("accept", {}).get("rows")
    return {
        "stages": stages,
        "dead_letters": failed,
        "total": total,
        "per_accepted": accepted
        and {
            "prompt_tokens": (total["prompt_tokens"] - total["cached_tokens"]) / accepted,
            "completion_tokens": total["completion_tokens"] / accepted,
        },
        "decisions": decided,
        "reasons": _dicts(_by_reason(rows)),
        "gates": {row.pop("gate"): row for row in _dicts(_by_gate(rows))},
        "turns_without_a_line": _dicts(_without_a_line(rows))[0],
        "attempts_again": _dicts(_again(rows))[0],
    }


def records(rows: pl.LazyFrame, *columns: str) -> pl.LazyFrame:
    """The records in `stages`, one each, with columns of their rows; `start` and `end` are seconds since 1970."""
    start = pl.col("started_at").dt.epoch("us") / 1e6
    return (
        rows.select("stages", *columns)
        .explode("stages")
        .unnest("stages")
        .with_columns(pl.col(*COUNTS).cast(pl.Int64), pl.col("seconds").cast(pl.Float64), start=start)
        .with_columns(end=pl.col("start") + pl.col("seconds"))
    )


def under_way(spans: pl.DataFrame, by: str) -> dict[Any, float]:
    """Seconds in which at least one span (`start`, `end`) of a group ran; what lies between them does not count."""
    before = pl.col("end").cum_max().shift()
    ran = (pl.col("end") - pl.max_horizontal("start", before)).clip(lower_bound=0).sum()
    return dict(spans.sort("start").group_by(by).agg(ran.alias("ran")).iter_rows())


def _by_stage(rows: pl.LazyFrame) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """By entry, and in all. Spans that begin within one second count as one, no longer than all of them together, so
    that what is held grows with time and not with rows."""
    end = pl.min_horizontal(pl.col("end").max(), pl.col("start").min() + pl.col("seconds").sum())
    spans = (
        records(rows)
        .drop_nulls("stage")
        .group_by("stage", second=pl.col("start").floor())
        .agg(pl.len().alias("rows"), pl.col(*COUNTS).sum(), pl.col("start").min(), end=end)
        .collect(engine="streaming")
    )
    found, all_spans = _took(spans), spans.with_columns(stage=pl.lit("all"))
    total = _took(all_spans).get("all", dict.fromkeys((*COUNTS, "under_way_s"), 0))
    first = dict(spans.group_by("stage").agg(pl.col("start").min()).iter_rows())
    return {stage: found[stage] for stage in sorted(found, key=lambda stage: (first[stage], stage))}, total


def _took(spans: pl.DataFrame) -> dict[str, dict[str, Any]]:
    seconds, counts = under_way(spans, "stage"), spans.group_by("stage").agg(pl.col("rows", *COUNTS).sum())
    rows = {row.pop("stage"): row for row in counts.to_dicts()}
    return {stage: row | {"under_way_s": round(seconds[stage], 3)} for stage, row in rows.items()}


def _tokens(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows' decisions and the codes of their reasons, with the tokens of all their makers and scores."""
    codes = pl.col("reasons").list.eval(pl.element().str.split(":").list.first())
    return rows.select("decision", reason=codes, tokens=_STAGES.eval(_COMPUTED).list.sum())


def _by_reason(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A row counts for each of its reasons, and as `alone` where it has no other."""
    alone = pl.col("reason").list.len() == 1
    return (
        _tokens(rows)
        .filter(pl.col("reason").list.len() > 0)
        .with_columns(alone=alone, tokens_alone=pl.when(alone).then("tokens").otherwise(0))
        .explode("reason")
        .group_by("decision", "reason")
        .agg(
            pl.len().alias("rows"), pl.col("tokens").sum(), pl.col("alone").sum().alias("rows_alone"),
            pl.col("tokens_alone").sum(),
        )
        .sort("decision", "tokens", "reason", descending=[True, True, False])
    )  # fmt: skip


def _extraction(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows' extracted lines; `calls` and `of_call` tokens each, since the record is of all calls together, how many
    lines were `written`, and on how many turns."""
    wrote_lines = _one("stage").is_in([name for name, maker in found("makers").items() if "extracted" in maker.writes])
    calls = _STAGES.eval(pl.when(wrote_lines).then(_one("calls"))).list.sum()
    tokens = _STAGES.eval(pl.when(wrote_lines).then(_COMPUTED)).list.sum()
    written = _LINES.eval(pl.element().filter(_one("gate") != UNASKED))
    turns = written.list.eval(_one("turn")).list.n_unique()
    lines = rows.select("extracted", calls=calls, of_call=tokens / calls, turns=turns, written=written.list.len())
    return lines.filter(pl.col("calls") > 0)


def _by_gate(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Lines and tokens: the calls of turns with lines, shared by the row's lines that a model wrote."""
    return (
        _extraction(rows)
        .select(gate=_LINES.eval(_one("gate")), tokens=pl.col("of_call") * pl.col("turns") / pl.col("written"))
        .explode("gate")
        .drop_nulls("gate")
        .with_columns(tokens=pl.when(pl.col("gate") == UNASKED).then(0.0).otherwise("tokens"))
        .group_by("gate")
        .agg(pl.len().alias("lines"), pl.col("tokens").sum().round().cast(pl.Int64))
        .sort("lines", descending=True)
    )


def _without_a_line(rows: pl.LazyFrame) -> pl.LazyFrame:
    turns = pl.col("calls") - pl.col("turns")
    return _extraction(rows).select(turns=turns.sum(), tokens=(turns * pl.col("of_call")).sum().round().cast(pl.Int64))


def _again(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Attempts at turns that were thrown away, and their tokens: all attempts at one turn count alike."""
    turns = rows.select("turns").explode("turns").unnest("turns").filter(pl.col("attempts") > 1)
    computed = pl.col("prompt_tokens") - pl.col("cached_tokens") + pl.col("completion_tokens")
    again = pl.col("attempts") - 1
    tokens = (computed * again / pl.col("attempts")).sum().round().cast(pl.Int64)
    return turns.select(attempts=again.cast(pl.Int64).sum(), tokens=tokens)


def _dicts(frame: pl.LazyFrame) -> list[dict[str, Any]]:
    return frame.collect(engine="streaming").to_dicts()
