"""How many planted faults the score `naturalness` finds: `python -m benchmarks.planted DATA`.

DATA is a folder with the published dialogues, in dialogues/. In held-out dialogues of each register, cut to eight
turns, a fault is put into three turns (recital: into one). A threshold for each column is set on other dialogues of
that register, and such faults in some of them, so that all together flag 2 % of people's; what is found is told by
fault and by column. With `--accepted FOLDER`, 30 dialogues of each kind are imported by jobs/dialogue_corpus.yaml
instead, into a corpus in FOLDER, and what that job decides of them is told; with `--rank CORPUS ...`, how senseless and
unrelated the turns of these corpora are on average, beside people's.
Limitations: planted faults are plainer than those of models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np

from benchmarks.machine import print_machine
from factory.methods import together
from factory.methods.example import kit
from factory.methods.scores.naturalness import Naturalness, NaturalnessParams
from factory.running.run import run
from factory.scorers.classifier import Classifier, ClassifierModel
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.training.persona_chats import row_of
from factory.training.published import HELD, Dialogue, dialogues

TURNS, FAULTY, IMPORTED, TRIALS = 8, 3, 30, 100
JOB = Path(__file__).parents[1] / "jobs" / "dialogue_corpus.yaml"
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
Values = dict[str, float]
Talk = tuple[tuple[Sequence[str], Sequence[str]], list[str]]
Plant = Callable[[random.Random, Talk, int, Sequence[Talk]], str]


def no_language(chance: random.Random, *_: object) -> str:
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(chance.randint(6, 12))]
    return " ".join(words).capitalize() + "."


def shuffled(chance: random.Random, talk: Talk, place: int, _: Sequence[Talk]) -> str:
    words = talk[1][place].split()
    return " ".join(chance.sample(words, len(words)))


def random_reply(chance: random.Random, talk: Talk, _: int, everyone: Sequence[Talk]) -> str:
    return chance.choice(chance.choice([other for other in everyone if other[0] != talk[0]])[1])


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
COLUMNS = {"language": -1, "loop": 1, "parroting": 1, "recital": 1, "assistant": 1, "senseless": 1, "unrelated": 1,
           "relatedness": -1}  # fmt: skip
"""The columns, and which way is bad."""
FLAGGED = 0.02
"""Share of people's dialogues that all columns together may flag."""


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


def _row(talk: Talk) -> Row:
    return row_of(Dialogue(0, (tuple(talk[0][0]), tuple(talk[0][1])), tuple(talk[1])))


def planted(fault: str, chance: random.Random, talk: Talk, everyone: Sequence[Talk]) -> Talk:
    """The dialogue with a fault in three of its turns, not the first two."""
    turns = list(talk[1])
    places = [place for place in range(2, len(turns)) if fault != "recital" or talk[0][place % 2]]
    for place in sorted(chance.sample(places, 1 if fault == "recital" else FAULTY)):
        turns[place] = FAULTS[fault](chance, (talk[0], turns), place, everyone)
    return talk[0], turns


async def values_of(talks: Sequence[Talk]) -> list[Values]:
    """The columns of each dialogue, all such that high is bad."""
    score, classifier = Naturalness(NaturalnessParams()), Classifier(ClassifierModel(name="talk-small"))
    embedder = Embeddings(EmbeddingModel())
    known = replace(kit(), classifier=classifier, embedder=embedder)
    found = [one.values for one in await together(score.score(_row(talk), known) for talk in talks)]
    classifier.close()
    embedder.close()
    return [{name: COLUMNS[name] * float(values[name] or 0) for name in COLUMNS} for values in found]


def thresholds(people: Sequence[Values], faulty: Sequence[Sequence[Values]]) -> Values:
    """For each column the value above which it flags: those that flag nobody, then one after another lowered where that
    finds most faults (their mean share) for each dialogue of people's that it flags, as long as few of these are."""
    order = {name: sorted({one[name] for one in people}, reverse=True) for name in COLUMNS}
    at = {name: values[0] for name, values in order.items()}
    while True:
        wrong, found = share(people, at), statistics.fmean(share(some, at) for some in faulty)
        steps = [{**at, name: value} for name, values in order.items() for value in values if value < at[name]]
        allowed = [(step, flagged) for step in steps if (flagged := share(people, step)) <= FLAGGED]
        gains = [
            ((statistics.fmean(share(some, step) for some in faulty) - found) / max(flagged - wrong, 1e-9), step)
            for step, flagged in allowed
        ]
        gain, best = max(gains, key=itemgetter(0), default=(0.0, at))
        if gain <= 0:
            return at
        at = best


def share(some: Sequence[Values], at: Values) -> float:
    """The share of these that are flagged."""
    return sum(is_flagged(one, at) for one in some) / len(some)


def is_flagged(values: Values, at: Values) -> bool:
    """Whether any column is above its threshold."""
    return any(values[name] > value for name, value in at.items())


