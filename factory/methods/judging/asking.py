"""A question put to a language model: the prompt, all orders and samples, and the verdict on what it answered.

It needs a unit and an engine, and no row, so comparisons of corpora and tests of judges ask as the score does. Values
are by content: the place of an option as it was given, whatever the order in which it was shown. Limitations: of more
than two options the two orders are the one given and its reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factory.engines import Engine, Request, Sampling
from factory.methods import together
from factory.methods.judging.agreement import Answer, Verdict, settle
from factory.methods.judging.answers import Form, letters
from factory.methods.judging.questions import VARIABLES, Choice, Question
from factory.methods.judging.units import Unit
from factory.methods.prompts import render, render_text


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge made of a unit: by field (one but for traits), all its answers in the order they were asked for, and
    the verdict."""

    unit: Unit
    answers: tuple[tuple[Answer, ...], ...]
    verdicts: tuple[Verdict, ...]


class Asking:
    """Asks one question, with the prompt that frames it."""

    def __init__(self, question: Question, frame: str, sampling: Sampling) -> None:
        self.question, self._frame, self._sampling = question, frame, sampling

    def orders(self, unit: Unit) -> list[tuple[int, ...]]:
        """The orders in which the options are shown, each as their places; one without any of a scale."""
        given = self.given(unit)
        return [given, given[::-1]] if self.question.orders == "both" else [given]

    def given(self, unit: Unit) -> tuple[int, ...]:
        """The places of the options as they are given; none of a scale."""
        return tuple(range(len(self._options(unit))))

    def worded(self, ask: str) -> Asking:
        """The same with another text of the question."""
        return Asking(self.question.model_copy(update={"ask": ask}), self._frame, self._sampling)

    def plain(self) -> Asking:
        """The same asked once, in one order, at temperature 0."""
        once = {"samples": 1, "orders": "one", "tries": 1, "agree": "majority"}
        sampling = self._sampling.model_copy(update={"temperature": 0.0})
        return Asking(self.question.model_copy(update=once), self._frame, sampling)

    def request(self, unit: Unit, order: tuple[int, ...]) -> Request:
        """The request for the samples of one order."""
        form = self.form(order)
        options = [
            f"{name}: {unit.options[place]}" for name, place in zip(form.labels, order, strict=False) if unit.options
        ]
        told = {name: unit.shown.get(name) for name in VARIABLES} | {"choices": form.labels}
        asked = render_text(self.question.ask, **told)
        messages = render(self._frame, **unit.shown, rubric=asked, form=form.told, options="\n".join(options) or None)
        return Request(messages, self._sampling, n=self.question.samples, json_schema=form.schema)

    def read(self, text: str, order: tuple[int, ...]) -> tuple[tuple[int, ...] | None, int | None]:
        """The value of each field by content, none unless all can be read; and the certainty, if it is told."""
        places, certainty = self.form(order).read(text)
        return None if places is None else tuple(self._value(place, order) for place in places), certainty

    async def ask(self, unit: Unit, engine: Engine) -> Judged:
        """Ask until the answers agree, as often as the question says. Raises RequestError and EngineDeadError."""
        asked: list[list[Answer]] = []
        for number in range(self.question.tries):
            found = await self._answers(unit, engine, number * self.question.samples)
            asked = [[*before, *now] for before, now in zip(asked or [[] for _ in found], found, strict=True)]
            verdicts = [settle(one, self.question.agree, self.question.certainty) for one in found]
            if all(one.value is not None for one in verdicts):
                break
        return Judged(unit, tuple(map(tuple, asked)), tuple(verdicts))

    async def _answers(self, unit: Unit, engine: Engine, first: int) -> list[list[Answer]]:
        """The answers of one try, by field."""
        orders = self.orders(unit)
        replies = await together(engine.generate(self.request(unit, order)) for order in orders)
        found: list[list[Answer]] = [[] for _ in self.form(orders[0]).fields]
        for number, (order, reply) in enumerate(zip(orders, replies, strict=True)):
            for sample, completion in enumerate(reply.completions, first):
                values, certainty = self.read(completion.text, order)
                answer = Answer(None, certainty, completion.text, number, sample)
                for field, answers in enumerate(found):
                    answers.append(answer if values is None else replace(answer, value=values[field]))
        return found

    def _value(self, place: int, order: tuple[int, ...]) -> int:
        return order[place] if order else place + self.question.lowest

    def _options(self, unit: Unit) -> Sequence[str]:
        return self.question.answer.choice if isinstance(self.question.answer, Choice) else unit.options

    def form(self, order: tuple[int, ...]) -> Form:
        """The form of an answer where the options are shown in this order."""
        if isinstance(self.question.answer, Choice):
            return self.question.form(tuple(self.question.answer.choice[place] for place in order))
        return self.question.form(tuple(letters(len(order))))
