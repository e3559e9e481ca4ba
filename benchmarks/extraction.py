"""What an extractor is worth: `python -m benchmarks.extraction DATA [--adapter FOLDER] [--rounds 2] [--read FILE]`.

DATA is a folder with the published files. F1 is that of content words against the one fact that a reply of Grounded
Minimal Editing was rewritten to state (300 of them), beside that of an echo of the whole reply; the turns that state
nothing are 300 of held-out Synthetic-Persona-Chat without a word of the first person. Then the gate `telling`: calls an
utterance and facts kept. Last, facts that pass all gates of `extract` for each core-second, of the dialogue model and
of the extractor in turn, on held-out dialogues; `--read` writes the extractor's facts, to be read. Limitations: facts
of the edited replies that stand in personas of the training dialogues are told apart, others may be alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.machine import print_machine
from benchmarks.writer import held_out
from factory.engines import Engine, LanguageModel
from factory.engines.vllm import VllmEngine
from factory.methods import Kit
from factory.methods.example import kit as example_kit
from factory.methods.makers.extract import Extract, ExtractParams
from factory.methods.makers.listed import facts_in
from factory.methods.makers.telling import telling
from factory.running.models import Counted
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.store.records import Row
from factory.training.extracted import figures
from factory.training.extractor_pairs import OWN, told
from factory.training.persona_chats import row_of
from factory.training.published import HELD, Dialogue, dialogues
from factory.training.telling import kept

PAIRS, DIALOGUES = 300, 8
THRESHOLD = 0.3
DIALOGUE, TRAINED = Extract(ExtractParams()), Extract(ExtractParams(trained=True))
GATED = Extract(ExtractParams(trained=True, min_telling=THRESHOLD))


async def read_off(maker: Extract, engine: Engine, turns: Sequence[str]) -> list[list[str]]:
    """What the model writes for each turn, before any gate."""
    replies = await asyncio.gather(*(engine.generate(maker.request(turn)) for turn in turns))
    return [[line for line, whole in facts_in(reply.completions[0]) if whole] for reply in replies]


def edited(data: Path) -> list[tuple[str, str]]:
    """Replies that people rewrote to state a fact, and the fact."""
    rows = json.loads((data / "nli" / "persona_minimal_edit_valid.json").read_text(encoding="utf-8"))
    rows = random.Random(7).sample([row for row in rows if len(row["intervening_persona"]) == 1], PAIRS)
    return [(row["references"][0], row["intervening_persona"][0]) for row in rows]


def plain(text: str) -> str:
    """A text without what differs between the files' spellings."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def states_nothing(turn: str) -> bool:
    """Whether a turn has no word of the first person."""
    return not OWN.search(turn)


async def quality(data: Path, engine: Engine, name: str, maker: Extract) -> None:
    """F1 on edited replies, and turns that state nothing."""
    pairs = edited(data)
    known = {plain(fact) for one in found(data) if one.number >= HELD for own in one.personas for fact in own}
    read = await read_off(maker, engine, [reply for reply, _ in pairs])
    fresh = [place for place, (_, fact) in enumerate(pairs) if plain(fact) not in known]
    wanted = [(fact,) for _, fact in pairs]
    for who, lines in ((name, read), ("echo", [[reply] for reply, _ in pairs])):
        whole, part = figures(wanted, lines), figures([wanted[n] for n in fresh], [lines[n] for n in fresh])
        assert whole.f1 is not None
        print(
            f"{who}: F1 {whole.f1:.3f} (precision {whole.precision:.3f}, recall {whole.recall:.3f}), "
            f"ROUGE-L {whole.rouge_l:.3f}; F1 of the {len(fresh)} facts in no persona that was learned {part.f1:.3f}"
        )
    turns = sorted({turn for one in held_out(data) for turn in one.turns if states_nothing(turn)})
    turns = random.Random(7).sample(turns, min(PAIRS, len(turns)))
    lines = await read_off(maker, engine, turns)
    print(
        f"{name}: {sum(not one for one in lines) / len(turns):.3f} of {len(turns)} turns that state nothing left empty"
    )


