"""The figures in words and tables, as the page's template wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.base.distinct import WORDS
from factory.views.cells import Column, count, counted, percent, rounded, share, table, text, thousandths
from factory.views.cost import STAGES, by_stage
from factory.views.measures import DECISIONS
from factory.views.report import summary
from factory.views.report.links import link


def _sorted(one: Mapping[str, Any]) -> str:
    """The dialogues sorted by a column of a score, if the browser sorts by it."""
    return link(sort=f"{one['score']}.{one['column']}") if one["sorted"] else ""


def _number(name: str) -> Column:
    return Column(name, lambda one: rounded(one[name]), numeric=True)


_VERSIONS = (
    count("version", "version"),
    Column("time (UTC)", lambda one: one["time"][:19].replace("T", " ")),
    count("rows", "rows"),
    Column("what", lambda one: one["message"]),
)
_REASONS = (
    text("decision", "decision", lambda one: link(decision=one["decision"])),
    text("reason", "reason", lambda one: link(decision=one["decision"], reason=one["reason"])),
    count("dialogues", "rows"), count("only reason", "rows_alone"), count("tokens", "tokens"),
)  # fmt: skip
_GATES = (text("gate", "gate"), count("lines", "lines"), Column("share", lambda one: one["share"], numeric=True),
          count("tokens", "tokens"))  # fmt: skip
_TRIES = (text("for all turns", "what"), count("count", "count"))
_OPENINGS = (Column("first words", lambda one: one["text"]), count("dialogues", "dialogues"), share("share", "share"))
_FACTS = (
    Column("fact", lambda one: one["text"], leads_to=lambda one: link(q=one["text"])),
    count("personas", "personas"),
    share("share", "share"),
)
_DUPLICATED = (
    Column("dialogue", lambda one: one["row_id"][:12], leads_to=lambda one: f"#{one['row_id']}"),
    count("near duplicates", "duplicates"),
)
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
    Column("column", lambda one: one["column"], leads_to=_sorted, name=True),
    *(_number(name) for name in ("mean", "p5", "median", "p95")),
    count("nulls", "nulls"),
)
_CHANGED = (count("dialogues", "rows"), Column("what", lambda one: one["what"]), Column("why", lambda one: one["why"]))
_MOVED = (count("dialogues", "rows"), text("before", "before"), text("after", "after"))


def told(figures: Mapping[str, Any], shown: int) -> dict[str, Any]:
    """All that the template needs but plots and the dialogues, of which so many are `shown`."""
    about, rows = figures["about"], figures["about"]["rows"]
    scores = [
        one | {"sorted": f"{one['score']}.{one['column']}" in figures["distributions"]} for one in figures["scores"]
    ]
    return {
        "name": about["corpus"].rstrip("/").rpartition("/")[2] or about["corpus"],
        "about": about,
        "tiles": summary.tiles(figures),
        "findings": summary.findings(figures),
        "facts": summary.facts(figures),
        "versions": table(_VERSIONS, about["versions"]),
        **_funnel(figures["funnel"]),
        "key": [
            (name, told, link(decision=name))
            for name, told in DECISIONS.items()
            if name in figures["funnel"]["decisions"]
        ],
        "pairs": any(one["of"] == "pair" for one in figures["distributions"].values()),
        "scores": table(_SCORES, scores, "Scores of all dialogues", wide=True),
        **_diversity(figures["diversity"]),
        **_groups(figures["groups"]),
        "failures": table(_FAILURES, figures["failures"], wide=True),
        **_cost(figures["cost"]),
        **_changes(figures["changes"]),
        "sample_note": summary.sample_note(shown, rows),
    }


def _funnel(funnel: Mapping[str, Any]) -> dict[str, Any]:
    seeds, rows = funnel["seeds"], funnel["rows"]
    call = "seed calls" if seeds["used"] == 1 else "seeds call"
    noun = "dialogue" if rows["wanted"] == 1 else "dialogues"
    were = "was" if rows["made"] == 1 else "were"
    sentence = f"{seeds['used']:,} {call} for {rows['wanted']:,} {noun}. {rows['made']:,} {were} made and "
    sentence += f"{rows['failed']:,} failed." if rows["failed"] else "none failed."
    if seeds["unreadable"]:
        why = ", ".join(f"{reason} {number:,}" for reason, number in seeds["reasons"].items())
        noun = "seed" if seeds["unreadable"] == 1 else "seeds"
        sentence += f" {seeds['unreadable']:,} {noun} could not be read ({why})."
    candidates, again, without = funnel["candidates"], funnel["attempts_again"], funnel["turns_without_a_line"]
    lines = sum(one["lines"] for one in funnel["gates"].values())
    tries = []
    if candidates["sampled"]:
        tries += [("candidates sampled", candidates["sampled"]), ("candidates chosen", candidates["said"])]
    if again["attempts"]:
        tries += [("attempts discarded", again["attempts"]), ("their tokens (about)", again["tokens"])]
    gates = [{"gate": gate, "share": percent(one["lines"] / lines)} | one for gate, one in funnel["gates"].items()]
    if gates and without["turns"]:
        gates.append(
            {"gate": "(turns without a line)", "lines": without["turns"], "share": "", "tokens": without["tokens"]}
        )
    return {
        "seeds": sentence,
        "reasons": table(_REASONS, funnel["reasons"], "Rejected and flagged dialogues by reason"),
        "gates": table(_GATES, gates, "Extracted facts by gate"),
        "tries": table(_TRIES, ({"what": what, "count": number} for what, number in tries), "Candidates and attempts"),
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
            ("self-repetition", percent(again["mean"]), f"of {again['words']}-grams, mean per dialogue"),
            ("near duplicates", percent(near["share"]), f"of {near['dialogues']:,} dialogues"),
            ("different openings", counted(openings["different"]), f"in {openings['dialogues']:,} dialogues"),
        ],
        "diversity_note": (
            f"Distinct-n (Li et al., NAACL 2016) falls as a text gets longer, so compare it only with figures for the "
            f"same number of words ({WORDS:,}, or all of a smaller corpus). Self-repetition (after Salkar et al., AACL "
            f"2022) is the share of {again['words']}-grams that already occurred in an earlier turn of the "
            f"dialogue. Two dialogues are near duplicates if their sets of words have a Jaccard index of "
            f"{near['threshold']} or more (MinHash with {near['permutations']} permutations, as in Persona Hub, arXiv "
            f"2406.20094)."
        ),
        "openings": table(_OPENINGS, openings["most"], "Most frequent openings"),
        "openings_note": f"The first {openings['words']} words of a dialogue, in lower case.",
        "facts_said": [
            table(_FACTS, facts, f"Most frequent facts from {origin}") for origin, facts in found["facts"].items()
        ],
        "duplicated": table(_DUPLICATED, near["most"], "Most duplicated dialogues"),
    }


def _groups(found: Mapping[str, Any]) -> dict[str, Any]:
    groups = found["groups"]
    if not groups:
        return {"groups": None, "groups_left_out": found["left_out"]}
    columns = [
        Column("group", lambda one: f"{one['group']} {one['name']}", leads_to=lambda one: link(group=one["group"])),
        Column("typical facts", lambda one: " ".join(one["typical"])),
        count("personas", "personas"),
        count("dialogues", "rows"),
        *(_decided(name) for name in DECISIONS if any(name in one["decisions"] for one in groups)),
        *(_measured(name) for name in _GROUPED if any(one[name] for one in groups)),
        Column("main reason", _main_reason),
    ]
    return {
        "groups": table(columns, groups, wide=True),
        "group_scores": _group_scores(found),
        "groups_note": (
            f"{found['personas']:,} personas with {found['rows']:,} dialogues, in {len(groups)} groups found by "
            f"k-means on sentence embeddings ({found['model']}). Each group is named by the words that set it apart. "
            "A dialogue counts for the groups of both speakers."
        ),
        "test_note": (
            f"Lines are {found['interval']:.1%} confidence intervals (Wilson, 1927, with Bonferroni's correction for "
            f"{len(groups)} groups). A group is marked red if its whole interval lies below the share of all dialogues."
        ),
    }


def _group_scores(found: Mapping[str, Any]) -> dict[str, Any]:
    """A line for each column of a score, and for what a score's pairs contradict, of those that have values."""
    told = [("all", found["all"]), *((f"group {one['group']}", one) for one in found["groups"])]
    lines = [
        {"what": f"contradicts a fact of the speaker, {score} ≥ {least:g}", "form": percent}
        | {title: one["contradicted"][score] for title, one in told}
        for score, least in found["contradiction"].items()
    ]
    lines += [
        {"what": name, "form": rounded} | {title: one["means"][name] for title, one in told}
        for name in found["all"]["means"]
    ]
    columns = [
        Column("mean by group", lambda line: line["what"], name=True),
        *(_of_group(title) for title, _ in told),
    ]
    return table(columns, (line for line in lines if line["all"] is not None), wide=True)


