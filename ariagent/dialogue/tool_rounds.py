"""How often the model may call functions before it has to speak to the caller. CORE.

A round is one response that calls functions: its results make the model respond again, so that a model that does
nothing else would continue for ever, unheard by the caller, and each round costs the whole conversation.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ariagent.dialogue import notes
from ariagent.realtime.events import ToolCall

MOST_CALLS = 8
"""Functions of one response, and functions without a result. A conversation needs two or three."""
MOST_ROUNDS = 10
"""Rounds without a word or a key of the caller. A long chain of lookups has four or five."""
MOST_REMINDERS = 2
"""How often the model is asked again to speak, when it calls functions instead."""
MOST_REFUSED = 20
"""Responses with refused functions that are borne of a model that does speak."""

_ENDS = "end_call"
"""The tool that is never refused: it ends the rounds, too."""


class Share(NamedTuple):
    """The decision about the tool calls of one response."""

    run: tuple[ToolCall, ...]
    refused: tuple[ToolCall, ...]
    why: str
    """The result of the refused ones, JSON text."""
    reminds: bool
    """The results of the refused ones make the model respond."""


@dataclass(slots=True)
class Rounds:
    """One call's rounds."""

    count: int = 0
    """Rounds since the caller was heard last."""
    _refused: int = 0
    _spoke: bool = False

    def caller_heard(self) -> None:
        """The caller spoke, or pressed a key."""
        self.count = self._refused = 0
        self._spoke = False

    def agent_heard(self) -> None:
        """The caller hears the agent."""
        self._spoke = self.count >= MOST_ROUNDS

    @property
    def must_speak(self) -> bool:
        """The next response is to be one without functions."""
        return self.count >= MOST_ROUNDS

    @property
    def hopeless(self) -> bool:
        """The model calls functions whatever it is told."""
        return self._refused > (MOST_REFUSED if self._spoke else MOST_REMINDERS)

    def called(self, calls: tuple[ToolCall, ...], unanswered: int) -> Share:
        """The model called these in one response, while so many have no result yet."""
        if self.must_speak:
            self._refused += 1
            run = tuple(call for call in calls if call.name == _ENDS)[:1]
            refused = tuple(call for call in calls if call not in run)
            reminds = not self._spoke and self._refused <= MOST_REMINDERS
            return Share(run, refused, notes.error_result(notes.SPEAK_FIRST), reminds)
        self.count += 1
        room = max(0, MOST_CALLS - unanswered)
        return Share(calls[:room], calls[room:], notes.error_result(notes.too_many_calls(MOST_CALLS)), True)
