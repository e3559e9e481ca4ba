"""Converse: two speakers, each knowing its own persona only, talk turn by turn; or one call writes the whole dialogue.

Turn by turn, the model plays both sides in alternation: a prompt holds one speaker's facts, its own turns as the
assistant's and its partner's as the user's, so no fact crosses over but through what is said. A turn grows the
speaker's last prompt only at its end, which is what a prefix cache reuses. The one-call variant (`mode: script`) is
one request in guided JSON instead of one a turn, and gives that separation up: its model sees both personas. A speaker
can end the dialogue with `[END]` after `min_turns`. Where the first fact begins with "He", "She" or "They", the prompt
says that this is the speaker. Limitations: a persona that someone else tells in another way ("Maria is a nurse.", "Her
job is hard.") is shown as it is; broken turns are found by rules for English and common
chat markup; what reads well is left to scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from factory.engines import Completion, Message, Reply, Request, Sampling
from factory.methods import (
    Calls,
    EmbeddingModelName,
    Kit,
    LanguageModelName,
    ModelKind,
    NliModelName,
    Params,
    completing,
    draw_of_pair,
)
from factory.methods.makers.broken import END, Said, excerpt, read
from factory.methods.makers.script import read_script, script_schema
from factory.methods.makers.simoap import choose
from factory.methods.prompts import bundled, names_in, render
from factory.methods.signs import is_suspect
from factory.store.records import Row, RowError, Turn, is_opened

_SAMPLING = Sampling(max_tokens=64)
_THOUGHT = (
    "the model thought but gave no answer; give it more room (sampling.max_tokens), or have it think less, as by "
    "chat_template_kwargs of the model"
)
_Attempt = tuple[Said, Completion]
_OF_TURNS = frozenset({"facts", "attributes", "role", "partner_role", "topic"})
_OF_SCRIPTS = frozenset({"speakers", "topic", "opening", "turns"})


class ConverseParams(Params):
    """Parameters of `converse`."""

    method: Literal["converse"] = Field("converse", description="The method.")
    mode: Literal["turns", "script"] = Field(
        "turns",
        description="turns: one call a turn, each speaker blind to the other's persona; script: one call in all.",
    )
    turns: int = Field(8, ge=1, description="Turns of both speakers together, at most.")
    min_turns: int = Field(4, ge=1, description="A speaker can end the dialogue from this turn on.")
    roles: tuple[str, str] | None = Field(
        None, description="Role of each speaker, the one who opens first; the names of `pairing.pools` unless set."
    )
    topics: tuple[str, ...] = Field((), description="Topics, of which each pair draws one for all its samples.")
    openings: tuple[str, ...] = Field(
        (),
        description="First turns, of which each pair draws one for all its samples; without, it is generated. Where a "
        "seed is the opening, that is said.",
    )
    attempts: int = Field(3, ge=1, description="Calls per turn (script: per dialogue) before it counts as broken.")
    candidates: int = Field(
        1, ge=1, description="Samples per turn, of which one is chosen (SimOAP, ACL 2023, has 2000 of a small model)."
    )
    keep: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the candidates, the most coherent, that NLI chooses from. SimOAP keeps 100 of 2000; "
        "with tens of candidates more have to stay.",
    )
    max_copy: float = Field(
        0.8,
        ge=0,
        le=1,
        description="A candidate that takes more of its words from the turn it answers is set aside (ours).",
    )
    relevance: float = Field(
        0.3,
        ge=-1,
        le=1,
        description="Least embedding cosine of a candidate and a fact or an own turn that NLI scores; less counts as "
        "neutral. Above that of the score `consistency`, since of several candidates each is scored, and that score "
        "follows (ours).",
    )
    contradiction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A candidate with P(contradiction) above this against an own fact or an own earlier turn, or that "
        "takes a fact of the partner for its own with such a P(entailment), is the last choice (ours).",
    )
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one by default.")
    model: LanguageModelName = Field("writer", description="The language model that talks.")
    nli: NliModelName = Field("nli", description="The NLI model that chooses between candidates.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model that says what NLI scores.")
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING,
        description="How turns are sampled; fields left out keep this maker's defaults. max_tokens is per turn, and a "
        "script gets as many for each of its turns.",
    )

    @model_validator(mode="after")
    def _candidates_need_turns(self) -> Self:
        if self.mode == "script" and self.candidates > 1:
            raise ValueError("candidates are chosen turn by turn; with `mode: script`, leave candidates at 1")
        return self


def side_of(template: str, row: Row, number: int, facts: Sequence[str]) -> tuple[Message, ...]:
    """The prompt of turn `number` (from 0) for a speaker with these facts: its side of the dialogue before it. The
    opener is always asked to start; for its partner the opening is the first message."""
    speaker, partner = row.speakers[number % 2], row.speakers[(number + 1) % 2]
    about = tuple(speaker.attributes.items())
    *begun, start = _start_of(template, tuple(facts), about, (speaker.role, partner.role), row.topic)
    history = (
        Message(role="assistant" if turn.speaker == number % 2 else "user", content=turn.text)
        for turn in row.turns[:number]
    )
    return (*begun, start, *history) if number % 2 == 0 else (*begun, *history)


def sides_of(template: str, row: Row, facts: Sequence[Sequence[str]], *, ended: bool) -> list[tuple[Message, ...]]:
    """The dialogue from either side, each ending with a turn of that speaker, whose facts are `facts` at its number;
    with [END] behind the last turn if the dialogue was `ended` so. None of an imported dialogue whose speakers do not
    alternate: it has no two sides to take."""
    if not alternates(row):
        return []
    texts = [turn.text for turn in row.turns]
    if ended:
        texts[-1] += f" {END}"
    return [
        (*side_of(template, row, number, facts[turn.speaker]), Message(role="assistant", content=texts[number]))
        for number, turn in list(enumerate(row.turns))[-2:]
    ]


def alternates(row: Row) -> bool:
    """Whether speaker 0 opens and the two take turns, which every prompt of a turn takes for granted."""
    return all(turn.speaker == number % 2 for number, turn in enumerate(row.turns))


@lru_cache(4096)  # a speaker is told the same at each of its turns
def _start_of(
    template: str,
    facts: tuple[str, ...],
    about: tuple[tuple[str, str], ...],
    roles: tuple[str | None, str | None],
    topic: str | None,
) -> tuple[Message, ...]:
    own, partner = roles
    return render(template, facts=facts, attributes=dict(about), role=own, partner_role=partner, topic=topic)


class Converse:
    """Fills the turns, and with them roles, topic and opening; reads attributes where its prompt speaks of them.

    With `candidates` above 1, each turn is sampled so often. SimOAP (ACL 2023) draws 2,000, keeps the 100 nearest to
    the query by TF-IDF and says the one that the persona entails most; here tens are drawn and the share `keep` stays.
    Bounds of ours: candidates that copy the turn they answer, that say a sentence again, that contradict an own fact or
    turn, or that take a fact of the partner for their own, are chosen only if there is no other; and a fact that is
    told speaks for none.

    A turn that copies the one before it, recites the persona or talks like an assistant (`factory.methods.signs`) is
    asked for again while attempts are left, and said if no other comes. One that is broken in all its `attempts` ends a
    dialogue of `min_turns` or more, and fails the row of a shorter one, by the fault of the last: `turn_empty`,
    `turn_thought` (a thought and no turn), `turn_marker` (chat markup, or a gap
    to be filled, as "[your name]"), `turn_refusal` (an assistant speaks),
    `turn_repeat` (an earlier turn again), `turn_loop` (words four times in a row), `turn_truncated` (cut off within a
    sentence). A script also by `script_format`: no alternating dialogue of the right length. Labels of the job's own
    roles are taken off, and what one speaker says for the other is cut off.

    >>> from factory.methods.example import dialogue, made
    >>> row = made(Converse, dialogue(), "Do you ski?", "I do.", "", "So do I. [END]", min_turns=3)
    >>> [(turn.speaker, turn.text, turn.attempts) for turn in row.turns]
    [(0, 'Do you ski?', 1), (1, 'I do.', 1), (0, 'So do I.', 2)]
    """

    name = "converse"
    version = 8
    Params = ConverseParams
    writes = frozenset({"turns", "topic", "opening", "roles"})
    of_imported = False
    donors = 0

    def __init__(self, params: ConverseParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("converse" if params.mode == "turns" else "script")

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model, and the two scorers where there are candidates to choose from."""
        return frozenset({"language", "nli", "embedding"}) if self.params.candidates > 1 else frozenset({"language"})

    @property
    def variables(self) -> frozenset[str]:
        """What the template is given, of one speaker or of both."""
        return _OF_TURNS if self.params.mode == "turns" else _OF_SCRIPTS

    @property
    def reads(self) -> frozenset[str]:
        """The facts, and attributes where the prompt speaks of them."""
        told = names_in(self.template) & {"attributes"}
        return frozenset({"facts.seed", "facts.expand"} | told)

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each turn; one for a whole script."""
        each = np.ones_like(turns) if self.params.mode == "script" else turns
        return each, each

    @staticmethod
    def clear(row: Row) -> None:
        """Take turns, topic, opening and roles off the row; not an opening that a seed gave."""
        row.turns, row.topic = [], None
        if not is_opened(row):
            row.opening = None
        for speaker in row.speakers:
            speaker.role = None

    async def run(self, row: Row, kit: Kit) -> None:
        """Hold the dialogue. Raises RowError when every attempt at a turn is broken (`turn_*`) or every attempt at a
        script is no alternating dialogue of the right length (`script_format`); RequestError, for a prompt that no
        longer fits; EngineDeadError."""
        self.clear(row)
        row.topic = _drawn(row, "topic", self.params.topics)
        row.opening = row.opening or _drawn(row, "opening", self.params.openings)
        for speaker, role in zip(row.speakers, self.params.roles or (), strict=False):
            speaker.role = role
        if self.params.mode == "script":
            await self._script(row, kit)
            return
        if row.opening is not None:
            row.turns.append(Turn(0, row.opening))
        ended = False
        while not ended and len(row.turns) < self.params.turns:
            ended = await self._turn(row, kit)

    def messages(self, row: Row, number: int) -> tuple[Message, ...]:
        """The prompt of turn `number` (from 0)."""
        return side_of(self.template, row, number, row.speakers[number % 2].facts_of("seed", "expand"))

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent; of the attempts at a turn the first."""
        if self.params.mode == "script":
            yield "dialogue", self.script_messages(row)
            return
        for number, turn in enumerate(row.turns):
            if turn.attempts:
                yield f"turn {number}", self.messages(row, number)

    async def _turn(self, row: Row, kit: Kit) -> bool:
        """Add the next turn; true if the dialogue ends with it or instead of it, by [END] or for want of a sound
        attempt."""
        number, earlier = len(row.turns), [turn.text for turn in row.turns]
        labels = _labels(row.speakers[number % 2].role), _labels(row.speakers[(number + 1) % 2].role)
        request = Request(self.messages(row, number), self.params.sampling, n=self.params.candidates)
        turn, spare = Turn(number % 2, ""), list[_Attempt]()
        own, before = row.speakers[turn.speaker].facts_of("seed", "expand"), earlier[-1] if earlier else ""
        for _ in range(self.params.attempts):
            reply = await kit.engine.generate(request)
            _count(turn, reply)
            said = [(read(completion, earlier, *labels), completion) for completion in reply.completions]
            sound = [one for one in said if one[0].fault is None]
            natural = [one for one in sound if not is_suspect(one[0].text, before, own)]
            if natural:
                return await self._say(turn, natural, row, kit)
            spare = sound or spare
            if number >= self.params.min_turns and any(one.ended and not one.text for one, _ in said):
                return True
        if spare:
            return await self._say(turn, spare, row, kit)
        if number >= self.params.min_turns:
            return True
        last = said[-1][0]
        told = excerpt(last.text) if last.fault != "turn_thought" else _THOUGHT
        raise RowError(str(last.fault), f"turn {number}: {told}", turn.attempts)

    async def _say(self, turn: Turn, attempts: Sequence[_Attempt], row: Row, kit: Kit) -> bool:
        """Add the turn with one of the attempts; true if the dialogue ends with it."""
        said, completion = attempts[await self._choose(turn, [one.text for one, _ in attempts], row, kit)]
        turn.text, turn.finish_reason, turn.reasoning = said.text, completion.finish_reason, completion.reasoning
        row.turns.append(turn)
        return said.ended and len(row.turns) >= self.params.min_turns

    async def _choose(self, turn: Turn, texts: Sequence[str], row: Row, kit: Kit) -> int:
        """Index of the text to say; the others are kept as candidates of the turn."""
        if self.params.candidates == 1:
            return 0
        turn.candidates = await choose(
            texts,
            [earlier.text for earlier in row.turns],
            row.speakers[turn.speaker].facts_of("seed", "expand"),
            row.speakers[1 - turn.speaker].facts_of("seed", "expand"),
            kit,
            keep=self.params.keep,
            max_copy=self.params.max_copy,
            relevance=self.params.relevance,
            contradiction=self.params.contradiction,
        )
        return [candidate.chosen for candidate in turn.candidates].index(True)

    def script_messages(self, row: Row) -> tuple[Message, ...]:
        """The prompt of a whole dialogue."""
        speakers = [
            {"role": one.role, "facts": one.facts_of("seed", "expand"), "attributes": one.attributes}
            for one in row.speakers
        ]
        return render(self.template, speakers=speakers, topic=row.topic, opening=row.opening, turns=self.params.turns)

    async def _script(self, row: Row, kit: Kit) -> None:
        sampling, shortest = self.params.sampling, min(self.params.min_turns, self.params.turns)
        request = Request(
            self.script_messages(row),
            sampling.model_copy(update={"max_tokens": sampling.max_tokens * self.params.turns}),
            json_schema=script_schema(shortest, self.params.turns),
        )
        first = Turn(0, "")
        for _ in range(self.params.attempts):
            reply = await kit.engine.generate(request)
            _count(first, reply)
            try:
                texts = read_script(reply.completions[0].text, row.opening, shortest, self.params.turns)
            except RowError as error:
                broken = error
                continue
            first.text, first.finish_reason = texts[0], reply.completions[0].finish_reason
            first.reasoning = reply.completions[0].reasoning
            row.turns = [first, *(Turn(number % 2, text) for number, text in enumerate(texts[1:], 1))]
            return
        raise RowError(broken.reason, broken.detail, first.attempts)


def _count(turn: Turn, reply: Reply) -> None:
    turn.attempts += 1
    turn.prompt_tokens += reply.prompt_tokens
    turn.cached_tokens += reply.cached_tokens
    turn.completion_tokens += reply.completion_tokens
    turn.reasoning_tokens += reply.reasoning_tokens


def _labels(role: str | None) -> tuple[str, ...]:
    return () if role is None else (role,)


def _drawn(row: Row, purpose: str, options: Sequence[str]) -> str | None:
    return options[int(draw_of_pair(row, purpose) * len(options))] if options else None
