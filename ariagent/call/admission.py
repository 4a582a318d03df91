"""Admission: decides which calls are taken, and which are sent to the human queue because a limit is reached. CORE.

The limits of all calls are checked when a channel comes in (``refusal``); what concerns one agent or one caller
once those are known (``enter``). Moments are seconds since the epoch, days are given as text (``2026-11-22``, local).
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ariagent.config import Settings

HOUR_S = 3600.0
NOBODY = frozenset(
    (
        *("", "anonymous", "unknown", "unavailable", "restricted", "private", "withheld", "asterisk", "blocked"),
        *("anonymousinvalid", "unknownnumber", "privatenumber", "numberwithheld", "notavailable", "nonumber"),
        *("hidden", "nocallerid", "unbekannt", "privat", "inconnu", "prive", "desconocido", "privado", "oculto"),
        *("sconosciuto", "privato", "riservato", "onbekend"),
    )
)
"""Texts that stand for a caller who does not show a number."""
ANONYMOUS = ("anonym", "anonim")
"""A text that begins with one of these stands for such a caller, too: ``anonymousanonymous.invalid``, ``anonyme``."""


NEAR = 0.8
"""The share of a daily cap from which on the operator is told."""


@dataclass(frozen=True, slots=True)
class Minutes:
    """A daily cap of conversation, and how much of it is used."""

    name: str
    """The setting, in the section ``caps``."""
    callers: str
    """The callers whose minutes count: ``all`` or ``unknown``."""
    used_s: float
    cap_s: float | None
    """None: no cap."""

    @property
    def share(self) -> float:
        return 0.0 if self.cap_s is None else self.used_s / self.cap_s


@dataclass(slots=True, eq=False)
class Ticket:
    """One call that is being served."""

    agent: str
    unknown: bool = False
    """The caller shows no number."""
    answered_at: float | None = None


class Admission:
    """The caps of one process. ``talked_s`` (today) and ``recent`` (callers) count from before its start."""

    def __init__(
        self,
        settings: "Settings",
        day: str = "",
        talked_s: float = 0.0,
        recent: Iterable[tuple[str, float]] = (),
        *,
        talked_unknown_s: float = 0.0,
        day_began: float = 0.0,
    ) -> None:
        """``recent``: (number, when) of the last hour's calls. ``talked_unknown_s``: how much of ``talked_s`` callers
        without a number had. ``day_began``: midnight, in seconds since the epoch."""
        self._rate = CallerRate(settings.caps.calls_per_caller_per_hour, recent)
        self.configure(settings)
        self._day, self._over = day, {False: talked_s - talked_unknown_s, True: talked_unknown_s}
        """``_over``: seconds of the day's calls that are over, by whether the caller was unknown."""
        self._day_began = day_began
        self._tickets: set[Ticket] = set()
        self._told: set[tuple[str, str]] = set()

    def configure(self, settings: "Settings") -> None:
        """Other caps hold from now on."""
        self._most = settings.max_calls
        self._most_of = {name: agent.max_calls for name, agent in settings.agents.items()}
        self._rate.most = settings.caps.calls_per_caller_per_hour
        self._minutes = settings.caps.minutes_per_day
        self._minutes_unknown = settings.caps.minutes_per_day_unknown

    # -- all calls ---------------------------------------------------------------------------------

    def refusal(self, serving: int, at: float, day: str) -> str:
        """Why no call at all is taken now, or nothing; ``serving``: calls that are being served."""
        if serving >= self._most:
            return "full"
        return "over_daily_minutes" if self.over_minutes(at, day) else ""

    def over_minutes(self, at: float, day: str) -> bool:
        """Whether today's calls, with those in progress, have lasted as long as they may."""
        return self._minutes is not None and self.talked_s(at, day) >= 60 * self._minutes

    def talked_s(self, at: float, day: str, *, unknown: bool | None = None) -> float:
        """How long today's calls have lasted so far. ``unknown``: only those of callers without (with) a number."""
        if day > self._day:
            # A call that continues over midnight counts for the new day from the day's first look.
            self._day, self._over, self._day_began = day, {False: 0.0, True: 0.0}, at
        over = sum(self._over.values()) if unknown is None else self._over[unknown]
        running = (ticket for ticket in self._tickets if unknown in (None, ticket.unknown))
        return over + sum(self._lasted(ticket, at) for ticket in running)

    def minutes(self, at: float, day: str) -> tuple[Minutes, ...]:
        """The daily caps of conversation."""
        unknown_s = self.talked_s(at, day, unknown=True)
        return (
            Minutes("minutes_per_day", "all", self.talked_s(at, day), _seconds(self._minutes)),
            Minutes("minutes_per_day_unknown", "unknown", unknown_s, _seconds(self._minutes_unknown)),
        )

    def news(self, at: float, day: str) -> list[tuple[str, Minutes]]:
        """Log events (``caps.nearly_reached``, ``caps.reached``) of caps, each of which is told once a day."""
        found = []
        for cap in self.minutes(at, day):
            for event, share in (("caps.nearly_reached", NEAR), ("caps.reached", 1.0)):
                if cap.share < share:
                    self._told.discard((event, cap.name))
                elif (event, cap.name) not in self._told:
                    self._told.add((event, cap.name))
                    found.append((event, cap))
        return found

    def _over_unknown(self, at: float, day: str) -> bool:
        most = self._minutes_unknown
        return most is not None and self.talked_s(at, day, unknown=True) >= 60 * most

    def _lasted(self, ticket: Ticket, at: float) -> float:
        if ticket.answered_at is None:
            return 0.0
        return max(0.0, at - max(ticket.answered_at, self._day_began))

    def add(self, began: float, ended: float, *, unknown: bool) -> None:
        """A call that a former process answered, at ``began``, and that ended without being served again."""
        self._over[unknown] += max(0.0, ended - max(began, self._day_began))

    # -- one call ----------------------------------------------------------------------------------

    def enter(
        self, agent: str, caller: str, at: float, *, returned: bool = False, day: str = "", withheld: bool = False
    ) -> Ticket | str:
        """A call for ``agent`` begins; gives why it is not taken, or a ticket to ``leave`` with.

        ``withheld``: the caller does not show the number ``caller``. It counts, as a keyed hash, and nobody sees it.
        ``returned``: the caller comes back from the human queue; they were let in before.
        """
        unknown = withheld or not number_key(caller)
        if not returned:
            most = self._most_of.get(agent)
            if most is not None and sum(ticket.agent == agent for ticket in self._tickets) >= most:
                return "agent_full"
            if unknown and self._over_unknown(at, day):
                return "over_daily_minutes_unknown"
            if not self._rate.may(caller, at):
                return "caller_often"
        ticket = Ticket(agent, unknown)
        self._tickets.add(ticket)
        return ticket

    def count(self, caller: str, at: float) -> None:
        """Count an act of this caller as a call of theirs."""
        self._rate.may(caller, at)

    def answered(self, ticket: Ticket, at: float) -> None:
        """The call is answered: its minutes begin."""
        ticket.answered_at = at

    def leave(self, ticket: Ticket, at: float, day: str) -> None:
        """The call is over. Only the first time counts."""
        if ticket in self._tickets:
            self.talked_s(at, day)  # a new day may have begun
            self._over[ticket.unknown] += self._lasted(ticket, at)
            self._tickets.discard(ticket)


class CallerRate:
    """How often each number has called within an hour."""

    def __init__(self, most: int | None, recent: Iterable[tuple[str, float]] = ()) -> None:
        self.most = most
        self._calls: defaultdict[int, deque[float]] = defaultdict(deque)
        """Times of the calls by a keyed hash of the number, because some numbers are withheld."""
        self._swept_at = 0.0
        for number, at in sorted(recent, key=lambda call: call[1]):
            self.may(number, at)

    def __len__(self) -> int:
        return len(self._calls)

    def may(self, number: str, at: float) -> bool:
        """Whether this number may call; if so, it has."""
        text = number_key(number)
        if self.most is None or not text:
            return True
        key = hash(text)  # Python's own, with a key of this process
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


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60 * minutes


def number_key(number: str) -> str:
    """A caller's number without what is written between its digits; empty for callers without one."""
    user = number.casefold().strip().removeprefix("sip:").partition("@")[0]
    text = "".join(c for c in user if c.isalnum() or c == "+")
    word = text.lstrip("+")
    return "" if word in NOBODY or word.startswith(ANONYMOUS) else text
