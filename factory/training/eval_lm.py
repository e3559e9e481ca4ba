"""`factory eval-lm`: what a dialogue model makes of held-out dialogues, with its persona, a stranger's, and none.

The table of PPDS (arXiv 2412.09034) and its field: perplexity, hits@1, F1, distinct-n, C score. A model that uses its
persona does best with its own. All is measured over the same turns, against the facts of the true speaker, so the
columns compare; intervals are by bootstrap over dialogues. Limitations: replies are the likeliest ones, word by word;
of distinct-n, which is no mean over dialogues, there is no interval; what a model thinks aloud counts as said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from factory.base.bootstrap import Values, ratios
from factory.base.distinct import distinct
from factory.base.hardware import has_bfloat16
from factory.engines.adapters import AdapterError, located
from factory.methods.makers.broken import END
from factory.methods.makers.converse import ConverseParams
from factory.models import resolve, short
from factory.scorers.nli import Nli, NliModel, Probabilities
from factory.training import TrainingError
from factory.training.chats import Tokens
from factory.training.held_out import OTHERS, Asked, HeldOut, Persona
from factory.training.likelihoods import Likelihoods, generated
from factory.training.reply_measures import held, token_f1

PERSONAS: tuple[Persona, ...] = get_args(Persona)
_LONGEST = ConverseParams().sampling.max_tokens
"""Tokens of a reply, at most: as `converse` has it."""
_LEVEL = 0.95
_NLI_AT_ONCE = 512
RATIOS = ("perplexity", "hits_at_1", "f1", "c_score", "entailed_share", "contradicted_share")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure with one persona: its value and the ends of its interval of 95 %, and whether it differs from that with
    the own persona by more than chance: whether the interval of the difference, over the same dialogues, leaves out 0.
    None where it is not known."""

    value: float | None
    least: float | None = None
    most: float | None = None
    differs: bool | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`figures` by measure and persona, over so many dialogues and turns; `given` are the turns whose other replies all
    came with the file, `left_out` what was not evaluated, and why."""

    model: str
    adapter: str | None
    nli: str
    data: str
    version: int | None
    dialogues: int
    turns: int
    given: int
    figures: dict[str, dict[Persona, Figure]]
    left_out: dict[str, int] = field(default_factory=dict)
    replies: list[dict[str, str]] = field(default_factory=list)
    """What was said in the first turns, and what the model said in its place."""


_SHOWN = 3


def opened(name: str, revision: str | None, adapter: str | None) -> tuple[Any, Any]:
    """Tokenizer and model, the adapter in its weights, on the GPU if there is one. Raises TrainingError."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]
    path = resolve(name)
    if Path(path, "adapter_config.json").is_file():
        raise TrainingError(f"{name} is an adapter: name the model that it belongs to, and --adapter {name}")
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model: Any = AutoModelForCausalLM.from_pretrained(path, revision=revision, dtype=dtype)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(located(adapter))).merge_and_unload(safe_merge=True)
    except (OSError, ValueError, RuntimeError, AdapterError) as error:
        raise TrainingError(f"model {name} cannot be loaded: {error}") from error
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    return tokenizer, model.to(device).eval()


def evaluation(  # noqa: PLR0917
    name: str,
    adapter: str | None,
    revision: str | None,
    place: str,
    data: HeldOut,
    nli: NliModel,
    report: Callable[[str, int], None] = lambda *_: None,
) -> Evaluation:
    """Evaluate the model of this name on dialogues that lie in `place`. Raises TrainingError and ScorerStartError."""
    tokenizer, model = opened(name, revision, adapter)
    asked, figures, said = evaluate(model, tokenizer, data, nli, report)
    first = [
        {"said": one.reply} | {persona: said[column][number] for column, persona in enumerate(PERSONAS)}
        for number, one in enumerate(asked[:_SHOWN])
    ]
    return Evaluation(
        short(name), adapter and short(adapter), short(nli.name), place, data.version,
        len({one.dialogue for one in asked}), len(asked), sum(one.given for one in asked), figures,
        dict(data.left_out), first,
    )  # fmt: skip


def evaluate(
    model: Any, tokenizer: Any, data: HeldOut, nli: NliModel, report: Callable[[str, int], None] = lambda *_: None
) -> tuple[list[Asked], dict[str, dict[Persona, Figure]], list[list[str]]]:
    """The turns that are evaluated, what is measured, and by persona what the model says. Raises TrainingError where
    nothing can be asked, and ScorerStartError."""
    window = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 1 << 30))
    tokens = Tokens(tokenizer, window)
    asked = _fitting(data.asked(), tokens, window, data.left_out)
    if not asked:
        why = ", ".join(f"{count:,} {reason}" for reason, count in data.left_out.items())
        raise TrainingError(f"there is no turn to evaluate; left out: {why}")
    sums = _likelihoods(model, tokens, asked, report)
    said, total = list[list[str]](), len(PERSONAS) * len(asked)
    for persona in PERSONAS:
        prompts = [tokens.prompt(one.prompts[persona]) for one in asked]
        told = partial(_told, report, f"of {total:,} replies generated", len(said) * len(asked))
        texts = generated(model, tokens, prompts, _LONGEST, told)
        said.append([" ".join(text.strip().removesuffix(END).split()) for text in texts])
    sums.update(_of_replies(asked, said, asyncio.run(_entailed(asked, said, nli, report))))
    return asked, _figures(asked, sums) | _distinct(said), said


