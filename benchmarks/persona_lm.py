"""The figures of persona-lm's card: `python benchmarks/persona_lm.py MODEL DATA [--corpus CORPUS] [--judge NLI]`.

The model talks to itself, eight turns, sampled, on personas of held-out grammar values and on Multi-Session Chat
personas of which no fact is in the training corpus. With `--corpus`, the same figures of a corpus that a job made (with
candidates, say), and the share of its turns that `--judge`, an NLI model that did not choose them, finds contradicted.
DATA is a folder with the published files. A fact counts as expressed if a turn of its owner lies above cosine 0.6 to it
in MiniLM's space, or holds at least 60 % of its content words. Plain transformers, no server; it gives up speed.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.engines import Message
from factory.methods.makers.triples import RELATIONS
from factory.methods.prompts import bundled, render
from factory.methods.scores.consistency import persona
from factory.models import resolve
from factory.scorers.nli import Nli, NliModel
from factory.store.corpus import Corpus
from factory.training.chats import Tokens
from factory.training.dialogues import END
from factory.training.examples import NOTHING, PublishedTalk, converse, draw_extract, read_talk
from factory.training.grammar import attributes, draw_persona, sentence
from factory.training.lm import perplexity
from factory.training.words import content

COSINE = 0.6
OVERLAP = 0.6
RELEVANT = 0.3
CONTRADICTED = 0.5
Dialogue = tuple[tuple[list[str], list[str]], list[str]]


class Chatter:
    """Samples turns from a model, many dialogues at once."""

    def __init__(self, folder: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.tokenizer = AutoTokenizer.from_pretrained(resolve(folder), padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(resolve(folder), dtype=torch.float32).eval()

    @torch.inference_mode()
    def reply(self, chats: Sequence[Sequence[Message]], temperature: float = 0.7) -> list[str]:
        """One reply to each chat; temperature 0 is greedy."""
        apply: Any = self.tokenizer.apply_chat_template
        texts = [apply(list(chat), tokenize=False, add_generation_prompt=True) for chat in chats]
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        batch.pop("token_type_ids", None)
        sampling = (
            {"do_sample": True, "temperature": temperature, "top_p": 0.9} if temperature else {"do_sample": False}
        )
        out = self.model.generate(**batch, max_new_tokens=64, **sampling)
        return [
            text.strip()
            for text in self.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        ]


def self_chats(chatter: Chatter, personas: Sequence[tuple[list[str], list[str]]], turns: int = 8) -> list[Dialogue]:
    """Dialogues of at most `turns` turns between the model and itself; one that says goodbye ends there."""
    template = bundled("converse")
    prompts = [
        [render(template, role=None, partner_role=None, facts=facts, topic=None) for facts in pair] for pair in personas
    ]
    said: list[list[str]] = [[] for _ in personas]
    for turn in range(turns):
        who = turn % 2
        open_ = [i for i in range(len(personas)) if not said[i] or not said[i][-1].endswith(END.strip())]
        chats = []
        for i in open_:
            system, begin = prompts[i][who]
            history = [
                Message(role="assistant" if k % 2 == who else "user", content=text) for k, text in enumerate(said[i])
            ]
            chats.append([system, *([begin] if who == 0 else []), *history])
        if not chats:
            break
        for i, text in zip(open_, chatter.reply(chats), strict=True):
            said[i].append(text)
    return list(zip(personas, said, strict=True))


def vectors_of(texts: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """MiniLM's unit vector of each text."""
    from sentence_transformers import SentenceTransformer

    distinct = sorted(set(texts))
    minilm = SentenceTransformer(resolve("minilm"), device="cpu")
    return dict(zip(distinct, minilm.encode(distinct, normalize_embeddings=True, batch_size=128), strict=True))


def expressed(dialogues: Sequence[Dialogue], facts_of: Sequence[tuple[list[str], list[str]]]) -> list[tuple[int, int]]:
    """Of each dialogue, the facts its turns express, and those by words alone; `facts_of` may be other people's."""
    vectors = vectors_of(text for (own, other), turns in dialogues for text in (*own, *other, *turns))
    counts = []
    for (_, turns), personas in zip(dialogues, facts_of, strict=True):
        found = worded = 0
        for who in (0, 1):
            own = turns[who::2]
            if not own or not personas[who]:
                continue
            for fact in personas[who]:
                words = content(fact)
                by_words = bool(words) and any(len(words & content(turn)) / len(words) >= OVERLAP for turn in own)
                worded += by_words
                found += by_words or any(float(vectors[fact] @ vectors[turn]) > COSINE for turn in own)
        counts.append((found, worded))
    return counts


