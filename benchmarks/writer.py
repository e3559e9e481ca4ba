"""What a writer is worth: `python -m benchmarks.writer DATA FOLDER [--adapter none] [--set FIELD=VALUE ...]`.

The job of the quick start makes a dialogue of each of 100 personas of held-out Synthetic-Persona-Chat (DATA is a folder
with the published files) as a corpus in FOLDER. Told are rows that died, lines of `extract` by gate, decisions, turns,
facts, and the share of dialogues in which two facts or more are expressed, none is contradicted, and no turn takes a
fact of the partner for its speaker's own; the last three by nli-small. The same is told of people's dialogues with
these personas, cut to eight turns. Limitations: the judge chose among the candidates, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import print_machine
from factory.methods import Kit
from factory.methods.example import kit as example_kit
from factory.methods.scores.consistency import Consistency, ConsistencyParams, persona
from factory.running.run import run
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.training.persona_chats import row_of
from factory.training.published import HELD, Dialogue, dialogues

JOB = Path(__file__).parents[1] / "jobs" / "quickstart.yaml"
TURNS, PERSONAS = 8, 100
CONTRADICTED, TAKEN = 0.5, 0.6


def held_out(data: Path) -> list[Dialogue]:
    """People's dialogues that no model of ours is trained on."""
    found = dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv")
    return [one for one in found if one.number < HELD]


def write_seeds(path: Path, found: Sequence[Dialogue]) -> None:
    """Their personas, as seeds."""
    facts = [persona for one in found for persona in one.personas if len(persona) >= 3]
    lines = [json.dumps({"id": f"p{number}", "facts": own}) for number, own in enumerate(facts[:PERSONAS])]
    path.write_text("\n".join(lines), encoding="utf-8")


async def figures(rows: Sequence[Row], kit: Kit) -> dict[str, float]:
    """What is told of dialogues, whoever held them."""
    score, told = Consistency(ConsistencyParams()), []
    for row in rows:
        values = (await score.score(row, kit)).values
        facts = sum(len(persona(row, speaker)) for speaker in (0, 1))
        expressed = round(float(values["coverage"] or 0) * facts)
        contradicted = float(values["contradiction"] or 0) >= CONTRADICTED
        told.append((expressed, contradicted, await takes(row, kit)))
    return {
        "turns": sum(len(row.turns) for row in rows) / len(rows),
        "facts expressed": sum(expressed for expressed, _, _ in told) / len(told),
        "two facts expressed": sum(expressed >= 2 for expressed, _, _ in told) / len(told),
        "none contradicted": sum(not wrong for _, wrong, _ in told) / len(told),
        "none taken over": sum(not taken for _, _, taken in told) / len(told),
        "all three": sum(expressed >= 2 and not wrong and not taken for expressed, wrong, taken in told) / len(told),
    }


async def takes(row: Row, kit: Kit) -> bool:
    """Whether a turn states a fact that the partner holds and its speaker does not."""
    for turn in row.turns:
        own, other = persona(row, turn.speaker), persona(row, 1 - turn.speaker)
        found = await kit.nli.score([(turn.text, fact) for fact in [*own, *other]])
        entailed = [score.entailment for score in found]
        if max(entailed[len(own) :], default=0) > max(TAKEN, *entailed[: len(own)]):
            return True
    return False


async def tell(corpus: Corpus, rows: list[Row], people: list[Row]) -> None:
    """Print all figures."""
    dead = len(list(corpus.dead_letters()))
    gates = Counter(line.gate for row in rows for line in row.extracted)
    lines = sum(gates.values())
    decided = Counter(row.decision for row in rows)
    facts = sum(len(speaker.facts_of("extract")) for row in rows for speaker in row.speakers)
    print(f"rows {len(rows)}, dead letters {dead} ({dead / (dead + len(rows)):.1%})")
    print("decided: " + ", ".join(f"{name} {count / len(rows):.0%}" for name, count in decided.most_common()))
    print(f"lines of extract {lines}: " + ", ".join(f"{name} {n / lines:.1%}" for name, n in gates.most_common()))
    print(f"facts extracted a dialogue {facts / len(rows):.2f}")
    nli, embedder = Nli(NliModel(name="nli-small")), Embeddings(EmbeddingModel())
    kit = replace(example_kit(), nli=nli, embedder=embedder)
    sets = {"all rows": rows, "accepted": [row for row in rows if row.decision == "accept"], "people": people}
    for name, some in sets.items():
        if some:
            print(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in (await figures(some, kit)).items()))
    nli.close()
    embedder.close()


def main() -> None:
    """Make the corpus, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--adapter", default="persona", help="an adapter of SmolLM2, or none")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found = held_out(given.data)
    write_seeds(given.folder / "personas.jsonl", found)
    known = os.path.abspath(given.adapter) if os.path.isdir(given.adapter) else given.adapter
    adapter = "null" if known == "none" else known
    place = given.folder.absolute()
    own = [f"corpus={place}/corpus", f"seeds=[{{path: {place}/personas.jsonl}}]", f"models.writer.adapter={adapter}"]
    job = load_job(JOB, [*own, "run.rows_per_shard=25", *given.set])
    print_machine()
    run(job, allow_failures=True)
    corpus = Corpus(job.corpus)
    asyncio.run(tell(corpus, list(corpus.rows()), [row_of(replace(one, turns=one.turns[:TURNS])) for one in found]))


if __name__ == "__main__":
    main()