def _told(report: Callable[[str, int], None], what: str, before: int, done: int) -> None:
    report(what, before + done)


def _fitting(asked: Sequence[Asked], tokens: Tokens, window: int, left_out: Counter[str]) -> list[Asked]:
    """Those that the model can read and answer."""
    found = [
        one for one in asked if max(len(tokens.prompt(prompt)) for prompt in one.prompts.values()) + _LONGEST < window
    ]
    if more := len(asked) - len(found):
        left_out["turns longer than the model reads"] += more
    return found


Sums = dict[str, tuple[Values, Values]]
"""By measure, what is summed up over turns and what that is divided by, each of shape (turns, PERSONAS)."""


def _likelihoods(model: Any, tokens: Tokens, asked: Sequence[Asked], report: Callable[[str, int], None]) -> Sums:
    """Perplexity, and how often the true reply is the likeliest by the mean over its tokens."""
    lost, count, hits, ranked = (np.zeros((len(asked), len(PERSONAS))) for _ in range(4))
    total = len(PERSONAS) * len(asked)
    for column, persona in enumerate(PERSONAS):
        likely = Likelihoods(model, tokens)
        for number, one in enumerate(asked):
            found = likely(one.prompts[persona], (one.reply, *one.others))
            lost[number, column], count[number, column] = -found[0][0], found[0][1]
            means = [whole / length for whole, length in found]
            ranked[number, column] = len(one.others) == OTHERS
            hits[number, column] = ranked[number, column] and means[0] > max(means[1:])
            report(f"of {total:,} replies ranked", column * len(asked) + number + 1)
    return {"perplexity": (lost, count), "hits_at_1": (hits, ranked)}


async def _entailed(
    asked: Sequence[Asked], said: Sequence[Sequence[str]], model: NliModel, report: Callable[[str, int], None]
) -> list[list[list[Probabilities]]]:
    """By persona and turn, what NLI makes of each of the speaker's own facts and the reply."""
    pairs = [(fact, reply) for replies in said for one, reply in zip(asked, replies, strict=True) for fact in one.facts]
    nli, scored = Nli(model), list[Probabilities]()
    try:
        for start in range(0, len(pairs), _NLI_AT_ONCE):
            scored += await nli.score(pairs[start : start + _NLI_AT_ONCE])
            report(f"of {len(pairs):,} facts and replies compared", len(scored))
    finally:
        nli.close()
    found = iter(scored)
    return [[[next(found) for _ in one.facts] for one in asked] for _ in said]


def _of_replies(
    asked: Sequence[Asked], said: Sequence[Sequence[str]], entailed: Sequence[Sequence[Sequence[Probabilities]]]
) -> Sums:
    """F1 of replies, and what they say of the speaker's own facts; of a speaker with distractors alone nothing."""
    f1 = np.array([[token_f1(reply, one.reply.removesuffix(END)) for reply, one in zip(replies, asked, strict=True)]
                   for replies in said]).T  # fmt: skip
    of_facts = np.array([[held(facts) for facts in turns] for turns in entailed], np.float64)
    known = np.repeat(np.array([[bool(one.facts)] for one in asked], np.float64), len(PERSONAS), axis=1)
    sums = {name: (of_facts[:, :, place].T, known) for place, name in enumerate(RATIOS[3:])}
    return {"f1": (f1, np.ones_like(f1))} | sums


def _figures(asked: Sequence[Asked], sums: Sums) -> dict[str, dict[Persona, Figure]]:
    """Ratios of sums, with intervals over dialogues."""
    dialogues = np.array([one.dialogue for one in asked])
    _, of = np.unique(dialogues, return_inverse=True)
    parts = [np.concatenate([sums[name][part] for name in RATIOS], axis=1) for part in (0, 1)]
    grouped = []
    for part in parts:
        whole = np.zeros((of.max() + 1, part.shape[1]))
        np.add.at(whole, of, part)
        grouped.append(whole)
    drawn = ratios(grouped[0], grouped[1]).reshape(-1, len(RATIOS), len(PERSONAS))
    drawn[:, RATIOS.index("perplexity")] = np.exp(drawn[:, RATIOS.index("perplexity")])
    return {
        name: {
            persona: _figure(drawn[:, row, column], drawn[:, row, 0] if column else None, several=len(whole) > 1)
            for column, persona in enumerate(PERSONAS)
        }
        for row, name in enumerate(RATIOS)
    }


def _figure(drawn: Values, own: Values | None, several: bool) -> Figure:
    """Of a value and its resamples, and those with the own persona; a single dialogue tells no difference."""
    if np.isnan(drawn[0]):
        return Figure(None)
    least, most = _interval(drawn)
    if own is None:
        return Figure(float(drawn[0]), least, most)
    low, high = _interval(drawn - own)
    return Figure(float(drawn[0]), least, most, several and not low <= 0 <= high)


def _interval(drawn: Values) -> tuple[float, float]:
    edge = (1 - _LEVEL) / 2
    least, most = np.nanquantile(drawn[1:], [edge, 1 - edge])
    return float(least), float(most)


def _distinct(said: Sequence[Sequence[str]]) -> dict[str, dict[Persona, Figure]]:
    words = min(distinct(replies)["words"] for replies in said)  # since the share falls with the length
    found = {persona: distinct(replies, words) for persona, replies in zip(PERSONAS, said, strict=True)}
    return {name: {one: Figure(known[name]) for one, known in found.items()} for name in ("distinct_1", "distinct_2")}
