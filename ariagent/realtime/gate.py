"""One gate for ``response.create``: at most one response writes to the conversation at a time.

A create that races the response that the server starts by itself after a turn is refused with
``conversation_already_has_active_response``. Others lost calls to it; here a request waits until it can be sent, and is
sent once more where the race was lost all the same. I/O-free; ``now`` is in monotonic seconds.
"""

from typing import Any

SERVER_RESPONSE_WAIT_S = 2.0
"""After the caller's turn ended, how long the server's own response is waited for."""
CREATED_WAIT_S = 5.0
"""After a create was sent or refused, how long before the gate opens by itself."""


class ResponseGate:
    """Decides when a wanted response may be asked for.

    ``active`` is the id of the response that is writing to the conversation, or None.
    """

    def __init__(self) -> None:
        self.active: str | None = None
        self._wanted: dict[str, Any] | None = None
        self._again: dict[str, Any] | None = None  # what was asked for last, until it is sure that it was granted
        self._in_flight = False
        self._closed_until = 0.0

    def request(self, response: dict[str, Any]) -> None:
        """Want a response. A request that still waits is replaced: the newest says what is wanted now."""
        self._wanted = response

    def turn_ended(self, now: float) -> None:
        """The caller's turn ended and the server will answer it by itself."""
        self._closed_until = now + SERVER_RESPONSE_WAIT_S

    def started(self, response_id: str) -> None:
        """A response began: the one asked for, or one that the server made; which, a refusal may still tell."""
        self.active = response_id
        self._in_flight = False
        self._closed_until = 0.0

    def ended(self, response_id: str) -> None:
        if response_id == self.active:
            self.active = self._again = None
        if not self._in_flight:
            self._closed_until = 0.0

    def refused(self, now: float) -> None:
        """Our create lost a race: want it again, after the response that won, which may be over already."""
        if self._again is not None:
            self._wanted = self._again if self._wanted is None else self._wanted
            self._again = None
            # If that response is not known to us it may have ended already: open by time.
            self._closed_until = now + (CREATED_WAIT_S if self.active else SERVER_RESPONSE_WAIT_S / 4)
        self._in_flight = False

    def withdraw(self) -> bool:
        """Want nothing any more (the caller speaks: what they say comes first).

        True when a response was asked for that has not begun: it is not wanted either.
        """
        self._wanted = self._again = None
        return self._in_flight

    def take(self, now: float) -> dict[str, Any] | None:
        """The response to ask for now, if any."""
        if self._wanted is None or self.active is not None or now < self._closed_until:
            return None
        self._again, self._wanted = self._wanted, None
        self._in_flight = True
        self._closed_until = now + CREATED_WAIT_S
        return self._again

    def next_deadline(self) -> float | None:
        """When ``take`` may have something although nothing else happens."""
        if self._wanted is None or self.active is not None:
            return None
        return self._closed_until
