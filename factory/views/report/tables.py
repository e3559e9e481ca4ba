"""The figures in words and tables, as the page's template wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.views.cells import Column, count, counted, percent, rounded, share, table, text, thousandths
from factory.views.cost import STAGES, by_stage
from factory.views.measures import DECISIONS
from factory.views.report import summary
from factory.views.report.diversity import WORDS


def _number(name: str) -> Column:
    return Column(name, lambda one: rounded(one[name]), numeric=True)


_VERSIONS = (
    count("version", "version"),
    Column("time (UTC)", lambda one: one["time"][:19].replace("T", " ")),
    count("rows", "rows"),
    Column("what", lambda one: one["message"]),
)
_REASONS = (
    text("decision", "decision"), text("reason", "reason"), count("rows", "rows"), count("for it alone", "rows_alone"),
    count("tokens", "tokens"),
)  # fmt: skip
_GATES = (text("gate", "gate"), count("lines", "lines"), Column("share", lambda one: one["share"], numeric=True),
          count("tokens", "tokens"))  # fmt: skip
_TRIES = (text("turns", "what"), count("", "count"))
_OPENINGS = (Column("first words", lambda one: one["text"]), count("dialogues", "dialogues"), share("share", "share"))
_FACTS = (Column("fact", lambda one: one["text"]), count("personas", "personas"), share("share", "share"))
_DUPLICATED = (Column("row", lambda one: one["row_id"][:12]), count("near duplicates of it", "duplicates"))
_GROUPED = {
    "turns": ("turns", rounded),
    "distinct_2": ("distinct-2", thousandths),
    "failed": ("failed", counted),
}
"""What is told of groups where any of them has it: titles, and how it is written."""
_FAILURES = (
    Column("stage", lambda one: one["stage"]),
    Column("reason", lambda one: one["reason"]),
    Column("what", lambda one: f"{one['kind']}s"),
    count("count", "count"),
    count("calls", "calls"),
    count("prompt tokens", "prompt_tokens"),
    count("completion tokens", "completion_tokens"),
    Column("for example", lambda one: "; ".join(one["details"])),
)
_SCORES = (
    Column("score", lambda one: one["score"]),
    Column("column", lambda one: one["column"]),
    *(_number(name) for name in ("mean", "p5", "median", "p95")),
    count("nulls", "nulls"),
)
_CHANGED = (count("rows", "rows"), Column("what", lambda one: one["what"]), Column("why", lambda one: one["why"]))
_MOVED = (count("rows", "rows"), text("before", "before"), text("after", "after"))


def told(figures: Mapping[str, Any], shown: int) -> dict[str, Any]:
    """All that the template needs but plots and the dialogues, of which so many are `shown`."""
    about, rows = figures["about"], figures["about"]["rows"]
    return {
        "name": about["corpus"].rstrip("/").rpartition("/")[2] or about["corpus"],
        "about": about,
        "tiles": summary.tiles(figures),
        "findings": summary.findings(figures),
        "facts": summary.facts(figures),
        "versions": table(_VERSIONS, about["versions"]),
        **_funnel(figures["funnel"]),
        "key": [name for name in DECISIONS if name in figures["funnel"]["decisions"]],
        "pairs": any(one["of"] == "pair" for one in figures["distributions"].values()),
        "scores": table(_SCORES, figures["scores"], "Scores, each of their columns over all dialogues", wide=True),
        **_diversity(figures["diversity"]),
        **_groups(figures["groups"]),
        "failures": table(_FAILURES, figures["failures"], wide=True),
        **_cost(figures["cost"]),
        **_changes(figures["changes"]),
        "sample_note": summary.sample_note(shown, rows),
    }


def _funnel(funnel: Mapping[str, Any]) -> dict[str, Any]:
    seeds, rows = funnel["seeds"], funnel["rows"]
    sentence = f"{seeds['used']:,} seeds asked for {rows['wanted']:,} dialogues; {rows['made']:,} were made, "
    sentence += f"{rows['failed']:,} failed." if rows["failed"] else "none failed."
    if seeds["unreadable"]:
        why = ", ".join(f"{reason} {number:,}" for reason, number in seeds["reasons"].items())
        sentence += f" {seeds['unreadable']:,} seeds could not be read ({why})."
    candidates, again, without = funnel["candidates"], funnel["attempts_again"], funnel["turns_without_a_line"]
    lines = sum(one["lines"] for one in funnel["gates"].values())
    tries = []
    if candidates["sampled"]:
        tries += [("candidates sampled", candidates["sampled"]), ("of these, said", candidates["said"])]
    if again["attempts"]:
        tries += [("attempts thrown away", again["attempts"]), ("their tokens, about", again["tokens"])]
    gates = [{"gate": gate, "share": percent(one["lines"] / lines)} | one for gate, one in funnel["gates"].items()]
    if gates and without["turns"]:
        gates.append(
            {"gate": "(turns without a line)", "lines": without["turns"], "share": "", "tokens": without["tokens"]}
        )
    return {
        "seeds": sentence,
        "reasons": table(_REASONS, funnel["reasons"], "Rejected and flagged, by reason"),
        "gates": table(_GATES, gates, "Extracted facts, by the gate that stopped them"),
        "tries": table(
            _TRIES, ({"what": what, "count": number} for what, number in tries), "What was sampled for turns"
        ),
    }


def _diversity(found: Mapping[str, Any]) -> dict[str, Any]:
    distinct, again = found["distinct"], found["self_repetition"]
    near, openings = found["near_duplicates"], found["openings"]
    if not openings["dialogues"]:
        return {"diverse": []}
    return {
        "diverse": [
            ("distinct-1", thousandths(distinct["distinct_1"]), f"of {distinct['words']:,} words"),
            ("distinct-2", thousandths(distinct["distinct_2"]), f"of {distinct['words']:,} words"),
            ("self-repetition", percent(again["mean"]), f"of {again['words']}-grams, mean of dialogues"),
            ("near duplicates", percent(near["share"]), f"of {near['dialogues']:,} dialogues"),
            ("openings", counted(openings["different"]), f"different, of {openings['dialogues']:,}"),
        ],
        "diversity_note": (
            f"Distinct-n (Li et al., NAACL 2016) falls with the length of the text: compare it with what was measured "
            f"on as many words ({WORDS:,}, or all of a smaller corpus). Self-repetition (after Salkar et al., AACL "
            f"2022): the share of {again['words']}-grams that an earlier turn of the dialogue had. Near duplicates: "
            f"sets of words with a Jaccard index of {near['threshold']} or more to those of a dialogue that is kept "
            f"(MinHash, {near['permutations']} permutations, as Persona Hub, arXiv 2406.20094)."
        ),
        "openings": table(_OPENINGS, openings["most"], "Most frequent openings"),
        "openings_note": f"The first {openings['words']} words, in lower case.",
        "facts_said": [
            table(_FACTS, facts, f"Most frequent facts, {origin}") for origin, facts in found["facts"].items()
        ],
        "duplicated": table(_DUPLICATED, near["most"], "Most duplicated dialogues"),
    }


def _groups(found: Mapping[str, Any]) -> dict[str, Any]:
    groups = found["groups"]
    if not groups:
        return {"groups": None, "groups_left_out": found["left_out"]}
    columns = [
        Column("group", lambda one: f"{one['group']} {one['name']}"),
        Column("typical facts", lambda one: " ".join(one["typical"])),
        count("personas", "personas"),
        count("rows", "rows"),
        *(_decided(name) for name in DECISIONS if any(name in one["decisions"] for one in groups)),
        *(_measured(name) for name in _GROUPED if any(one[name] for one in groups)),
        Column("main reason", _main_reason),
    ]
    return {
        "groups": table(columns, groups, wide=True),
        "group_scores": _group_scores(found),
        "groups_note": (
            f"{found['personas']:,} personas in {len(groups)} groups by k-means over sentence embeddings "
            f"({found['model']}), each named by the words that set it apart, with their {found['rows']:,} dialogues. A "
            f"dialogue counts for the groups of both speakers."
        ),
        "test_note": (
            f"Bars: intervals of {found['interval']:.1%} (Wilson, 1927; Bonferroni for {len(groups)} groups). A group "
            "whose whole interval lies below the share of all is marked."
        ),
    }


def _group_scores(found: Mapping[str, Any]) -> dict[str, Any]:
    """A line for each column of a score, and for what a score's pairs contradict, of those that have values."""
    told = [("all", found["all"]), *((f"group {one['group']}", one) for one in found["groups"])]
    lines = [
        {"what": f"turn contradicts own fact, {score} ≥ {least:g}", "form": percent}
        | {title: one["contradicted"][score] for title, one in told}
        for score, least in found["contradiction"].items()
    ]
    lines += [
        {"what": name, "form": rounded} | {title: one["means"][name] for title, one in told}
        for name in found["all"]["means"]
    ]
    columns = [
        Column("mean of a group's dialogues", lambda line: line["what"]),
        *(_of_group(title) for title, _ in told),
    ]
    return table(columns, (line for line in lines if line["all"] is not None), "Scores by group", wide=True)