def _of_group(title: str) -> Column:
    return Column(title, lambda line: line["form"](line[title]), numeric=True)


def _decided(decision: str) -> Column:
    return Column(DECISIONS[decision], lambda one: percent(one["decisions"].get(decision, 0)), numeric=True)


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
            f"Each accepted dialogue took {each['prompt_tokens']:,.0f} computed prompt tokens and "
            f"{each['completion_tokens']:,.0f} completion tokens."
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
        "changed": table(_CHANGED, found["changes"], "Dialogues that differ"),
        "moved": table(_MOVED, found["moved"], "Decisions that changed"),
        "key_figures": table(_COMPARED, lines, "Key figures"),
    }


def _difference(line: Mapping[str, Any]) -> str:
    if line["before"] is None or line["after"] is None:
        return ""
    return format(line["after"] - line["before"], f"+{line['form']}")


def _figure(line: Mapping[str, Any], when: str) -> str:
    return "–" if line[when] is None else format(line[when], line["form"])


_KEY_FIGURES = {"rows": ("dialogues", ","), "turns": ("turns", ",")} | {
    name: (title, ".1%") for name, title in DECISIONS.items()
}
"""What is compared with an earlier version beside the means of scores: titles, and the format of a value."""
_COMPARED = (
    Column("", lambda line: line["title"], name=True),
    Column("before", lambda line: _figure(line, "before"), numeric=True),
    Column("after", lambda line: _figure(line, "after"), numeric=True),
    Column("difference", _difference, numeric=True),
)