def found(data: Path) -> list[Dialogue]:
    """All dialogues of Synthetic-Persona-Chat."""
    return dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv")


async def gate(data: Path, nli: Nli) -> None:
    """What the gate before the call lets pass, and what it keeps."""
    turns = await told(held_out(data), nli)
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.5):
        passed, of_persona, of_all = kept(turns, threshold)
        print(f"gate at {threshold:.2f}: {passed:.3f} calls an utterance; kept {of_persona:.3f} of the personas' facts "
              f"that are told, {of_all:.3f} of all")  # fmt: skip
    lines = (data / "dialogues" / "convai2_valid_self_original.txt").read_text(encoding="utf-8").splitlines()
    said = [text for line in lines if "your persona:" not in line for text in line.partition(" ")[2].split("\t")[:2]]
    asked = sum(telling(text) >= THRESHOLD for text in said) / len(said)
    stating = [reply for reply, _ in edited(data)]
    passed = sum(telling(text) >= THRESHOLD for text in stating) / len(stating)
    print(f"gate at {THRESHOLD}: {asked:.3f} calls an utterance of ConvAI2; {passed:.3f} of the edited replies pass")


class Spent:
    """Core-seconds of this process and those below it."""

    def __init__(self) -> None:
        self._begun = self._now()

    def so_far(self) -> float:
        """Since this was made."""
        return self._now() - self._begun

    @staticmethod
    def _now() -> float:
        below = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
        return time.process_time() + sum(taken.user + taken.system for taken in below)


async def speed(rows: Sequence[Row], maker: Extract, kit: Kit) -> tuple[float, list[Row]]:
    """Facts a core-second that pass all gates, and the rows."""
    spent = Spent()
    calls = sum(len(list(maker.prompts(row))) for row in rows)
    await asyncio.gather(*(maker.run(row, kit) for row in rows))
    facts = sum(len(speaker.facts_of("extract")) for row in rows for speaker in row.speakers)
    taken, turns = spent.so_far(), sum(len(row.turns) for row in rows)
    print(f"  {facts} facts of {turns} turns, {calls / turns:.3f} calls a turn, {taken:.1f} core-seconds: "
          f"{facts / taken:.2f} facts a core-second", flush=True)  # fmt: skip
    return facts / taken, list(rows)


async def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--adapter", default="extractor", help="the extractor: an adapter of SmolLM2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--read", type=Path, help="where the extractor's facts go, with their turns")
    given = parser.parse_args()
    print_machine()
    adapter = str(given.adapter if not Path(given.adapter).is_dir() else Path(given.adapter).absolute())
    engines = [
        VllmEngine(LanguageModel(name="smollm2", adapter=name, max_model_len=1024, max_num_seqs=64), [name])
        for name in ("persona", adapter)
    ]
    nli, embedder = Nli(NliModel(name="nli-small")), Embeddings(EmbeddingModel())
    kits = [
        replace(example_kit(), engine=Counted(engine, lambda _: None, name), nli=nli, embedder=embedder)
        for engine, name in zip(engines, ("persona", adapter), strict=True)
    ]
    await quality(given.data, kits[0].engine, "dialogue model", DIALOGUE)
    await quality(given.data, kits[1].engine, "extractor", TRAINED)
    await gate(given.data, nli)
    talk = [row_of(one) for one in held_out(given.data)[:DIALOGUES]]
    shares: list[float] = []
    for _ in range(given.rounds):
        asked, _ = await speed([deepcopy(row) for row in talk], DIALOGUE, kits[0])
        own, rows = await speed([deepcopy(row) for row in talk], GATED, kits[1])
        shares.append(own / asked)
    print("facts a core-second, over the dialogue model: " + ", ".join(f"{share:.2f}" for share in shares))
    if given.read:
        told_lines = [f"{row.turns[fact.turn].text}\t{fact.text}" for row in rows for speaker in row.speakers
                      for fact in speaker.facts if fact.origin == "extract" and fact.turn is not None]  # fmt: skip
        given.read.write_text("\n".join(told_lines) + "\n", encoding="utf-8")
    for kit in kits:
        await kit.engine.close()
    nli.close()
    embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
