"""The figures in words and cells, as the page's template wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.views.cost import duration
from factory.views.report.diversity import WORDS
from factory.views.report.plots import DECISIONS, number

_MEANS = {
    "coverage": "coverage",
    "entailed_share": "pairs entailed",
    "contradicted_share": "pairs contradicted",
    "c_score": "C score",
    "apc": "APC",
}
_OFTEN = 0.2
"""Share of one opening, or one expanded fact, from which it is pointed out (ours)."""


def told(figures: Mapping[str, Any], shown: int) -> dict[str, Any]:
    """All that the template needs but plots and the dialogues, of which so many are `shown`."""
    about, rows = figures["about"], figures["about"]["rows"]
    return {
        "name": about["corpus"].rstrip("/").rpartition("/")[2] or about["corpus"],
        "about": about,
        "tiles": _tiles(figures),
        "findings": _findings(figures),
        "facts": _facts(figures),
        "versions": _rows(
            (one["version"], one["time"][:19].replace("T", " "), _count(one["rows"]), one["message"])
            for one in about["versions"]
        ),
        **_funnel(figures["funnel"]),
        "key": [name for name in DECISIONS if name in figures["funnel"]["decisions"]],
        "scored": figures["consistency"] is not None,
        **_diversity(figures["diversity"]),
        **_groups(figures["groups"]),
        "failures": _rows(
            (
                one["stage"],
                one["reason"],
                f"{one['kind']}s",
                *(_count(one[name]) for name in ("count", "calls", "prompt_tokens", "completion_tokens")),
                "; ".join(one["details"]),
            )
            for one in figures["failures"]
        ),
        **_cost(figures["cost"]),
        **_changes(figures["changes"]),
        "sample_note": _sample(shown, rows),
    }


def _tiles(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    about, decisions = figures["about"], figures["funnel"]["decisions"]
    decided = sum(count for name, count in decisions.items() if name != "undecided")
    near = figures["diversity"]["near_duplicates"]
    tiles = [
        ("dialogues", _count(about["rows"]), f"{about['imported']:,} imported" if about["imported"] else ""),
        ("accepted", _share(decisions.get("accept", 0) / decided) if decided else "–", f"of {decided:,} decided"),
        ("personas", _count(about["personas"]), f"of {about['seeds']:,} seeds"),
        ("turns", _count(about["turns"]), f"{about['words']:,} words"),
        ("tokens written", _count(about["tokens"]["completion"]), "by the language model"),
    ]
    if near["share"] is not None:
        tiles.append(("near duplicates", _share(near["share"]), f"of {near['dialogues']:,} dialogues"))
    return tiles


def _findings(figures: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What to know first, and whether it wants a look."""
    found: list[tuple[str, bool]] = []
    groups, rows = figures["groups"], figures["funnel"]["rows"]
    below = [one for one in groups["groups"] if one["below"]]
    if below:
        named = "; ".join(f"{one['group']} ({one['name']})" for one in below)
        found.append((f"Accepted less than the rest, beyond chance: persona group {named}.", True))
    elif groups.get("accepted") is not None:
        found.append(("No persona group is accepted less than the rest beyond chance.", False))
    if rows["failed"]:
        found.append((f"{rows['failed']:,} of {rows['wanted']:,} wanted dialogues could not be made.", True))
    openings = figures["diversity"]["openings"]
    if openings["most"] and rows["made"] > 1:
        first = openings["most"][0]
        text = f"Of {openings['dialogues']:,} dialogues {_share(first['share'])} open with “{first['text']}”."
        found.append((text, first["share"] >= _OFTEN))
    for fact in figures["diversity"]["facts"].get("expand", [])[:1]:
        often = fact["share"] >= _OFTEN and fact["personas"] > 2
        found.append(
            (f"The fact added most, “{fact['text']}”, was given to {_share(fact['share'])} of personas.", often)
        )
    near = figures["diversity"]["near_duplicates"]
    if near["duplicates"]:
        found.append((f"{near['duplicates']:,} of {near['dialogues']:,} dialogues nearly repeat another.", True))
    return found


