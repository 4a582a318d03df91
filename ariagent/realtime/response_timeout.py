"""The response timeout: how long the server may be silent while a response is pending. CORE.

Pings are answered by the machine in front of a model that hangs: without this, a caller would talk to nobody.
"""

from enum import Enum

SHORT_WAIT_S = 1.0
"""A caller who speaks on sooner than this was not waiting."""


class _Pending(Enum):
    """The response that is pending."""

    NOTHING = "nothing"
    ANSWER = "answer"
    """The server is to answer the caller's turn by itself."""
    RESPONSE = "response"
    """ariagent asked for a response, or one has begun."""


class TimeoutStep(Enum):
    """The next step for a pending response."""

    WAIT = "wait"
    ASK = "ask"
    """Ask for a response. Some servers leave a turn unanswered that they made nothing of."""
    GIVE_UP = "give_up"


class ResponseTimeout:
    """The time that a response is pending, from its request or from the last message about it. In monotonic seconds.

    If the caller's turn is not answered, a response is asked for at half of the limit. At the limit the server is given
    up. A caller who asks "hello?" meanwhile begins a new turn; the time that they waited before counts, up to half of
    the limit, until the server is heard again.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._pending = _Pending.NOTHING
        self._since = 0.0
        self._waited_s = 0.0  # without an answer, since the server was last heard

    def progress(self, now: float) -> None:
        """The server works at a response."""
        self._since = now

    def heard(self, now: float) -> None:
        """The server has sent speech or a tool call."""
        self._since, self._waited_s = now, 0.0

    def answer_awaited(self, now: float) -> None:
        self._pending, self._since = _Pending.ANSWER, now

    @property
    def answer_pending(self) -> bool:
        """The caller's last turn is not answered yet."""
        return self._pending is _Pending.ANSWER

    def answer_waived(self, now: float) -> None:
        """The caller speaks on: what they said before may stay unanswered."""
        if self._pending is _Pending.ANSWER:
            self.settled(now)

    def response_asked(self, now: float) -> None:
        """ariagent asked for a response. The time that the caller has waited already still counts."""
        if self._pending is _Pending.NOTHING:
            self._since = now
        self._pending = _Pending.RESPONSE

    def response_begun(self, now: float) -> None:
        self._pending, self._since = _Pending.RESPONSE, now

    def settled(self, now: float) -> None:
        """No response is pending any more."""
        if self._pending is not _Pending.NOTHING:
            waited_s = max(0.0, now - self._since - SHORT_WAIT_S)
            self._waited_s = min(self._waited_s + waited_s, self.limit_s / 2)
        self._pending = _Pending.NOTHING

    def next_deadline(self) -> float | None:
        if self._pending is _Pending.NOTHING:
            return None
        left_s = self.limit_s - self._waited_s
        return self._since + (left_s / 2 if self._pending is _Pending.ANSWER else left_s)

    def judge(self, now: float) -> TimeoutStep:
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return TimeoutStep.WAIT
        return TimeoutStep.ASK if self._pending is _Pending.ANSWER else TimeoutStep.GIVE_UP
