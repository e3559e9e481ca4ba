"""A dump of comments with threads that are known: what shapes they have, and which dialogues these hold.

The shapes are drawn by hand, and the dialogues of each are written beside it; texts say where they stand, so that no
two are alike. Comments come in the order of time, as in a dump, those of many threads mixed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LONG = ("chain", "deep", "counted")


class Shape(NamedTuple):
    """Comments as (author, place of the parent or none), and the dialogues they hold as lists of turns, each the places
    of its comments. `gone`, `long` and `short` are comments that are not kept."""

    comments: Sequence[tuple[str, int | None]]
    dialogues: Sequence[Sequence[Sequence[int]]]
    gone: Sequence[int] = ()
    long: Sequence[int] = ()
    short: Sequence[int] = ()


def chain(authors: str) -> list[tuple[str, int | None]]:
    return [(author, place - 1 if place else None) for place, author in enumerate(authors)]


def turns(*places: int | tuple[int, ...]) -> list[Sequence[int]]:
    return [(place,) if isinstance(place, int) else place for place in places]


SHAPES: dict[str, Shape] = {
    "two": Shape(chain("AB"), [turns(0, 1)]),
    "chain": Shape(chain("ABABAB"), [turns(*range(6))]),
    "eleven": Shape(chain("ABABABABABA"), [turns(*range(11))]),
    "deep": Shape(chain("AB" * 12 + "A"), [turns(*range(11)), turns(*range(10, 21)), turns(*range(20, 25))]),
    "merged": Shape(chain("AABBBA"), [turns((0, 1), (2, 3, 4), 5)]),
    "third": Shape(chain("ABC"), [turns(0, 1), turns(1, 2)]),
    "third and back": Shape(chain("ABACABB"), [turns(0, 1, 2), turns(2, 3, 4), turns(4, (5, 6))]),
    "third after two": Shape(chain("ABBC"), [turns(0, (1, 2)), turns((1, 2), 3)]),
    "branches": Shape(
        [("A", None), ("B", 0), ("A", 1), ("C", 0), ("A", 3), ("D", 0)], [turns(0, 1, 2), turns(0, 3, 4), turns(0, 5)]
    ),
    "one goes on": Shape([("A", None), ("B", 0), ("C", 1), ("A", 1)], [turns(0, 1, 3), turns(1, 2)]),
    "gone within": Shape(chain("ABXAB"), [turns(0, 1), turns(3, 4)], gone=[2]),
    "long and short within": Shape(chain("ABABABA"), [turns(0, 1), turns(3, 4)], long=[2], short=[5]),
    "alone": Shape([("A", None), ("B", None), ("A", 0)], []),
    "nobody left": Shape(chain("AB"), [], long=[1]),
}


class Dump(NamedTuple):
    """Comments as a dump has them, the dialogues in them by id (authors, turns), and how many are not kept, by why."""

    comments: list[dict[str, Any]]
    dialogues: dict[str, tuple[tuple[str, str], tuple[str, ...]]]
    dropped: dict[str, int]


def planted(threads: int, seed: int = 0) -> Dump:
    """A dump of so many threads."""
    rng, names = random.Random(seed), list(SHAPES)
    dump = Dump([], {}, {"deleted": 0, "too_long": 0, "too_short": 0})
    for thread in range(threads):
        _plant(dump, thread, SHAPES[rng.choice(names)], rng)
    dump.comments.sort(key=lambda comment: (comment["created_utc"], comment["id"]))
    return dump


def _plant(dump: Dump, thread: int, shape: Shape, rng: random.Random) -> None:
    link, ids, said, who = f"t3_{thread:x}", [], [], []
    for place, (author, parent) in enumerate(shape.comments):
        name = f"{author.lower()}{rng.randrange(thread % 997 + 1)}-{thread:x}"
        who.append(next((other for other in who if other.startswith(name[0])), name))
        ids.append(f"{thread:x}z{place:x}")
        text = f"I said this as number {place} of thread {thread}, {'and meant it, ' * rng.randrange(4)}too."
        text += " Ça va? 雪" if rng.random() < 0.1 else ""
        body = text.replace(", too", ",\n\ntoo") if rng.random() < 0.1 else text
        if place in shape.gone:
            body, text = rng.choice(["[deleted]", "[removed]"]), ""
            dump.dropped["deleted"] += 1
        elif place in shape.long:
            body = text + " more of it" * 20
            dump.dropped["too_long"] += 1
        elif place in shape.short:
            body = "Yes."
            dump.dropped["too_short"] += 1
        said.append(text)
        dump.comments.append(
            _comment(
                id=ids[place], link_id=link, parent_id=link if parent is None else f"t1_{ids[parent]}", body=body,
                author=who[-1], created_utc=1546300800 + thread // 50 + place * 3,
            )
        )  # fmt: skip
    for places in shape.dialogues:
        told = tuple(" ".join(said[place] for place in turn) for turn in places)
        dump.dialogues[f"{link}/{ids[places[-1][-1]]}"] = ((who[places[0][0]], who[places[1][0]]), told)


def _comment(**fields: Any) -> dict[str, Any]:
    """With most of what stands beside it in a dump of 2019."""
    return {
        "archived": False, "author_created_utc": 1512345678, "author_flair_background_color": "",
        "author_flair_css_class": None, "author_flair_richtext": [], "author_flair_template_id": None,
        "author_flair_text": None, "author_flair_text_color": "dark", "author_flair_type": "text",
        "author_fullname": "t2_xy12ab", "author_patreon_flair": False, "can_gild": True, "can_mod_post": False,
        "collapsed": False, "collapsed_reason": None, "controversiality": 0, "distinguished": None, "edited": False,
        "gilded": 0, "gildings": {"gid_1": 0, "gid_2": 0, "gid_3": 0}, "is_submitter": False, "no_follow": True,
        "permalink": f"/r/AskReddit/comments/{fields['link_id'][3:]}/a_title_as_they_are/{fields['id']}/",
        "removal_reason": None, "retrieved_on": 1550000000, "score": 1, "send_replies": True, "stickied": False,
        "subreddit": "AskReddit", "subreddit_id": "t5_2qh1i", "subreddit_name_prefixed": "r/AskReddit",
        "subreddit_type": "public",
    } | fields  # fmt: skip


def lines(comments: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    """The lines of the dump."""
    for comment in comments:
        yield json.dumps(comment, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