def chat_figures(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Shares of dialogues that express facts, of facts expressed, of repeated turns; distinct-2; the chance level."""
    own = [personas for personas, _ in dialogues]
    counts, chance = expressed(dialogues, own), expressed(dialogues, own[1:] + own[:1])
    turns = [turn for _, said in dialogues for turn in said]
    repeated = sum(turn in said[:i] for _, said in dialogues for i, turn in enumerate(said))
    pairs = [pair for turn in turns for pair in zip(turn.lower().split(), turn.lower().split()[1:], strict=False)]
    total = sum(len(a) + len(b) for a, b in own)
    return {
        "dialogues": len(dialogues),
        "at least 1 fact": sum(found >= 1 for found, _ in counts) / len(counts),
        "at least 2 facts": sum(found >= 2 for found, _ in counts) / len(counts),
        "facts expressed": sum(found for found, _ in counts) / total,
        "facts expressed, by words": sum(worded for _, worded in counts) / total,
        "chance: at least 1 fact": sum(found >= 1 for found, _ in chance) / len(chance),
        "repeated turns": repeated / len(turns),
        "distinct-2": len(set(pairs)) / len(pairs),
        "turns a dialogue": len(turns) / len(dialogues),
    }


def recall_figure(chatter: Chatter, number: int = 200) -> float:
    """Share of questions about a held-out fact whose greedy answer holds the value, of any fact that answers it.

    Questions that any fact would answer ("Tell me something about you") are not asked."""
    rng = random.Random(5)
    anything = {form for name in ("ritual", "once") for form in attributes()[name].ask}
    chats: list[list[Message]] = []
    values = []
    while len(chats) < number:
        facts = draw_persona(rng, 5, "held")
        fact = rng.choice(facts)
        forms = [form for form in fact.attribute.ask if form not in anything]
        if not forms:
            continue
        form = rng.choice(forms)
        system, _ = render(bundled("converse"), role=None, partner_role=None, facts=[f.text for f in facts], topic=None)
        question = sentence(form, rng, {"r": "brother", **fact.values})
        chats.append([system, Message(role="user", content=question)])
        values.append([f.values["v"].lower() for f in facts if form in f.attribute.ask])
    replies = [reply for i in range(0, number, 50) for reply in chatter.reply(chats[i : i + 50], 0)]
    return (
        sum(any(v in reply.lower() for v in answers) for reply, answers in zip(replies, values, strict=True)) / number
    )


def extract_figures(chatter: Chatter, number: int = 200) -> dict[str, float]:
    """Extraction on turns of held-out values, greedy: F1 of whole lines, and the share of empty turns called empty."""
    rng = random.Random(6)
    examples = [draw_extract(rng, "held", PublishedTalk()) for _ in range(number)]
    prompts = [example.messages[:-1] for example in examples]
    replies = [reply for i in range(0, number, 50) for reply in chatter.reply(prompts[i : i + 50], 0)]
    wanted = [set(example.messages[-1]["content"].splitlines()) for example in examples]
    found = [set(reply.splitlines()) for reply in replies]
    telling = [(want, got) for want, got in zip(wanted, found, strict=True) if want != {NOTHING}]
    empty = [got == {NOTHING} for want, got in zip(wanted, found, strict=True) if want == {NOTHING}]
    right = sum(len(want & got) for want, got in telling)
    return {
        "extraction, grammar: F1 of lines": 2 * right / sum(len(want) + len(got) for want, got in telling),
        "extraction, grammar: none": sum(empty) / len(empty),
    }


def real_extract_figures(chatter: Chatter, data: Path, number: int = 300) -> dict[str, float]:
    """Extraction on people's turns. F1 of content words between what is extracted and the one fact that a reply of
    Grounded Minimal Editing was rewritten to state; and the share of turns of held-out Synthetic-Persona-Chat dialogues
    that are questions or reactions without a first-person word, and called empty."""
    rng = random.Random(7)
    edits = json.loads((data / "nli" / "persona_minimal_edit_valid.json").read_text(encoding="utf-8"))
    edits = rng.sample([row for row in edits if len(row["intervening_persona"]) == 1], number)
    replies = extracted(chatter, [row["references"][0] for row in edits])
    right = said = meant = 0
    for reply, row in zip(replies, edits, strict=True):
        got, want = content("" if reply == NOTHING else reply), content(row["intervening_persona"][0])
        right, said, meant = right + len(got & want), said + len(got), meant + len(want)
    with (data / "dialogues" / "synthetic_persona_chat_valid.csv").open(encoding="utf-8", newline="") as file:
        talk = "\n".join(row["Best Generated Conversation"] for row in list(csv.DictReader(file))[:100])
    turns = sorted({turn for turn in re.findall(r"^User [12]: (.*)$", talk, re.MULTILINE) if states_nothing(turn)})
    empty = [reply == NOTHING for reply in extracted(chatter, rng.sample(turns, min(number, len(turns))))]
    return {
        "extraction, people: F1 of words": 2 * right / (said + meant),
        "extraction, people: none": sum(empty) / len(empty),
    }


def states_nothing(turn: str) -> bool:
    """Whether a turn has no word of the first person (a rule of thumb)."""
    return not re.search(r"\b(i|i'm|i've|i'd|i'll|me|my|mine|we|our|us)\b", turn.lower())


def extracted(chatter: Chatter, turns: Sequence[str]) -> list[str]:
    """What the model extracts from each turn, greedy."""
    prompts = [render(bundled("extract"), form="sentence", relations=list(RELATIONS), utterance=turn) for turn in turns]
    return [reply for i in range(0, len(prompts), 50) for reply in chatter.reply(prompts[i : i + 50], 0)]


def perplexity_figures(chatter: Chatter, data: Path) -> dict[str, float]:
    """Perplexity of people's turns (held-out Synthetic-Persona-Chat), with the right persona and with a wrong one."""
    path = data / "dialogues" / "synthetic_persona_chat_valid.csv"
    everything, trained = (read_talk(path, skip).dialogues for skip in (0, 100))
    held = everything[: len(everything) - len(trained)]
    tokens = Tokens(chatter.tokenizer, 1024)
    chats = [converse(personas[side], turns, side).messages for personas, turns in held for side in (0, 1)]
    wrong = [(other[0], *chat[1:]) for chat, other in zip(chats, chats[2:] + chats[:2], strict=True)]
    own, others = (perplexity(chatter.model, tokens, some) for some in (chats, wrong))
    return {"perplexity, people": own, "perplexity, right / wrong persona": own / others}


def corpus_dialogues(uri: str, number: int) -> list[Dialogue]:
    """Drawn dialogues of a corpus, whatever their decision, with the facts that generation was given."""
    rows = list(Corpus(uri).rows())
    rows = random.Random(1).sample(rows, min(number, len(rows)))
    return [((persona(row, 0), persona(row, 1)), [turn.text for turn in row.turns]) for row in rows]


async def contradicted(dialogues: Sequence[Dialogue], judge: str) -> float:
    """Share of turns that a fact of their speaker, of cosine 0.3 or more, contradicts (P of 0.5 or more)."""
    vectors = vectors_of(text for (own, other), turns in dialogues for text in (*own, *other, *turns))
    spoken = [
        (number, place, turn, personas[place % 2])
        for number, (personas, turns) in enumerate(dialogues)
        for place, turn in enumerate(turns)
    ]
    pairs = [
        (number, place, fact, turn)
        for number, place, turn, facts in spoken
        for fact in facts
        if float(vectors[fact] @ vectors[turn]) >= RELEVANT
    ]
    nli = Nli(NliModel(name=judge))
    scores = await nli.score([(fact.lower(), turn.lower()) for _, _, fact, turn in pairs])
    nli.close()
    found = {pair[:2] for pair, score in zip(pairs, scores, strict=True) if score.contradiction >= CONTRADICTED}
    return len(found) / len(spoken)


def held_personas(path: Path, talk: PublishedTalk, number: int) -> list[tuple[list[str], list[str]]]:
    """Multi-Session Chat personas of which the training corpus holds no fact."""
    known = {fact.lower() for fact in talk.facts}
    rows = [json.loads(line)["facts"] for line in path.read_text(encoding="utf-8").splitlines()]
    fresh = [facts for facts in rows if 3 <= len(facts) <= 8 and not known & {fact.lower() for fact in facts}]
    lists = random.Random(1).sample(fresh, 2 * number)
    return list(zip(lists[::2], lists[1::2], strict=True))


def grammar_personas(number: int) -> list[tuple[list[str], list[str]]]:
    """Personas of values that no training example holds."""
    rng = random.Random(1)
    lists = [[fact.text for fact in draw_persona(rng, rng.randint(3, 6), "held")] for _ in range(2 * number)]
    return list(zip(lists[::2], lists[1::2], strict=True))


def show(title: str, figures: dict[str, float]) -> None:
    """Print figures under a title."""
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:36} {value:.3f}", flush=True)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--dialogues", type=int, default=100)
    parser.add_argument("--corpus")
    parser.add_argument("--judge", default="nli-small")
    given = parser.parse_args()
    if given.corpus:
        dialogues = corpus_dialogues(given.corpus, given.dialogues)
        judged = asyncio.run(contradicted(dialogues, given.judge))
        show(given.corpus, {**chat_figures(dialogues), f"turns contradicted, by {given.judge}": judged})
        return
    chatter = Chatter(given.model, seed=1)
    talk = read_talk(given.data / "dialogues" / "synthetic_persona_chat_valid.csv")
    msc = held_personas(given.data / "personas" / "msc_personas.jsonl", talk, given.dialogues)
    show("held-out values of the grammar", chat_figures(self_chats(chatter, grammar_personas(given.dialogues))))
    show("Multi-Session Chat personas", chat_figures(self_chats(chatter, msc)))
    show("one call", {"held-out value, asked for": recall_figure(chatter), **extract_figures(chatter)})
    show("people", {**real_extract_figures(chatter, given.data), **perplexity_figures(chatter, given.data)})


if __name__ == "__main__":
    main()
