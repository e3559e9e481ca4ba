"""A question to a judge as a job file gives it, and the ready rubrics.

What is asked is in each rubric's file, in our own words; where the idea of one comes from, its first lines say.
Limitations: the ready rubrics are English, and none is calibrated: read what a judge answers before you reject by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from factory.base.rowwise import row_expression
from factory.methods.judging.agreement import Binomial, Rule, fewest
from factory.methods.judging.answers import Form, letters

Of = Literal["dialogue", "turn", "pair", "candidates", "persona"]
TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
"""The Big Five."""
MOST_OPTIONS = 26
EXAMPLE = "consistency.contradiction BETWEEN 0.46 AND 0.84"
VARIABLES = frozenset({"of", "speaker", "turn", "choices"})
"""Names that a rubric may use: `speaker` (A or B) and `turn` of one turn, `choices` in the order they are shown."""


class Scale(BaseModel):
    """A whole number of a scale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: tuple[int, int] = Field(description="The lowest and the highest number, of which the highest is best.")

    @field_validator("scale")
    @classmethod
    def _rises(cls, scale: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= scale[0] < scale[1] <= scale[0] + 20:
            raise ValueError(
                "give the lowest and the highest whole number, from 0 and at most 20 apart, such as [1, 5]"
            )
        return scale

    @property
    def labels(self) -> tuple[str, ...]:
        """The numbers, as they are written."""
        return tuple(str(number) for number in range(self.scale[0], self.scale[1] + 1))


class Choice(BaseModel):
    """One of some words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choice: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=2, max_length=MOST_OPTIONS, description="The words, from best to worst."
    )

    @field_validator("choice")
    @classmethod
    def _told_apart(cls, choice: tuple[str, ...]) -> tuple[str, ...]:
        if len({word.strip().casefold() for word in choice}) < len(choice):
            raise ValueError("two of the words are the same but for case and blanks")
        return choice


AnswerForm = Scale | Choice | Literal["pick", "traits"]


class _Ready(NamedTuple):
    of: tuple[Of, ...]
    answer: Any
    facts: bool


_FITS, _GOOD = {"choice": ("fits", "contradicts")}, {"choice": ("good", "bad")}
_SCALE = {"scale": (1, 5)}
RUBRICS: Mapping[str, _Ready] = MappingProxyType(
    {
        "consistency": _Ready(("dialogue",), _FITS, True),
        "coherence": _Ready(("dialogue",), _SCALE, False),
        "engagement": _Ready(("dialogue",), _SCALE, False),
        "persona_use": _Ready(("dialogue",), _SCALE, True),
        "expected_action": _Ready(("dialogue",), _SCALE, True),
        "action_justification": _Ready(("dialogue",), _SCALE, True),
        "linguistic_habits": _Ready(("dialogue",), _SCALE, True),
        "persona_consistency": _Ready(("dialogue",), _SCALE, True),
        "toxicity_control": _Ready(("dialogue",), _SCALE, True),
        "sound_turn": _Ready(("turn",), _GOOD, True),
        "sound_persona": _Ready(("persona",), _FITS, True),
        "better_turn": _Ready(("pair", "candidates"), "pick", True),
        "traits": _Ready(("dialogue",), "traits", False),
    }
)
"""The ready rubrics: what each may be asked of (the first unless it is said), its answer, whether facts are shown."""


def rubric(name: str) -> str:
    """The text of a ready rubric."""
    return Path(__file__).with_name("rubrics").joinpath(f"{name}.j2").read_text(encoding="utf-8")


class Question(BaseModel):
    """One question to a judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", description="Its name, which is that of its column.")
    of: Of = Field(
        "dialogue",
        description="What one answer is about: the dialogue, a turn, a persona; a turn as it was said beside another "
        "text for it (pair), or all its candidates.",
    )
    ask: str = Field(
        min_length=1,
        description="A ready rubric by its name, a template file (relative to the job file), or a text of two lines or "
        "more.",
    )
    answer: AnswerForm = Field(
        Scale(scale=(1, 5)),
        description="{scale: [1, 5]}, {choice: [...]} from best to worst, pick (the better text of a pair or of "
        "candidates), or traits (the Big Five of each speaker, 1 to 5).",
    )
    facts: bool = Field(
        True, description="Show what is known of the speakers; then a row of which nothing is known is not asked."
    )
    only: str | None = Field(
        None,
        description="Rows that it is asked of: a condition over other scores' columns, as in `select`. All, unless "
        "set.",
    )
    samples: int = Field(1, ge=1, description="Answers sampled at once, for each order.")
    orders: Literal["one", "both"] = Field(
        "one", description="both: of a choice or pick also with the options in reverse, counted by content."
    )
    tries: int = Field(
        1, ge=1, description="Times that all is asked while the answers do not agree (5 in Jekyll & Hyde)."
    )
    certainty: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Ask how certain the judge is, from 1 to 100; an answer below this does not count (arXiv "
        "2406.11657 keeps 80 and more).",
    )
    agree: Rule = Field(
        "majority",
        description="When answers agree: unanimous, majority, mean (of a scale or traits), or {test: 0.05}, a "
        "two-sided binomial test on the two most frequent. Else the judge abstains.",
    )

    @model_validator(mode="before")
    @classmethod
    def _ready(cls, given: Any) -> Any:
        """A ready rubric brings its text, its answer and what it is asked of."""
        if not isinstance(given, dict) or given.get("ask") not in RUBRICS:
            return given
        name = given["ask"]
        ready = RUBRICS[name]
        if given.get("of", ready.of[0]) not in ready.of:
            raise ValueError(f"the rubric {name} is one of: {', '.join(ready.of)}; give a rubric of your own in ask")
        if given.get("answer", ready.answer) != ready.answer:
            raise ValueError(f"the rubric {name} has its own answer; leave answer out, or give a rubric of your own")
        brought = {"of": ready.of[0], "answer": ready.answer, "facts": ready.facts}
        return brought | given | {"ask": rubric(name)}

    @field_validator("ask")
    @classmethod
    def _there(cls, ask: str) -> str:
        if not {"\n", ".", "/"} & set(ask):
            raise ValueError(
                f"there is no rubric {ask}; there are: {', '.join(RUBRICS)}. A file is told by its suffix, and a text "
                "has two lines or more"
            )
        return ask

    @field_validator("only")
    @classmethod
    def _condition(cls, only: str | None) -> str | None:
        if only is not None and any(len(path) != 2 for path, _ in row_expression(only, EXAMPLE).reads):
            raise ValueError(f"{only!r}: a column is a score and one of its values, such as {EXAMPLE}")
        return only

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.answer == "pick") != (self.of in ("pair", "candidates")):
            raise ValueError("answer: pick goes with of: pair and of: candidates, and these with no other answer")
        if self.answer == "traits" and self.of != "dialogue":
            raise ValueError("answer: traits goes with of: dialogue")
        scaled = isinstance(self.answer, Scale) or self.answer == "traits"
        if self.orders == "both" and scaled:
            raise ValueError("orders: both wants options that can be swapped: a choice, or pick")
        if self.agree == "mean" and not scaled:
            raise ValueError("agree: mean wants numbers: a scale, or traits")
        if isinstance(self.agree, Binomial) and self.answers < (least := fewest(self.agree.test)):
            raise ValueError(
                f"{self.answers} answers can never agree at {self.agree.test}: that takes {least}; raise samples"
            )
        return self

    @property
    def answers(self) -> int:
        """How many answers are settled at once."""
        return self.samples * (2 if self.orders == "both" else 1)

    @property
    def is_path(self) -> bool:
        """Whether `ask` is still the path of a file."""
        return "\n" not in self.ask

    def form(self, options: tuple[str, ...] = ()) -> Form:
        """The form of an answer about these options, as they are shown."""
        certain = self.certainty is not None
        if self.answer == "traits":
            return Form(Scale(scale=(1, 5)).labels, TRAITS, numbers=True, certain=certain)
        if isinstance(self.answer, Scale):
            return Form(self.answer.labels, numbers=True, certain=certain)
        return Form(options if isinstance(self.answer, Choice) else tuple(letters(len(options))), certain=certain)

    @property
    def lowest(self) -> int:
        """The number that the first label stands for."""
        return self.answer.scale[0] if isinstance(self.answer, Scale) else int(self.answer == "traits")
