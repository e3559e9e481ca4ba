"""The figures as charts. What stands for rows says its numbers when it is pointed at, and a click on it shows its
dialogues in the page's browser.

Limitations: a bar of a histogram is clicked as a whole, whatever the decisions in it; the page has a sample of a large
corpus, so a click may show fewer dialogues than the bar counts, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import dist
from statistics import median
from typing import Any

from factory.views.cells import rounded
from factory.views.measures import DECISIONS
from factory.views.report.distributions import BINS
from factory.views.report.links import link
from factory.views.report.svg import INKS, Marking, svg, tick

TOKENS = {"prompt tokens, cached": "line", "prompt tokens, computed": "muted", "completion tokens": "accent"}

_HUES = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#d4a72c", "#9d755d", "#ff9da6", "#6b6ecf",
    "#8ca252", "#bd9e39",
)  # fmt: skip
"""Colours of groups, which are also numbered; they can be seen on white and on black."""


def distribution(name: str, told: Mapping[str, Any], thresholds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The histogram of the quantity of this name, bars stacked by decision: `title`, `svg`, `note`. Counts of pairs are
    on a logarithmic scale, since nearly all pairs are at the ends of the axis. Thresholds are drawn, with what they do,
    where the axis has them; the note names all."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    logarithmic, whole = told["of"] == "pair", told["kind"] == "whole"
    limits = {f"{one['band']} {_SIGNS[one['sign']]} {one['at']:g}": one["at"] for one in thresholds}

    def draw(axes: Any, mark: Marking) -> None:
        # Whole numbers stand in the middle of their bars.
        edges = [edge - (0.5 if whole else 0) for edge in told["edges"]]
        widths = [after - before for before, after in pairwise(edges)]
        # Parts stacked on a logarithmic scale would mislead about their sizes: there the bar counts all.
        counts = {"accent": _summed(told)} if logarithmic else told["counts"]
        below = [0] * len(widths)
        for decision in (*DECISIONS, "accent"):
            if decision in counts:
                axes.bar(
                    edges[:-1], counts[decision], widths, bottom=None if logarithmic else below, align="edge",
                    color=INKS[decision], edgecolor=INKS["paper"], linewidth=0.6 if len(widths) <= BINS else 0,
                )  # fmt: skip
                below = [one + more for one, more in zip(below, counts[decision], strict=True)]
        for bar, (says, leads_to) in _bars(name, told):
            axes.bar(
                edges[bar], 1, widths[bar], align="edge", color="none", transform=axes.get_xaxis_transform(),
                url=mark(says, leads_to),
            )  # fmt: skip
        if logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.7)
            axes.yaxis.set_major_formatter(tick)
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=told["axis"], ylabel=f"{told['of']}s")
        if spare := max(5 - len(widths), 0) * widths[0] / 2:
            axes.set_xlim(edges[0] - spare, edges[-1] + spare)
        drawn = {meaning: at for meaning, at in limits.items() if edges[0] <= at <= edges[-1]}
        for line, (meaning, at) in enumerate(sorted(drawn.items(), key=lambda item: item[1])):
            axes.axvline(at, color=INKS["ink"], linewidth=0.8, linestyle=(0, (3, 2)))
            left = at < (edges[0] + edges[-1]) / 2
            axes.annotate(
                meaning, (at, 0.97 - 0.1 * line), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                xytext=(3 if left else -3, 0), ha="left" if left else "right", va="top", fontsize=8,
            )  # fmt: skip

    note = f"{told['count']:,} {told['of']}s; mean {rounded(told['mean'])}, median {rounded(told['median'])}"
    note += f", 90% between {rounded(told['p5'])} and {rounded(told['p95'])}"
    if told["open"]:
        note += f"; the last bar also holds all larger ones, up to {rounded(told['max'])}"
    if logarithmic:
        note += "; counts on a logarithmic scale"
    if limits:
        note += f"; select: {', '.join(limits)}"
    note = f"{told['about']} {note}".strip()
    return {"title": told["title"], "svg": svg(draw, f"{told['title']}: histogram. {note}."), "note": note}


def _bars(name: str, told: Mapping[str, Any]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Of each bar that counts something its place, what it says, and the address of its dialogues."""
    edges, last = told["edges"], len(told["edges"]) - 2
    for bar, count in enumerate(_summed(told)):
        if not count:
            continue
        least, below = edges[bar], edges[bar + 1]
        if told["kind"] == "whole":
            span = f"{least:,.0f}" if below - least == 1 else f"{least:,.0f} to {below - 1:,.0f}"
        else:
            span = f"{least:g} to {below:g}"
        if bar == last and told["open"]:
            span = f"{least:,g} and more"
        decided = ", ".join(
            f"{DECISIONS[one]} {told['counts'][one][bar]:,}" for one in DECISIONS if one in told["counts"]
        )
        # The last bar holds its upper edge too, and whatever lies beyond it.
        bounds = {"least": least} if bar == last else {"least": least, "below": below}
        noun = told["of"] if count == 1 else f"{told['of']}s"
        yield bar, (f"{span}: {count:,} {noun} ({decided})", link(value=name, **bounds))