async def evaluate(name: str, known: Sequence[Talk], talks: Sequence[Talk]) -> None:
    """Print a table for one register: thresholds of the `known` dialogues, and what they find in the others."""
    trials = [await values_of(with_fault(fault, "trial", known[:TRIALS])) for fault in FAULTS]
    at = thresholds(await values_of(known), trials)
    people = await values_of(talks)
    wrong = sum(is_flagged(one, at) for one in people)
    print(f"\n{name}: thresholds on {len(known)} dialogues, {wrong} of {len(talks)} others of people's are flagged")
    print("thresholds: " + ", ".join(f"{one} {COLUMNS[one] * value:.4g}" for one, value in at.items()))
    print("| fault | found | " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * (len(COLUMNS) + 1))
    for fault in FAULTS:
        found = await values_of(with_fault(fault, "planted", talks))
        shares = [share(found, at), *(share(found, {column: at[column]}) for column in COLUMNS)]
        print(f"| {fault} | " + " | ".join(f"{one:.2f}" for one in shares) + " |")


def with_fault(fault: str, drawn: str, talks: Sequence[Talk]) -> list[Talk]:
    """The dialogues with a fault each, those that can have it."""
    chance = random.Random(f"{drawn} {fault}")
    whole = [talk for talk in talks if fault != "recital" or any(len(facts) >= FAULTY for facts in talk[0])]
    return [planted(fault, chance, talk, talks) for talk in whole]


def spoken(data: Path) -> tuple[list[Talk], list[Talk]]:
    """The dialogues of Synthetic-Persona-Chat, cut: those that models may be trained on, and those held out."""
    everyone = dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv")
    known, held = (
        [(one.personas, list(one.turns[:TURNS])) for one in everyone if (one.number < HELD) == held]
        for held in (False, True)
    )
    return known, held


def accepted(data: Path, folder: Path) -> None:
    """Import dialogues of each kind as a user would, and print what was decided of each kind."""
    _, held = spoken(data)
    chance, lines = random.Random("accepted"), list[str]()
    for fault in ("none", *FAULTS):
        for number, talk in enumerate(chance.sample(held, IMPORTED)):
            turns = talk[1] if fault == "none" else planted(fault, chance, talk, held)[1]
            said = [{"speaker": "AB"[place % 2], "text": text} for place, text in enumerate(turns)]
            lines.append(json.dumps({"id": f"{fault}/{number}", "turns": said}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dialogues.jsonl").write_text("\n".join(lines), encoding="utf-8")
    place = folder.absolute()
    job = load_job(JOB, [f"corpus={place}/corpus", f"seeds=[{{path: {place}/dialogues.jsonl}}]"])
    run(job, allow_failures=True)
    told: dict[str, Counter[str]] = {fault: Counter() for fault in ("none", *FAULTS)}
    for row in Corpus(job.corpus).rows():
        told[row.seeds[0].id.partition("/")[0]].update([str(row.decision), *row.reasons])
    print("| fault | accepted | flagged | rejected | reasons |\n| --- | ---: | ---: | ---: | --- |")
    for fault, found in told.items():
        decided = [found.pop(name, 0) for name in ("accept", "flag", "reject")]
        reasons = ", ".join(f"{name} {count}" for name, count in found.most_common())
        print(f"| {fault} | {' | '.join(map(str, decided))} | {reasons} |")


async def rank(data: Path, corpora: Sequence[Path]) -> None:
    """Print how bad talk is on average."""
    found = {
        "people, Synthetic-Persona-Chat": [_row(talk) for talk in spoken(data)[1]],
        "people, ConvAI2": [
            _row(talk) for talk in convai2(data / "dialogues" / "convai2_valid_self_original.txt")[:64]
        ],
        **{str(corpus): list(Corpus(str(corpus)).rows()) for corpus in corpora},
    }
    classifier, nli, embedder = (
        Classifier(ClassifierModel(name="talk-small")),
        Nli(NliModel(name="nli-small")),
        Embeddings(EmbeddingModel()),
    )
    known = replace(kit(), classifier=classifier, nli=nli, embedder=embedder)
    naturalness = Naturalness(NaturalnessParams())
    print("| talk | dialogues | senseless | unrelated | together |\n| --- | ---: | ---: | ---: | ---: |")
    for name, rows in found.items():
        scored = await together(naturalness.score(row, known) for row in rows)
        turns = np.array([detail.values[5:7] for one in scored for detail in one.details if detail.turn], float)
        senseless, unrelated = turns.mean(axis=0)
        print(f"| {name} | {len(rows)} | {senseless:.2f} | {unrelated:.2f} | {senseless + unrelated:.2f} |")
    for scorer in (classifier, nli, embedder):
        scorer.close()


async def main(data: Path) -> None:
    """Print the tables of both registers."""
    await evaluate("Synthetic-Persona-Chat", *spoken(data))
    other = random.Random(3).sample(convai2(data / "dialogues" / "convai2_valid_self_original.txt"), 200)
    await evaluate("ConvAI2", other[:100], other[100:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--accepted", type=Path, metavar="FOLDER")
    parser.add_argument("--rank", type=Path, nargs="*", metavar="CORPUS")
    given = parser.parse_args()
    print_machine()
    if given.rank is not None:
        asyncio.run(rank(given.data, given.rank))
    elif given.accepted:
        accepted(given.data, given.accepted)
    else:
        asyncio.run(main(given.data))
