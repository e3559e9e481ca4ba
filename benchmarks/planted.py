"""How many planted faults the score `naturalness` finds: `python -m benchmarks.planted DATA`.

DATA is a folder with the published dialogues, in dialogues/. In held-out dialogues of each register, cut to eight
turns, a fault is put into three turns (recital: into one). A threshold for each column is set on other dialogues of
that register, so that all together flag some 2 % of people's; what is found is told by fault and by column.
Limitations: planted faults are plainer than those of models.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from factory.methods.example import kit
from factory.methods.scores.naturalness import Naturalness, NaturalnessParams
from factory.store.records import Fact, Row, Speaker, Turn
from factory.training.published import HELD, dialogues

TURNS, FAULTY = 8, 3
OTHERS = [
    "Ich gehe heute Abend mit meinem Hund im Park spazieren.", "Mein Bruder arbeitet seit zehn Jahren in einer Bank.",
    "Me gusta mucho cocinar con mi familia los domingos.", "¿Qué haces cuando tienes tiempo libre por la tarde?",
    "J'aime bien lire des romans le soir avant de dormir.", "Nous avons une petite maison près de la mer.",
    "Mi piace andare al mare con gli amici in estate.", "Ik werk als leraar op een kleine school in het dorp.",
    "Eu gosto muito de viajar pelo mundo com meus pais.", "Lubię grać w piłkę nożną z moimi kolegami.",
    "Minulla on kaksi koiraa ja yksi vanha kissa.", "Мне очень нравится гулять в парке по вечерам.",
]  # fmt: skip
ASSISTANTS = [
    "I'm sorry to hear that. How can I assist you today?", "As an AI, I do not have feelings, but I can help you.",
    "That's a great question! Here are some tips for you.", "Feel free to ask if you have any other questions!",
    "I'm here to help you with anything that you need.", "Certainly! Is there anything else I can do for you?",
    "Thank you for sharing. I'd be happy to help you with that.", "Let me know if you need more information on this.",
]  # fmt: skip
SYLLABLES = ["ba", "kor", "mi", "tze", "lu", "nar", "pho", "gri", "vex", "dal", "so", "wum", "ith", "que"]
Talk = tuple[tuple[Sequence[str], Sequence[str]], list[str]]
Plant = Callable[[random.Random, Talk, int, Sequence[Talk]], str]


def no_language(chance: random.Random, *_: object) -> str:
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(chance.randint(6, 12))]
    return " ".join(words).capitalize() + "."


def shuffled(chance: random.Random, talk: Talk, place: int, _: Sequence[Talk]) -> str:
    words = talk[1][place].split()
    return " ".join(chance.sample(words, len(words)))


def random_reply(chance: random.Random, talk: Talk, _: int, everyone: Sequence[Talk]) -> str:
    return chance.choice(chance.choice([other for other in everyone if other is not talk])[1])


FAULTS: dict[str, Plant] = {
    "no language": no_language,
    "other language": lambda chance, *_: chance.choice(OTHERS),
    "shuffled": shuffled,
    "random reply": random_reply,
    "loop": lambda _, talk, place, __: talk[1][place - 2],
    "assistant": lambda chance, *_: chance.choice(ASSISTANTS),
    "parrot": lambda _, talk, place, __: f"Me too! {talk[1][place - 1]}",
    "recital": lambda _, talk, place, __: " ".join(talk[0][place % 2]),
}
COLUMNS = {"language": -1, "loop": 1, "parroting": 1, "recital": 1, "assistant": 1}
"""The columns, and which way is bad."""
SHARES = dict.fromkeys(COLUMNS, 0.004)
"""Shares of people's dialogues that each may flag."""


def convai2(path: Path) -> list[Talk]:
    """Dialogues of ConvAI2; the file has the persona of one speaker."""
    found: list[Talk] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        number, _, text = line.partition(" ")
        if number == "1":
            found.append((([], []), []))
        if text.startswith("your persona: "):
            found[-1][0][1].append(text.removeprefix("your persona: "))  # type: ignore[attr-defined]
        else:
            found[-1][1].extend(text.split("\t")[:2])
    return [(facts, turns[:TURNS]) for facts, turns in found if len(turns) >= TURNS]


def row_of(talk: Talk) -> Row:
    """The dialogue as a row."""
    speakers = [
        Speaker(str(side), str(side), facts=[Fact(text, "seed", str(side)) for text in facts])
        for side, facts in enumerate(talk[0])
    ]
    return Row("r", "imported", 0, [], speakers, turns=[Turn(n % 2, text) for n, text in enumerate(talk[1])])


def planted(fault: str, chance: random.Random, talk: Talk, everyone: Sequence[Talk]) -> Talk:
    """The dialogue with a fault in three of its turns, not the first two."""
    turns = list(talk[1])
    places = [place for place in range(2, len(turns)) if fault != "recital" or talk[0][place % 2]]
    for place in sorted(chance.sample(places, 1 if fault == "recital" else FAULTY)):
        turns[place] = FAULTS[fault](chance, talk, place, everyone)
    return talk[0], turns


async def values_of(talks: Sequence[Talk]) -> list[dict[str, float]]:
    """The columns of each dialogue, all such that high is bad."""
    score = Naturalness(NaturalnessParams())
    found = [(await score.score(row_of(talk), kit())).values for talk in talks]
    return [{name: COLUMNS[name] * float(values[name] or 0) for name in COLUMNS} for values in found]


def thresholds(people: Sequence[dict[str, float]]) -> dict[str, float]:
    """For each column the value above which at most its share of people's dialogues lies."""
    return {
        name: sorted((one[name] for one in people), reverse=True)[int(share * len(people))]
        for name, share in SHARES.items()
    }


def is_flagged(values: dict[str, float], at: dict[str, float]) -> bool:
    """Whether any column is above its threshold."""
    return any(values[name] > at[name] for name in at)


async def evaluate(name: str, known: Sequence[Talk], talks: Sequence[Talk]) -> None:
    """Print a table for one register: thresholds of the `known` dialogues, and what they find in the others."""
    at, people = thresholds(await values_of(known)), await values_of(talks)
    wrong = sum(is_flagged(one, at) for one in people)
    print(f"\n{name}: thresholds on {len(known)} dialogues, {wrong} of {len(talks)} others of people's are flagged")
    print("thresholds: " + ", ".join(f"{one} {COLUMNS[one] * value:.3g}" for one, value in at.items()))
    print("| fault | found | " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * (len(COLUMNS) + 1))
    for fault in FAULTS:
        chance = random.Random(f"planted {fault}")
        whole = [talk for talk in talks if fault != "recital" or any(len(facts) >= FAULTY for facts in talk[0])]
        found = await values_of([planted(fault, chance, talk, talks) for talk in whole])
        shares = [sum(is_flagged(one, at) for one in found) / len(found)]
        shares += [sum(one[column] > at[column] for one in found) / len(found) for column in COLUMNS]
        print(f"| {fault} | " + " | ".join(f"{share:.2f}" for share in shares) + " |")


async def main(data: Path) -> None:
    """Print the tables of both registers."""
    everyone = dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv")
    cut: list[list[Talk]] = [
        [(one.personas, list(one.turns[:TURNS])) for one in everyone if (one.number < HELD) == held]
        for held in (False, True)
    ]
    await evaluate("Synthetic-Persona-Chat", *cut)
    other = random.Random(3).sample(convai2(data / "dialogues" / "convai2_valid_self_original.txt"), 200)
    await evaluate("ConvAI2", other[:100], other[100:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    asyncio.run(main(parser.parse_args().data))
