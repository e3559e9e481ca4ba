"""Judge: a language model answers questions about a dialogue, and abstains where its answers do not agree.

A single answer of a language model goes by the order of the options (Jekyll & Hyde, arXiv 2408.08631), by what it was
told of the persona (arXiv 2406.11657) and by chance. So a question can be asked in both orders, several times and with
the model's certainty, a rule says when the answers agree, and all of them are kept as they were written. What does not
agree is null with its reason, and not a middle score, unless `agree: mean` asks for one. Limitations: one model an
entry, so several judges are several entries that conditions compare; the mean over people and models hides much
(persona consistency in PersonaGym, arXiv 2407.18416, agrees with people by a rank correlation of 0.34 for one model),
so read answers before you reject by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Annotated, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from factory.base.rowwise import RowExpression, row_expression
from factory.engines import Message, Sampling
from factory.methods import Calls, Column, Kit, LanguageModelName, ModelKind, Params, Scored, completing, together
from factory.methods.judging.asking import Asking
from factory.methods.judging.fitness.grounds import BETTER, OWN
from factory.methods.judging.fitness.running import Fitness, drawn, tested
from factory.methods.judging.fitness.trials import Pair
from factory.methods.judging.found import INPUT_MISSING, NOT_ASKED, columns_of, details_of, kinds_of, values_of
from factory.methods.judging.heads import better
from factory.methods.judging.questions import EXAMPLE, VARIABLES, Question
from factory.methods.judging.units import Unit, units
from factory.methods.prompts import bundled, check_text
from factory.store.records import Detail, Row, Value

_SAMPLING = Sampling(temperature=0, max_tokens=96)


class JudgeParams(Params):
    """Parameters of `judge`."""

    method: Literal["judge"] = Field("judge", description="The method.")
    questions: tuple[Question, ...] = Field(
        (Question.model_validate({"name": "consistent", "ask": "consistency"}),),
        min_length=1,
        description="What is asked; each question has at least a `name` and what to `ask`.",
    )
    prompt: str | None = Field(
        None, description="Template file around the rubrics, relative to the job file; the bundled one by default."
    )
    model: LanguageModelName = Field("judge", description="The language model that judges; better not the writer.")
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING,
        description="How answers are sampled; fields left out keep this score's defaults. Several answers want a "
        "temperature above 0, and a model that thinks more tokens.",
    )

    @model_validator(mode="after")
    def _can_differ(self) -> Self:
        names = Counter[str]()
        for question in self.questions:
            names.update({*(column.name for column in columns_of(question)), *kinds_of(question)})
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"two questions have the column or detail {twice[0]}; give one another name")
        for question in self.questions:
            if self.sampling.temperature == 0 and max(question.samples, question.tries) > 1:
                raise ValueError(
                    f"{question.name} is asked several times, and gets the same answer each time at temperature 0: set "
                    "sampling.temperature, such as 0.7"
                )
        return self

    def with_files(self, read: Callable[[str, tuple[str | int, ...]], str]) -> Self:
        """With the text of each rubric in the place of its path."""
        asked = []
        for number, question in enumerate(self.questions):
            one = question
            if one.is_path:
                text = read(one.ask, ("questions", number, "ask"))
                one = one.model_copy(update={"ask": f"{text.rstrip()}\n"})
            check_text(one.ask, VARIABLES)
            asked.append(one)
        return self.model_copy(update={"questions": tuple(asked)})


class Judge:
    """Each question has a column of its name; how far its answers agree, as `NAME_agreement`; `answered`, or why it is
    not, as `NAME_outcome`; and, where it is asked of several turns or speakers, on how many it is left open, as
    `NAME_abstained`.

    A question of turns or personas has the worst answer: the lowest number, or the last of its choices. `pick` has the
    share of turns of which the text that was said is picked. `traits` has the share of the speakers' attributes called
    as the Big Five (`high`, `low`, or 1 to 5) that the judge finds again, and ten columns `NAME_a_openness` and so on.
    Its `details` are all answers, those of a choice or a pick by the place of the option.

    >>> from factory.methods.example import dialogue, scored
    >>> told = '{"answer": "contradicts"}'
    >>> scored(Judge, dialogue(), told).values
    {'consistent_agreement': 1.0, 'consistent_outcome': 'answered', 'consistent': 'contradicts'}
    >>> warm = {"name": "warm", "ask": "How warm is the talk?\\n5: warm. 1: cold.", "certainty": 80}
    >>> scored(Judge, dialogue(), '{"answer": 4, "certainty": 60}', questions=[warm]).values
    {'warm_agreement': 0.0, 'warm_outcome': 'uncertain'}
    """

    name = "judge"
    version = 1
    Params = JudgeParams
    variables = frozenset({"of", "known", "speaker", "dialogue", "before", "turn", "options", "rubric", "form"})

    def __init__(self, params: JudgeParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("judge")
        self._asking = [Asking(question, self.template, params.sampling) for question in params.questions]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of its questions, in their order."""
        return tuple(column for question in self.params.questions for column in columns_of(question))

    @property
    def details(self) -> dict[str, tuple[str, ...]]:
        """Answers by the name of their question, and verdicts where one has several."""
        return {kind: values for question in self.params.questions for kind, values in kinds_of(question).items()}

    @property
    def conditions(self) -> tuple[str, ...]:
        """Those of questions that are asked of some rows only."""
        return tuple(question.only for question in self.params.questions if question.only is not None)

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The judge alone."""
        return frozenset({"language"})

    @property
    def reads(self) -> frozenset[str]:
        """What its questions are about, and the columns that their conditions read."""
        read = {".".join(path) for text in self.conditions for path, _ in _condition(text).reads}
        for question in self.params.questions:
            read |= {"turns"} if question.of != "persona" else set()
            read |= {"facts.seed", "facts.expand"} if question.facts or question.of == "persona" else set()
            read |= {"attributes"} if question.answer == "traits" else set()
        return frozenset(read)

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each order of each unit, as often as it is tried."""
        least, most = np.zeros_like(turns), np.zeros_like(turns)
        for question in self.params.questions:
            some, all_ = _units_of(question, turns)
            orders = 2 if question.orders == "both" else 1
            least = least + some * orders
            most = most + all_ * orders * question.tries
        return least, most

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Ask all questions at once. Raises RequestError and EngineDeadError."""
        if not any(units(row, question) for question in self.params.questions):
            return Scored(missing=INPUT_MISSING)
        asked = list(self._asked(row))
        judged = iter(await together(asking.ask(unit, kit.engine) for asking, _, some in asked for unit in some))
        values: dict[str, Value | None] = {}
        details: list[Detail] = []
        for asking, why, some in asked:
            found = [next(judged) for _ in some]
            values |= (
                values_of(asking.question, found, row) if why is None else {f"{asking.question.name}_outcome": why}
            )
            details += details_of(self.name, asking.question, found)
        return Scored(values, details)

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent; of several tries the first."""
        for asking, _, some in self._asked(row):
            for unit in some:
                for number, order in enumerate(asking.orders(unit)):
                    yield _purpose(asking.question, unit, number), asking.request(unit, order).messages

    async def fitness(self, rows: Sequence[Row], pairs: Sequence[Pair], kit: Kit) -> Fitness:
        """The tests of its model, by its questions; pairs by the first that picks. Raises EngineDeadError."""
        trials = [trial for row in rows for asking, _, some in self._asked(row) for trial in drawn(row, asking, some)]
        own, default = (Asking(one, self.template, self.params.sampling) for one in (OWN, BETTER))
        picks = [asking for asking in self._asking if asking.question.answer == "pick"]
        return await tested(trials, rows, pairs, kit.engine, own=own, by_pairs=(picks or [default])[0])

    async def better(self, one: Row, other: Row, kit: Kit) -> tuple[float | None, float | None]:
        """Which of two dialogues is better, by a rubric of its own. Raises RequestError and EngineDeadError."""
        return await better(one, other, self.template, self.params.sampling, kit.engine)

    def _asked(self, row: Row) -> Iterator[tuple[Asking, str | None, list[Unit]]]:
        """Each question, why it is not asked of the row, if it is not, and the units of which it is."""
        for asking in self._asking:
            why = _not_asked(asking.question, row)
            yield asking, why, units(row, asking.question) if why is None else []


