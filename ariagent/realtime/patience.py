"""How long a server that owes us something may leave the caller without a sound. CORE.

Pings are answered by the machine in front of a model that hangs: without this, a caller would talk to nobody.
"""

from enum import Enum

SHORT_WAIT_S = 1.0
"""A caller who speaks on sooner than this was not waiting."""


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
    """Counts from the moment when something is owed, or the last sign that it is on its way; in monotonic seconds.

    Half of the limit after the caller's turn we ask, at the limit it is over. Callers who ask "hello?" meanwhile begin
    a new turn; what they waited before counts, up to half of the limit, until the server has been heard again.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._owed = _Owed.NOTHING
        self._since = 0.0
        self._waited_s = 0.0  # in vain, since the server was last heard

    def progress(self, now: float) -> None:
        """The server works at a response."""
        self._since = now

    def heard(self, now: float) -> None:
        """There is something to be heard, or to be done."""
        self._since, self._waited_s = now, 0.0

    def answer_owed(self, now: float) -> None:
        self._owed, self._since = _Owed.ANSWER, now

    @property
    def owes_answer(self) -> bool:
        """The caller's last turn is not answered yet."""
        return self._owed is _Owed.ANSWER

    def answer_waived(self, now: float) -> None:
        """The caller speaks on: what they said before may stay unanswered."""
        if self._owed is _Owed.ANSWER:
            self.settled(now)

    def response_asked(self, now: float) -> None:
        """We asked for one; a caller who waits already has waited no less because of that."""
        if self._owed is _Owed.NOTHING:
            self._since = now
        self._owed = _Owed.RESPONSE

    def response_begun(self, now: float) -> None:
        self._owed, self._since = _Owed.RESPONSE, now

    def settled(self, now: float) -> None:
        """Nothing is owed any more."""
        if self._owed is not _Owed.NOTHING:
            waited_s = max(0.0, now - self._since - SHORT_WAIT_S)
            self._waited_s = min(self._waited_s + waited_s, self.limit_s / 2)
        self._owed = _Owed.NOTHING

    def next_deadline(self) -> float | None:
        if self._owed is _Owed.NOTHING:
            return None
        left_s = self.limit_s - self._waited_s
        return self._since + (left_s / 2 if self._owed is _Owed.ANSWER else left_s)

    def judge(self, now: float) -> Verdict:
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return Verdict.WAIT
        return Verdict.ASK if self._owed is _Owed.ANSWER else Verdict.GIVE_UP