def funnel(told: Mapping[str, Any]) -> str:
    """Rows from wanted to accepted."""
    rows, decisions = told["rows"], told["decisions"]
    steps = [("wanted", rows["wanted"], "accent"), ("made", rows["made"], "accent")]
    steps += [(name, decisions[name], name) for name in DECISIONS if name in decisions]

    def draw(axes: Any, mark: Marking) -> None:
        most = max(rows["wanted"], 1)
        for place, (name, count, colour) in enumerate(steps):
            share = f" ({count / most:.1%})" if place else ""
            says = f"{DECISIONS.get(name, name)}: {count:,}{share}"
            leads_to = link(decision=name) if name in DECISIONS else "#dialogues"
            axes.barh(place, count, color=INKS[colour], height=0.72, url=mark(says, leads_to))
            inside = count > 0.55 * most
            axes.text(
                count - 0.015 * most if inside else count + 0.015 * most, place, f"{count:,}{share}",
                ha="right" if inside else "left", va="center", color=INKS["paper" if inside else "ink"],
            )  # fmt: skip
        axes.set_yticks(range(len(steps)), [DECISIONS.get(name, name) for name, *_ in steps])
        axes.invert_yaxis()
        axes.set_xlim(0, most)
        axes.xaxis.set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INKS["ink"], labelsize=9)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.grid(visible=False)

    said = ", ".join(f"{DECISIONS.get(name, name)} {count:,}" for name, count, _ in steps)
    return svg(draw, f"Dialogues: {said}.", height=0.3 * len(steps) + 0.25)


def personas(told: Mapping[str, Any]) -> str:
    """The personas in the plane, numbered by group."""
    from matplotlib.patheffects import withStroke

    def draw(axes: Any, mark: Marking) -> None:
        for group in told["groups"]:
            own = [one for one in told["map"] if one["group"] == group["group"]]
            points = [(one["x"], one["y"]) for one in own]
            across, up = zip(*points, strict=True)
            size = 9 if len(told["map"]) > 300 else 22
            urls = [mark(f"{_short(one['fact'], 90)} (group {one['group']})", link(group=one["group"])) for one in own]
            axes.scatter(across, up, s=size, color=hue(group["group"]), linewidths=0, alpha=0.8, urls=urls)
            middle = median(across), median(up)
            nearest = min(points, key=lambda point: dist(point, middle))
            axes.text(
                *nearest, str(group["group"]), fontsize=11, fontweight="bold", ha="center", va="center",
                path_effects=[withStroke(linewidth=3, foreground=INKS["paper"])],
            )  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_color(INKS["line"])
            side.set_visible(True)

    names = "; ".join(f"{group['group']}: {group['name']}" for group in told["groups"])
    return svg(draw, f"Map of {len(told['map']):,} personas in {len(told['groups'])} groups. {names}.", height=3.3)


def acceptance(told: Mapping[str, Any]) -> str:
    """The accepted share of each group with its interval, beside that of all."""
    groups = [group for group in told["groups"] if group["accepted_most"] is not None]

    def draw(axes: Any, mark: Marking) -> None:
        axes.axvline(told["accepted"], color=INKS["muted"], linewidth=0.9, linestyle=(0, (3, 2)))
        for place, group in enumerate(groups):
            colour = INKS["reject" if group["below"] else "accept"]
            share = group["decisions"].get("accept", 0)
            says = f"group {group['group']}: {share:.1%} of {group['rows']:,} dialogues accepted "
            says += f"(interval {group['accepted_least']:.1%} to {group['accepted_most']:.1%})"
            axes.barh(
                place, 1, height=0.9, color="none", transform=axes.get_yaxis_transform(),
                url=mark(says, link(group=group["group"])),
            )  # fmt: skip
            axes.plot(
                [group["accepted_least"], group["accepted_most"]], [place, place],
                color=colour, linewidth=2, solid_capstyle="round",
            )  # fmt: skip
            axes.plot(share, place, "o", color=colour, markersize=5.5)
        axes.set_yticks(
            range(len(groups)),
            [f"{group['group']}  {_short(', '.join(group['name'].split(', ')[:2]), 20)}" for group in groups],
        )
        axes.tick_params(axis="y", length=0, labelcolor=INKS["ink"])
        axes.invert_yaxis()
        axes.set(xlabel=f"accepted share (all: {told['accepted']:.1%})", xlim=(-0.02, 1.02))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="x", visible=True)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)

    said = "; ".join(f"{one['name']} {one['decisions'].get('accept', 0):.1%}" for one in groups)
    return svg(draw, f"Accepted share by group. {said}.", height=0.27 * len(groups) + 0.75)


def tokens(told: Mapping[str, Any]) -> str:
    """Tokens by stage, in the kinds and colours of TOKENS."""
    from matplotlib.ticker import MaxNLocator

    stages = {
        name: (took["cached_tokens"], took["prompt_tokens"] - took["cached_tokens"], took["completion_tokens"])
        for name, took in told["stages"].items()
        if took["prompt_tokens"] or took["completion_tokens"]
    }

    def draw(axes: Any, mark: Marking) -> None:
        for place, (stage, parts) in enumerate(stages.items()):
            left = 0
            for (what, colour), part in zip(TOKENS.items(), parts, strict=True):
                url = mark(f"{stage}: {part:,} {what}", "#cost")
                axes.barh(place, part, left=left, height=0.62, color=INKS[colour], url=url)
                left += part
        axes.set_yticks(range(len(stages)), list(stages))
        axes.tick_params(axis="y", length=0, labelcolor=INKS["ink"])
        axes.invert_yaxis()
        axes.set(xlabel="tokens of the language model")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.spines["left"].set_visible(False)

    said = "; ".join(f"{name} {sum(parts):,}" for name, parts in stages.items())
    return svg(draw, f"Tokens by stage. {said}.", height=0.32 * len(stages) + 0.6) if stages else ""


def hue(group: int) -> str:
    """The colour of a group."""
    return _HUES[(group - 1) % len(_HUES)]


def _summed(told: Mapping[str, Any]) -> list[int]:
    return [sum(bar) for bar in zip(*told["counts"].values(), strict=True)]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