def _facts(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    about, tokens = figures["about"], figures["about"]["tokens"]
    imported = f", of which {about['imported']:,} imported" if about["imported"] else ""
    told = [
        ("where", about["corpus"]),
        ("rows", _count(about["rows"]) + imported),
        ("stages", " → ".join(about["stages"])),
        ("models", ", ".join(about["models"])),
        (
            "tokens",
            f"{tokens['prompt']:,} of prompts ({tokens['cached']:,} from the cache), {tokens['completion']:,} written",
        ),
        ("made with", ", ".join(f"{name} {number}" for name, number in about["made_with"].items())),
    ]
    if figures["consistency"] is not None:
        means = figures["consistency"]
        told.append(("means", ", ".join(f"{title} {means[name]:.2f}" for name, title in _MEANS.items())))
    return [(title, value) for title, value in told if value]


def _funnel(funnel: Mapping[str, Any]) -> dict[str, Any]:
    seeds, rows = funnel["seeds"], funnel["rows"]
    text = f"{seeds['used']:,} seeds asked for {rows['wanted']:,} dialogues; {rows['made']:,} were made, "
    text += f"{rows['failed']:,} failed." if rows["failed"] else "none failed."
    if seeds["unreadable"]:
        why = ", ".join(f"{reason} {count:,}" for reason, count in seeds["reasons"].items())
        text += f" {seeds['unreadable']:,} seeds could not be read ({why})."
    lines = sum(gate["lines"] for gate in funnel["gates"].values())
    candidates, again = funnel["candidates"], funnel["attempts_again"]
    tries = []
    if candidates["sampled"]:
        tries += [("candidates sampled", _count(candidates["sampled"])), ("of these, said", _count(candidates["said"]))]
    if again["attempts"]:
        tries += [("attempts thrown away", _count(again["attempts"])), ("their tokens, about", _count(again["tokens"]))]
    without = funnel["turns_without_a_line"]["turns"]
    gates = [
        (gate.replace("_", " "), _count(one["lines"]), _share(one["lines"] / lines), _count(one.get("tokens")))
        for gate, one in funnel["gates"].items()
    ]
    if gates and without:
        gates.append(("(turns without a line)", _count(without), "", _count(funnel["turns_without_a_line"]["tokens"])))
    return {
        "seeds": text,
        "reasons": _rows(
            (
                one["decision"],
                one["reason"].replace("_", " "),
                *(_count(one[name]) for name in ("rows", "rows_alone", "tokens")),
            )
            for one in funnel["reasons"]
        ),
        "gates": _rows(gates),
        "tries": _rows(tries),
    }


def _diversity(told: Mapping[str, Any]) -> dict[str, Any]:
    distinct, again, near, openings = (
        told["distinct"], told["self_repetition"], told["near_duplicates"], told["openings"],
    )  # fmt: skip
    if not openings["dialogues"]:
        return {"diverse": []}
    tiles = [
        ("distinct-1", _three(distinct["distinct_1"]), f"of {distinct['words']:,} words"),
        ("distinct-2", _three(distinct["distinct_2"]), f"of {distinct['words']:,} words"),
        ("self-repetition", _share(again["mean"]), f"of {again['words']}-grams, mean of dialogues"),
        ("near duplicates", _share(near["share"]), f"of {near['dialogues']:,} dialogues"),
        ("openings", _count(openings["different"]), f"different, of {openings['dialogues']:,}"),
    ]
    titles = {"seed": "Most frequent given facts", "expand": "Most frequent added facts (expand)",
              "extract": "Most frequent extracted facts"}  # fmt: skip
    return {
        "diverse": tiles,
        "diversity_note": (
            f"Distinct-n (Li et al., NAACL 2016) falls with the length of the text: compare it with what was measured "
            f"on as many words ({WORDS:,}, or all of a smaller corpus). Self-repetition (after Salkar et al., AACL "
            f"2022): the share of {again['words']}-grams that an earlier turn of the dialogue had. Near duplicates: "
            f"sets of words with a Jaccard index of {near['threshold']} or more to those of a dialogue that is kept "
            f"(MinHash, {near['permutations']} permutations, as Persona Hub, arXiv 2406.20094)."
        ),
        "openings": _rows((one["text"], _count(one["dialogues"]), _share(one["share"])) for one in openings["most"]),
        "openings_note": f"The first {openings['words']} words, in small letters.",
        "facts_said": [
            (titles[origin], _rows((one["text"], _count(one["personas"]), _share(one["share"])) for one in facts))
            for origin, facts in told["facts"].items()
        ],
        "duplicated": _rows((one["row_id"][:12], _count(one["duplicates"])) for one in near["most"]),
    }


def _groups(told: Mapping[str, Any]) -> dict[str, Any]:
    groups = told["groups"]
    if not groups:
        return {"groups": [], "groups_left_out": told["left_out"]}
    decided = [name for name in DECISIONS if any(name in one["decisions"] for one in groups)]
    optional = {
        "contradicted": ("contradicted", _share),
        "coverage": ("coverage", _two),
        "c_score": ("C", _two),
        "apc": ("APC", _two),
        "turns": ("turns", _two),
        "distinct_2": ("distinct-2", _three),
        "failed": ("failed", _count),
    }
    kept = [name for name in optional if any(one[name] for one in groups)]
    columns = [("group", False), ("typical facts", False), ("personas", True), ("rows", True)]
    columns += (
        [(name, True) for name in decided] + [(optional[name][0], True) for name in kept] + [("main reason", False)]
    )
    return {
        "groups": [
            {
                "below": one["below"],
                "cells": [
                    f"{one['group']} {one['name']}",
                    " ".join(one["typical"]),
                    _count(one["personas"]),
                    _count(one["rows"]),
                    *(_share(one["decisions"].get(name, 0)) for name in decided),
                    *(optional[name][1](one[name]) for name in kept),
                    ", ".join(f"{why['reason'].replace('_', ' ')} ({why['rows']:,})" for why in one["reasons"][:1]),
                ],
            }
            for one in groups
        ],
        "group_columns": columns,
        "groups_note": (
            f"{told['personas']:,} personas in {len(groups)} groups by k-means over sentence embeddings "
            f"({told['model']}), each named by the words that set it apart, with their {told['rows']:,} dialogues. A "
            f"dialogue counts for the groups of both speakers; it is contradicted if a turn contradicts an own fact "
            f"with a probability of {told['contradiction']:g} or more."
        ),
        "test_note": (
            f"Bars: intervals of {told['interval']:.1%} (Wilson, 1927; Bonferroni for {len(groups)} groups). A group "
            "whose whole interval lies below the share of all is marked."
        ),
    }


def _cost(cost: Mapping[str, Any]) -> dict[str, Any]:
    each, took = cost["per_accepted"], dict(cost["stages"])
    if cost["dead_letters"]["rows"]:
        took["dead letters"] = cost["dead_letters"] | {"under_way_s": None}
    if took:
        took["all"] = cost["total"] | {"rows": None}
    return {
        "stages": _rows(
            (
                stage,
                _count(one["rows"]),
                _count(one["calls"]),
                _count(one["prompt_tokens"]),
                _share(one["cached_tokens"] / one["prompt_tokens"]) if one["prompt_tokens"] else "",
                _count(one["completion_tokens"]),
                "" if one["under_way_s"] is None else duration(one["under_way_s"]),
            )
            for stage, one in took.items()
        ),
        "per_accepted": each
        and (
            f"For each accepted dialogue {each['prompt_tokens']:,.0f} prompt tokens were computed and "
            f"{each['completion_tokens']:,.0f} were written."
        ),
    }


def _changes(told: Mapping[str, Any]) -> dict[str, Any]:
    if "left_out" in told:
        return {"changes": told}
    titles = {"rows": "rows", "turns": "turns", "accept": "accepted", "flag": "flagged", "reject": "rejected", **_MEANS}
    before, after = told["before"], told["after"]
    pairs = [(name, title, before.get(name), after.get(name)) for name, title in titles.items()]
    return {
        "changes": {"left_out": None} | dict(told),
        "changed": _rows((_count(one["rows"]), one["what"], one["why"]) for one in told["changes"]),
        "moved": _rows((_count(one["rows"]), one["before"], one["after"]) for one in told["moved"]),
        "key_figures": _rows(
            (title, _figure(name, was), _figure(name, now), _difference(name, was, now))
            for name, title, was, now in pairs
            if was is not None or now is not None
        ),
    }


def _difference(name: str, before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else _figure(name, after - before, "+")


def _figure(name: str, value: float | None, sign: str = "") -> str:
    if value is None:
        return "–"
    if name in {"rows", "turns"}:
        return f"{value:{sign},}"
    if name in {"accept", "flag", "reject"}:
        return f"{value:{sign}.1%}"
    return f"{value:{sign}.3f}"


def _sample(shown: int, rows: int) -> str:
    if not shown:
        return ""
    if shown == rows:
        return f"All {rows:,} dialogues of the corpus. Turns that contradict something are marked with it."
    return (
        f"{shown:,} of the corpus's {rows:,} dialogues: every decision and reason is among them, so their shares are "
        "not the corpus's. Turns that contradict something are marked with it."
    )


def _rows(rows: Any) -> list[dict[str, Any]]:
    return [{"below": False, "cells": list(row)} for row in rows]


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _two(value: float | None) -> str:
    return "–" if value is None else number(value)


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
