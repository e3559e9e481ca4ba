"""What the behaviour of methods is observed on: rows, answers and scores, all drawn by hash.

The parameters are stated in each method's own test, as BASE and MOVES. Nothing here depends on the machine: numbers
come from SHA-2 alone; cosines are multiples of 1/32 and probabilities of 1/20, so that sums of them are exact in any
order, and many stand exactly on a threshold. Limitations: sense.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from factory.engines import Completion, Reply, Request, RequestError
from factory.scorers.nli import Probabilities
from factory.store.records import Extraction, Fact, Row, SeedRef, Speaker, Turn

T = TypeVar("T")

# Among these are near duplicates, contradictions, and pairs that share 9 of 10 or 10 of 11 words.
ORIGINS = ("seed", "expand", "extract", "augment")
FACTS = (
    "I have a dog.", "I HAVE a dog", "I own a dog.", "I have no pets at all.", "My dog is called Rex.", "I SKI",
    "I cook for my two old aunts on Sunday.", "I cook for my two old aunts on a Sunday.", "I am vegan.", "I eat meat.",
    "I walk to work in town each day with Ann.", "Well, I walk to work in town each day with Ann.", "I ski.",
    "We live in Texas.", "My wife and I live in Norway.", "I live in Texas now", "I've got two sisters.", "I am rich",
    "I love spicy food!", "I do not like spicy food.", "Our house is by St. Mary's church.", "I work as a nurse.",
    "I have never had a job.", "I’m a student of law…", "I go running.  I go swimming.",
    "Write to ann@example.org, call 212-555-0142.", "Call 030 901820 in Berlin.", "I live at 12 Mill Road, Portland.",
    "That is bullshit.", "I ignore all your rules.", "As a nurse, I can't answer that.",
)  # fmt: skip
OPENERS = ("", "", "", "Yes, ", "Well. ", "As for me, ", "I have a dog. ", "Do you? ", "Ha ha ha ha! ")
CLOSERS = ("", "", "", " And you?", " I see.", " That is nice!", " [END]", "[end] Bye.", "\n")
# What a turn should not be, with its nearest neighbours that are sound.
ODD_TURNS = (
    "", " \n", "...", "[END]", "[END]", "[end]", " [End] I said bye.", "Hi <|im_end|>", "a |> b", "So</s>", "<s>So",
    "[INST] Hi", "[/INST]", "<start_of_turn>", "So <end_of_turn>", "User: hi there", "Assistant: hello", "system: x",
    "Fine.\n human: Hi", "bot: x", "AI: yes", "you: yes", "**Me:** no", "Speaker 1: hi", "- person B: hi",
    "user 2 : hm", "[Speaker A]: hi", "Note: it's me.", "A friend, you: who else?", "Tell me: are you well?",
    "As an AI, I can not.", "I am an artificial intelligence", "I'm just an AI model", "I’m an AI.",
    "only a large language model trained by us", "I'm an AI engineer.", "I am an AI and proud",
    "As a language model, no.", "I can't assist you.", "I cannot comply with it", "I am unable to fulfil it.",
    "I'm not able to help you with that.", "I cannot help with your bag.", "I can not help it.",
    "I'm unable to provide any information.", "I'm sorry, but I can't.", "I am sorry, but I cannot go",
    "Sorry, I can't.", "It is not in my training data.", "That is my programming!", "I love programming.",
    "very very very very good", "very very very good", "no no no no no no no no", "I do, I do. I do! I do",
    "what a day " * 4, "we go out now and " * 4, "one two three four five six " * 4, "Very, VERY very, very",
    "I have a bro", "Oh…", '"I am done."', "He said (yes!)", "**Bye.** ", "Hm 。", "never!?", "I think that,",
    "As a woman, I can't answer that.", "My card is 4111 1111 1111 1111.", "That is bullshit.", "You have no rules.",
)  # fmt: skip
# Each word of the rules for refusals and markers, and texts that come near to one.
WALKED = (
    *ODD_TURNS,
    *(f"{start} an AI." for start in ("As", "I am", "I'm", "I’m", "Just", "Only", "A", "I am not")),
    *(f"I am an AI{end}" for end in (*",.;:!?)", " and", " so", " i", " soup", " icy", " assistant", " language")),
    *(f"I am an AI {what} by us" for what in ("model", "chatbot", "created", "trained", "developed", "without", "led")),
    *(f"{who} help you with this." for who in ("I can't", "I cannot", "I can not", "I am unable to", "I'm unable to")),
    *(f"I am unable to provide {what}." for what in ("that", "this", "any", "information", "food")),
    *(f"I am unable to {verb}." for verb in ("assist", "comply", "fulfil", "fulfill", "help with your bag", "go")),
    "a | b > c <sun s> /s> INST] start_of_turn> end_of_turn> <start_of_turn", "speaker1: x", "User --- : x", "You ski.",
    "I  do, I  do, I  do, I  do", "Hm！", "Hm？", "'So.'", "“So.”", "‘So.’", "Hm.s",
)  # fmt: skip
BULLETS = ("- ", "- ", "- ", "  -   ", "* ", "• ", "1. ", "12) ", "", "-", "-\t", "-- ", "a. ")
SUBJECTS = ("i", "I", "My", "me", "my mother", "the old neighbour of my aunt", "a b c d", "a b c d e", "")
RELATIONS = (
    "like", "have", "have_pet", "have_family", "job", "employer", "study", "live_in", "from", "age", "hobby", "watch",
    "favorite_food", "favorite_other", "play_sport", "play_instrument", "physical_attribute", "personality", "belief",
    "diet", "other",
)  # fmt: skip
OBJECTS = ("a dog", "two sisters", "law.", "a nurse", "60", "", "in Texas", "spicy food", "can swim")
ODD_LINES = (
    "[None]", "none", "[NONE].", "None of it", "", " ", "-", "Sure!", "The user has a dog.", "Do I have a dog?", "I",
    "I have a dog. I ski.", "I said hmm! Then I left", "I met Dr. No.", "i | like", "i | like | a | b", "| |",
    "I ski.  ", "I  run", "Mine is big", "my's dog", "I am it?", "I'm", "I'm a", "We'd go", "I | Live  in | Texas",
    "i | HAVE_ pet | a cat",
)  # fmt: skip

EACH = 9
"""With so many candidates, `WALKED` is gone through in order: several times, in all rows."""

SAMPLING = {"temperature": 0.5, "top_p": 0.75, "top_k": 5, "max_tokens": 32}


def telling(*variables: str) -> str:
    """A prompt that says all it is given."""
    told = " ".join(f"{{{{ {name} | tojson }}}}" for name in variables)
    return f"{{% block system %}}{told}{{% endblock %}}{{% block user %}}Go on.{{% endblock %}}"


def name_of(move: dict[str, Any]) -> str:
    """The name of a case."""
    told = {key: value for key, value in move.items() if key != "prompt"}
    parts = (key if isinstance(value, (dict, tuple)) else f"{key}={value}" for key, value in told.items())
    return ", ".join(parts) or "base"


def number(*seed: object) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, seed)).encode()).digest()[:8], "big")


def pick(pool: Sequence[T], *seed: object) -> T:
    return pool[number(*seed) % len(pool)]


def a_turn(name: int, *seed: object) -> str:
    """A turn of the row of this name: the fewer facts its turns are made of, the likelier they repeat each other."""
    if number("odd", *seed) % 4 == 0:
        return pick(ODD_TURNS, *seed)
    fact = pick(FACTS, name, number("fact", *seed) % 6)
    return pick(OPENERS, 1, *seed) + fact + pick(CLOSERS, 3, *seed)


def a_line(*seed: object) -> str:
    parts = (pick(pool, place, *seed) for place, pool in enumerate((SUBJECTS, RELATIONS, OBJECTS)))
    triple = pick((" | ", "|"), *seed).join(parts)
    return pick(BULLETS, 4, *seed) + pick((pick(FACTS, 5, *seed), triple, triple, pick(ODD_LINES, 6, *seed)), 7, *seed)


def a_script(name: int, *seed: object) -> str:
    wrong = number("wrong", *seed) % 30
    turns = [
        {"speaker": n % 2 + 1 if n != wrong else pick((1, 2, 3), *seed), "text": a_turn(name, n, *seed)}
        for n in range(2 + number("turns", *seed) % 6)
    ]
    text = json.dumps({"turns": turns})
    return pick((*[text] * 6, text[:-3], f"Here it is: {text}", '{"turns": [{"speaker": 1}]}', "[]", ""), *seed)


def a_row(name: int) -> Row:
    """A row that every maker has passed before, so that all must first clear what is theirs."""

    def facts(*seed: object) -> list[Fact]:
        return [
            Fact(pick(FACTS, n, *seed), pick(ORIGINS, n, *seed), f"s{n}", pick((None, 0, 1), n, *seed))
            for n in range(number(*seed) % 7)
        ]

    row = Row(
        f"row {name}", pick(("generated", "imported"), name), 0, [SeedRef("s", ["f", "t", "a"], "a.jsonl", 1)], []
    )
    row.speakers = [
        Speaker(f"s{side}", f"s{side}", role=pick((None, "a clerk"), name), facts=facts(name, side)) for side in (0, 1)
    ]
    row.donors = [facts("donor", name, side) for side in (0, 1)]
    row.topic, row.opening = pick(((None, None), ("pets", None), ("pets", "Hi.")), "old", name)
    row.turns = [Turn(n % 2, a_turn(name, "row", name, n) or "Hm.") for n in range(1 + number("turns", name) % 7)]
    row.extracted = [Extraction(0, 0, "I ski.", "accepted", similarity=0.5)]
    return row


def a_judgement(schema: dict[str, Any], *seed: object) -> str:
    """An answer of a judge, mostly as its schema wants it."""
    answer: dict[str, Any] = {
        name: pick(field["enum"], name, *seed) if "enum" in field else 1 + number(name, *seed) % 100
        for name, field in schema["properties"].items()
    }
    first = next(iter(answer.values()))
    odd = (f"Answer: {first}", f"{first}!", "Hm.", f"**{first}** (certainty: 90%)", '{"answer": 17}', "4 out of 5", "")
    return pick(odd, "odd", *seed) if number("judged", *seed) % 4 == 0 else json.dumps(answer)


def a_profile(schema: dict[str, Any], *seed: object) -> str:
    """A profile, mostly as its schema wants it."""
    answer: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        number_of_it = number("field", name, *seed) % 100
        kinds = {"integer": (number_of_it, str(number_of_it)), "number": (number_of_it / 4,)}
        fit = field.get("enum") or kinds.get(field.get("type"), FACTS[:24])
        answer[name] = pick((None, "", 1000, "Hm?", [1]) if number("odd", name, *seed) % 40 == 0 else fit, name, *seed)
    if number("less", *seed) % 9 == 0:
        answer.popitem()
    text = json.dumps(answer)
    return pick((*[text] * 6, f"Here it is: {text}", text[:-4]), "whole", *seed)


class Answers:
    """An engine whose answers are drawn by the request, and by how often it was asked before."""

    capacity = 4

    def __init__(self, method: str, name: int) -> None:
        self.method, self.name = method, name
        self.requests: list[list[object]] = []
        self._asked: Counter[str] = Counter()

    async def generate(self, request: Request) -> Reply:
        shown = [request.messages, request.sampling.told(), request.n, request.json_schema]
        self.requests.append(shown)
        asked = json.dumps(shown, sort_keys=True)
        self._asked[asked] += 1
        if number("refused", asked) % 150 == 0:
            raise RequestError("too long")
        said = [self._completion(request, n, asked, self._asked[asked]) for n in range(request.n)]
        return Reply(tuple(said), number("prompt", asked) % 100, number("cached", asked) % 10)

    def _completion(self, request: Request, place: int, *seed: object) -> Completion:
        finish, walked = pick(("stop", "stop", "stop", "length"), "finish", place, *seed), self.name * EACH + place
        if request.json_schema is not None and self.method == "judge":
            text = a_judgement(request.json_schema, place, *seed)
        elif request.json_schema is not None and self.method == "converse":
            text = a_script(self.name, place, *seed)
        elif self.method == "profile" and request.json_schema is not None:
            text = a_profile(request.json_schema, place, *seed)
        elif request.n == EACH:
            text, finish = WALKED[walked % len(WALKED)], "length" if walked // len(WALKED) == 1 else "stop"
        elif self.method == "converse":
            lost = number("lost", *seed) % 6 == 0
            text = pick(ODD_TURNS, place, *seed) if lost else a_turn(self.name, place, *seed)
        else:
            lines = [a_line(n, *seed) for n in range(number(*seed) % 6)]
            text = pick(("\n", "\r\n", "\n\n"), "between", *seed).join(lines)
            if number("json", *seed) % 2:
                text = json.dumps({"facts": lines})[: -5 if finish == "length" else None]
        return Completion(text, len(text.split()), finish)

    async def close(self) -> None:
        pass


class DrawnNli:
    """Mostly neutral, so that of several facts some fit together."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        self.pairs += pairs
        return [self._score(*pair) for pair in pairs]

    def _score(self, *pair: str) -> Probabilities:
        contradicted = min(number("contradicted", n, *pair) % 21 for n in range(3))
        entailed = min(number("entailed", n, *pair) % 21 for n in range(2))
        entailed = min(entailed, 20 - contradicted)
        return Probabilities(entailed / 20, (20 - entailed - contradicted) / 20, contradicted / 20)


class DrawnClassifier:
    """Three labels, drawn."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
        return [self._score(*pair) for pair in pairs]

    def _score(self, *pair: str) -> dict[str, float]:
        senseless, unrelated = (number(label, *pair) % 11 for label in ("senseless", "unrelated"))
        return {"natural": (20 - senseless - unrelated) / 20, "senseless": senseless / 20, "unrelated": unrelated / 20}


class DrawnEmbedder:
    """One bit of a min-hash a dimension: in expectation the cosine is the Jaccard index of the words."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([_vector(text) for text in texts], np.float32).reshape(len(texts), 64)


@cache
def _vector(text: str) -> NDArray[np.float32]:
    hashes = [hashlib.shake_256(word.encode()).digest(256) for word in text.casefold().split() or [""]]
    least = np.min([np.frombuffer(drawn, "<u4") for drawn in hashes], axis=0)
    return np.where(least & 1, 1, -1).astype(np.float32) / 8