@cache
def _condition(text: str) -> RowExpression:
    return row_expression(text, EXAMPLE)


def _not_asked(question: Question, row: Row) -> str | None:
    """Why a question is not asked of a row, by its condition: that does not hold, or lacks a value that it reads."""
    if question.only is None:
        return None
    read = _condition(question.only)
    held = {path: row.scores.get(path[0], {}).get(path[1]) for path, _ in read.reads}
    may_be_null = {path for path, asked in read.reads if asked}
    if any(value is None and path not in may_be_null for path, value in held.items()):
        return INPUT_MISSING
    scores: dict[str, dict[str, Value | None]] = {}
    for (score, value), one in held.items():
        scores.setdefault(score, {})[value] = one
    (holds,) = pl.DataFrame([scores]).select(read.expression.alias("holds"))["holds"]
    return None if holds else NOT_ASKED


def _units_of(question: Question, turns: NDArray[np.integer]) -> Calls:
    """The fewest and the most units of rows with so many turns."""
    none, one = np.zeros_like(turns), np.minimum(turns, 1)
    if question.of == "persona":
        return none, np.full_like(turns, 2)
    sides = 2 if question.answer == "traits" else 1
    least, most = (one, np.minimum(turns, sides)) if question.of == "dialogue" else (turns, turns)
    sure = question.only is None and not question.facts and question.of in ("dialogue", "turn")
    return least if sure else none, most


def _purpose(question: Question, unit: Unit, order: int) -> str:
    parts = [f"question {question.name}"]
    parts += [f"turn {unit.turn}"] if unit.turn is not None else []
    parts += [f"speaker {'AB'[unit.speaker]}"] if unit.turn is None and unit.speaker is not None else []
    parts += [f"order {order}"] if question.orders == "both" else []
    return ", ".join(parts)