def _of_group(title: str) -> Column:
    return Column(title, lambda line: line["form"](line[title]), numeric=True)


def _decided(decision: str) -> Column:
    return Column(decision, lambda one: percent(one["decisions"].get(decision, 0)), numeric=True)


def _measured(name: str) -> Column:
    title, written = _GROUPED[name]
    return Column(title, lambda one: written(one[name]), numeric=True)


def _main_reason(group: Mapping[str, Any]) -> str:
    return ", ".join(f"{why['reason'].replace('_', ' ')} ({why['rows']:,})" for why in group["reasons"][:1])


def _cost(cost: Mapping[str, Any]) -> dict[str, Any]:
    each = cost["per_accepted"]
    return {
        "stages": table(STAGES, by_stage(cost) if cost["stages"] or cost["dead_letters"]["rows"] else [], wide=True),
        "per_accepted": each
        and (
            f"For each accepted dialogue {each['prompt_tokens']:,.0f} prompt tokens were computed and "
            f"{each['completion_tokens']:,.0f} were written."
        ),
    }


def _changes(found: Mapping[str, Any]) -> dict[str, Any]:
    if "left_out" in found:
        return {"changes": found}
    before, after = found["before"], found["after"]
    lines = [
        {"title": title, "form": form, "before": before.get(name), "after": after.get(name)}
        for name, (title, form) in _KEY_FIGURES.items()
    ]
    old, new = before.get("means", {}), after.get("means", {})
    lines += [{"title": name, "form": ".3f", "before": old.get(name), "after": new.get(name)} for name in old | new]
    lines = [line for line in lines if line["before"] is not None or line["after"] is not None]
    return {
        "changes": {"left_out": None} | dict(found),
        "changed": table(_CHANGED, found["changes"], "Rows that differ"),
        "moved": table(_MOVED, found["moved"], "Decisions that moved"),
        "key_figures": table(_COMPARED, lines, "Key figures"),
    }


def _difference(line: Mapping[str, Any]) -> str:
    if line["before"] is None or line["after"] is None:
        return ""
    return format(line["after"] - line["before"], f"+{line['form']}")


def _figure(line: Mapping[str, Any], when: str) -> str:
    return "–" if line[when] is None else format(line[when], line["form"])


_KEY_FIGURES = {"rows": ("rows", ","), "turns": ("turns", ",")} | {
    name: (title, ".1%") for name, title in DECISIONS.items()
}
"""What is compared with an earlier version beside the means of scores: titles, and the format of a value."""
_COMPARED = (
    Column("", lambda line: line["title"]),
    Column("before", lambda line: _figure(line, "before"), numeric=True),
    Column("after", lambda line: _figure(line, "after"), numeric=True),
    Column("difference", _difference, numeric=True),
)
