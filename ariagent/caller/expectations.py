"""The expectations of a call: the ``expect`` section of a caller's script. CORE."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ariagent.caller.words import has_phrase, spoken
from ariagent.config import Section

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
EndedBy = Literal["caller", "agent", "transfer"]


class Words(Section):
    """Words that the agent says, or must not say. A text is a phrase; between slashes it is a regular expression."""

    any: Annotated[tuple[Text, ...], Field(min_length=1)]
    """One of these is enough."""
    after: Annotated[int, Field(ge=1)] | None = None
    """Only what the agent says after this step began (steps count from 1); null: all of the call."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"any": (value,)} if isinstance(value, str) else value

    @field_validator("any")
    @classmethod
    def _readable(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        for phrase in phrases:
            if (source := pattern(phrase)) is not None:
                try:
                    re.compile(source)
                except re.error as error:
                    raise ValueError(f"{phrase} is not a regular expression: {error}") from None
            elif not spoken(phrase):
                raise ValueError(f"{phrase!r} has no words")
        return phrases

    def __str__(self) -> str:
        return " or ".join(phrase if pattern(phrase) is not None else f'"{phrase}"' for phrase in self.any)

    def found(self, text: str, *, exact: bool) -> bool:
        """Whether ``text`` has one of them; ``exact``: it is a transcript, not a recogniser's approximation."""
        return any(_found(phrase, text, exact) for phrase in self.any)


class ToolUse(Section):
    """A function that the agent calls."""

    name: Text
    """Its name."""
    arguments: dict[str, Any] = Field(default={})
    """Arguments that it is called with, among others. A text matches in any case of its letters; between slashes it is
    a regular expression."""
    times: Annotated[int, Field(ge=1)] | None = None
    """The number of calls with these arguments; null: at least one."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.arguments.items())})"


class Expectations(Section):
    """How the call has to go."""

    said: tuple[Words, ...] = ()
    """The agent says each of these."""
    never_said: tuple[Words, ...] = ()
    """The agent says none of these."""
    tools: tuple[ToolUse, ...] = ()
    """The agent calls each of these functions."""
    never_called: tuple[Text, ...] = ()
    """The agent calls none of these functions."""
    ended_by: EndedBy | None = None
    """The side that ends the call; ``transfer``: the agent transfers the caller to a human agent."""
    reason: Text | None = None
    """Why the agent's side says that it ended; between slashes a regular expression."""
    answer_within_ms: Milliseconds | None = None
    """Limit from the caller's last sound to the agent's first, in every turn."""
    opening_within_ms: Milliseconds | None = None
    """Limit from the call's answer to the agent's first sound."""
    interrupted_within_ms: Milliseconds | None = None
    """Limit from the caller's first sound over the agent's voice to the agent's last, at every ``interrupt`` step."""
    longest_silence_s: Annotated[float, Field(gt=0, le=600)] | None = None
    """No longer silence while the caller waits for the agent; ``silence`` steps do not count."""
    never_talked_over: bool = False
    """The agent's voice never begins inside a sentence of the caller: a ``say`` or ``play`` step, with its pauses."""

    def with_patience(self, factor: float) -> Expectations:
        """The expectations with every time limit multiplied by ``factor``."""
        limits = ("answer_within_ms", "opening_within_ms", "interrupted_within_ms", "longest_silence_s")
        given = {name: limit * factor for name in limits if (limit := getattr(self, name)) is not None}
        return self.model_copy(update=given)

    @property
    def need_agent_side(self) -> bool:
        """Whether a caller alone cannot tell."""
        return bool(self.tools or self.never_called or self.reason or self.ended_by == "transfer")


def pattern(text: str) -> str | None:
    """The regular expression in a text between slashes; None for another text."""
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else None


def _found(phrase: str, text: str, exact: bool) -> bool:
    if (source := pattern(phrase)) is not None:
        return re.search(source, text, re.IGNORECASE) is not None
    if exact:
        return f" {' '.join(spoken(phrase))} " in f" {' '.join(spoken(text))} "
    return has_phrase(text, phrase)
