"""When a silent caller is asked, asked again and told goodbye, and when a call is too long. No I/O, no clock.

Silence counts while nobody speaks and nothing else keeps caller or agent (a tool that runs, digits that are typed).
Every sign of the caller, by voice, by key or by their phone's hold, starts it over. The notes for the model are in
``notes``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ariagent.dialogue.hold_request import asks_to_wait

if TYPE_CHECKING:
    from ariagent.config import LengthSettings, SilenceSettings


@dataclass(frozen=True, slots=True)
class Ask:
    """The caller says nothing: the agent should ask whether they are still there."""

    number: Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The caller did not answer twice: the agent should say goodbye, and the call end once that was heard."""


@dataclass(frozen=True, slots=True)
class WarnLength:
    """The call will soon be at its longest."""

    left_s: float


@dataclass(frozen=True, slots=True)
class EndLength:
    """The call is at its longest: the agent should say goodbye, and the call end. Nothing comes after this."""


SilenceEvent = Ask | Goodbye | WarnLength | EndLength


class Silence:
    """Watches one call from its answer on. Times are monotonic seconds; ``tick`` is to be called at ``next_deadline``,
    which may be in the past after any input.

    ``settings`` None: a silent caller is left alone.
    """

    def __init__(self, settings: "SilenceSettings | None", length: "LengthSettings", now: float) -> None:
        self._settings = settings
        self._ends = now + length.longest_s
        self._warns: float | None = (
            self._ends - length.warn_before_s if length.warn_before_s < length.longest_s else None
        )
        self._warns_at_last = self._ends - length.warn_before_s / 2
        """A warning waits until nobody speaks, at most until then."""
        self._over = False
        self._agent = False
        self._caller = False
        self._busy: set[str] = set()
        self._hold = False
        self._nobody = False
        self._step = 0
        """How much was done about this silence: 1 asked, 2 asked again, 3 said goodbye."""
        self._since = now
        """When it became quiet, or when the last step was taken."""

    # -- what happens -----------------------------------------------------------------------------

    def agent_speaks(self, now: float) -> None:
        """The agent is heard."""
        self._agent = True

    def agent_fell_silent(self, now: float) -> None:
        """The agent's speech was played to its end, or cut off."""
        self._agent = False
        self._since = now

    def caller_speaks(self, now: float) -> None:
        """The caller's voice: whatever was waited for is over."""
        if self._nobody:
            return
        self._caller = True
        self._begin_anew(now)

    def caller_fell_silent(self, now: float) -> None:
        """The caller's voice ended."""
        if self._nobody:
            return
        self._caller = False
        self._since = now

    def key_pressed(self, now: float) -> None:
        """The caller pressed a key: it counts like a word."""
        self._begin_anew(now)

    def busy(self, on: bool, now: float, why: str = "tool") -> None:
        """A reason not to count silence begins or ends. Several reasons may hold at once, each until it ends."""
        if on == (why in self._busy):
            return
        (self._busy.add if on else self._busy.discard)(why)
        self._since = now

    def hold_on(self, now: float) -> None:
        """The agent was told to wait; the long wait, until the caller speaks."""
        self._hold = True
        self._since = now

    def line_held(self, on: bool, now: float) -> None:
        """The caller's phone puts the call on hold, with the long wait, or takes it back: both are signs of the
        caller."""
        self._begin_anew(now)
        self._hold = on

    def background(self, on: bool, now: float) -> None:
        """The sound that is taken for the caller's voice is music, a television or other people, and counts as silence
        with the long wait; or the caller talks with the agent again."""
        if on == self._nobody:
            return
        self._nobody, self._caller = on, False
        self._begin_anew(now)
        self._hold = on

    def caller_said(self, text: str, language: str | None = None) -> bool:
        """Words of the caller's. Returns whether they ask the agent to wait, which it then does.

        Words that come while the caller speaks again are of an earlier turn, and its wait is over.
        """
        if self._caller or self._nobody or not asks_to_wait(text, language):
            return False
        self._hold = True
        return True

    # -- what follows -----------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        if self._over:
            return None
        return min(t for t in (self._ends, self._warning_due(), self._step_due()) if t is not None)

    def tick(self, now: float) -> list[SilenceEvent]:
        """Return the event that is due; at most one, because each makes the agent speak."""
        if self._over:
            return []
        if now >= self._ends:
            self._over = True
            return [EndLength()]
        due = self._warning_due()
        if due is not None and now >= due:
            self._warns = None
            self._since = now
            return [WarnLength(self._ends - now)]
        due = self._step_due()
        if due is not None and now >= due:
            self._step += 1
            self._since = now
            return [Goodbye()] if self._step == 3 else [Ask(1 if self._step == 1 else 2)]
        return []

    def _begin_anew(self, now: float) -> None:
        self._hold = False
        self._step = 0
        self._since = now

    @property
    def _quiet(self) -> bool:
        return not (self._agent or self._caller or self._busy)

    def _warning_due(self) -> float | None:
        return self._warns if self._quiet or self._warns is None else self._warns_at_last

    def _step_due(self) -> float | None:
        if self._settings is None or self._step == 3 or not self._quiet:
            return None
        if self._step == 0:
            return self._since + (self._settings.hold_on_s if self._hold else self._settings.ask_after_s)
        return self._since + (self._settings.ask_again_after_s if self._step == 1 else self._settings.goodbye_after_s)
