"""CORE: which calls are taken and which go to people at once, because enough is going on already.

What all calls have in common is decided when a channel comes in (``refusal``); what concerns one agent or one caller
once those are known (``enter``). Moments are seconds since the epoch, days are given as text (``2026-11-22``, local).
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ariagent.config import Settings

HOUR_S = 3600.0
NOBODY = ("", "anonymous", "unknown", "unavailable", "restricted", "private", "withheld", "asterisk")
"""What stands for a caller who does not show a number."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One call that is being served."""

    agent: str
    answered_at: float | None = None


class Admission:
    """The caps of one process. What was before its start is told to it: ``talked_s`` today, ``recent`` callers."""

    def __init__(
        self, settings: "Settings", day: str = "", talked_s: float = 0.0, recent: Iterable[tuple[str, float]] = ()
    ) -> None:
        """``recent``: (number, when) of the last hour's calls."""
        self._rate = CallerRate(settings.caps.calls_per_caller_per_hour, recent)
        self.configure(settings)
        self._day, self._talked_s = day, talked_s
        self._day_began = 0.0
        self._tickets: set[Ticket] = set()

    def configure(self, settings: "Settings") -> None:
        """Other caps hold from now on."""
        self._most = settings.max_calls
        self._most_of = {name: agent.max_calls for name, agent in settings.agents.items()}
        self._rate.most = settings.caps.calls_per_caller_per_hour
        self._minutes = settings.caps.minutes_per_day

    # -- all calls ---------------------------------------------------------------------------------

    def refusal(self, serving: int, at: float, day: str) -> str:
        """Why no call at all is taken now, or nothing; ``serving``: calls that are being served."""
        if serving >= self._most:
            return "full"
        return "over_daily_minutes" if self.over_minutes(at, day) else ""

    def over_minutes(self, at: float, day: str) -> bool:
        """Whether today's calls, with those that go on, have lasted as long as they may."""
        return self._minutes is not None and self.talked_s(at, day) >= 60 * self._minutes

    def talked_s(self, at: float, day: str) -> float:
        """How long today's calls have lasted so far."""
        if day > self._day:
            # What goes on over midnight counts for the new day from its first look on.
            self._day, self._talked_s, self._day_began = day, 0.0, at
        return self._talked_s + sum(self._lasted(ticket, at) for ticket in self._tickets)

    def _lasted(self, ticket: Ticket, at: float) -> float:
        if ticket.answered_at is None:
            return 0.0
        return max(0.0, at - max(ticket.answered_at, self._day_began))

    # -- one call ----------------------------------------------------------------------------------

    def enter(self, agent: str, caller: str, at: float, *, returned: bool = False) -> Ticket | str:
        """A call for ``agent`` begins; gives why it is not taken, or a ticket to ``leave`` with.

        ``returned``: the caller comes back from people; they were let in before.
        """
        if not returned:
            most = self._most_of.get(agent)
            if most is not None and sum(ticket.agent == agent for ticket in self._tickets) >= most:
                return "agent_full"
            if not self._rate.may(caller, at):
                return "caller_often"
        ticket = Ticket(agent)
        self._tickets.add(ticket)
        return ticket

    def answered(self, ticket: Ticket, at: float) -> None:
        """The call is answered: its minutes begin."""
        ticket.answered_at = at

    def leave(self, ticket: Ticket, at: float, day: str) -> None:
        """The call is over. Only the first time counts."""
        if ticket in self._tickets:
            self.talked_s(at, day)  # a new day may have begun
            self._talked_s += self._lasted(ticket, at)
            self._tickets.discard(ticket)


class CallerRate:
    """How often each number has called within an hour."""

    def __init__(self, most: int | None, recent: Iterable[tuple[str, float]] = ()) -> None:
        self.most = most
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)
        self._swept_at = 0.0
        for number, at in sorted(recent, key=lambda call: call[1]):
            self.may(number, at)

    def __len__(self) -> int:
        return len(self._calls)

    def may(self, number: str, at: float) -> bool:
        """Whether this number may call; if so, it has."""
        key = number_key(number)
        if self.most is None or not key:
            return True
        self._sweep(at)
        calls = self._calls[key]
        while calls and calls[0] <= at - HOUR_S:
            calls.popleft()
        if len(calls) >= self.most:
            return False
        calls.append(at)
        return True

    def _sweep(self, at: float) -> None:
        """Forget those who have not called for an hour."""
        if at - self._swept_at >= HOUR_S:
            self._swept_at = at
            for key in [key for key, calls in self._calls.items() if not calls or calls[-1] <= at - HOUR_S]:
                del self._calls[key]


def number_key(number: str) -> str:
    """A caller's number without what is written between its digits; empty for callers without one."""
    text = "".join(c for c in number.casefold() if c.isalnum() or c == "+")
    return "" if text in NOBODY else text
