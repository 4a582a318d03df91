"""How long a server that owes us something may say nothing at all. I/O-free.

Pings are answered by the machine in front of a model that hangs: without this, a caller would talk to nobody.
"""

from enum import Enum


class _Owed(Enum):
    NOTHING = "nothing"
    ANSWER = "answer"
    """It answers the caller's turn by itself."""
    RESPONSE = "response"
    """We asked for it, or it has begun."""


class Verdict(Enum):
    WAIT = "wait"
    ASK = "ask"
    """Some servers leave a turn unanswered that they made nothing of: ask, before giving them up."""
    GIVE_UP = "give_up"


class Patience:
    """Counts from the last sign of life. Times are monotonic seconds."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._owed = _Owed.NOTHING
        self._since = 0.0

    def alive(self, now: float) -> None:
        """The server said something."""
        self._since = now

    def answer_owed(self, now: float) -> None:
        self._owed, self._since = _Owed.ANSWER, now

    @property
    def owes_answer(self) -> bool:
        """The caller's last turn is not answered yet."""
        return self._owed is _Owed.ANSWER

    def answer_waived(self) -> None:
        """The caller speaks on: what they said before may stay unanswered."""
        if self._owed is _Owed.ANSWER:
            self._owed = _Owed.NOTHING

    def response_owed(self, now: float) -> None:
        self._owed, self._since = _Owed.RESPONSE, now

    def settled(self) -> None:
        self._owed = _Owed.NOTHING

    def next_deadline(self) -> float | None:
        if self._owed is _Owed.NOTHING:
            return None
        return self._since + (self.limit_s / 2 if self._owed is _Owed.ANSWER else self.limit_s)

    def judge(self, now: float) -> Verdict:
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return Verdict.WAIT
        return Verdict.ASK if self._owed is _Owed.ANSWER else Verdict.GIVE_UP
