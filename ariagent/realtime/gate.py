"""One gate for ``response.create``: at most one response writes to the conversation at a time.

A create that races the response that the server starts by itself after a turn is refused with
``conversation_already_has_active_response``. Others lost calls to it; here a request waits until it can be sent, and is
sent once more where the race was lost all the same. I/O-free; ``now`` is in monotonic seconds.
"""

from typing import Any

SERVER_RESPONSE_WAIT_S = 2.0
"""Seconds to wait for the server's own response after the caller's turn."""
CREATED_WAIT_S = 5.0
"""Seconds after a create was sent or refused until the gate opens by itself."""


class ResponseGate:
    """Decides when a wanted response may be asked for.

    ``active`` is the id of the response that is writing to the conversation, or None.
    """

    def __init__(self) -> None:
        self.active: str | None = None
        self._wanted: dict[str, Any] | None = None
        self._asked: dict[str, Any] | None = None  # the last request, until it is sure that it was granted
        self._asked_in = ""  # the id of the event that asked
        self._in_flight = False
        self._closed_until = 0.0

    def request(self, response: dict[str, Any]) -> None:
        """Want a response. A request that still waits is replaced: the newest says what is wanted now."""
        self._wanted = response

    def turn_ended(self, now: float) -> None:
        """The caller's turn ended and the server will answer it by itself."""
        self._closed_until = now + SERVER_RESPONSE_WAIT_S

    def asked(self, event_id: str) -> None:
        """Note that the request from ``take`` was sent, with this event id."""
        self._asked_in = event_id

    @property
    def idle(self) -> bool:
        """No response runs, is on its way or is wanted."""
        return self.active is None and self._wanted is None and not self._in_flight

    @property
    def closed_until(self) -> float:
        """The time until which the server may begin a response by itself."""
        return self._closed_until

    @property
    def in_flight(self) -> bool:
        """A response was asked for that has not begun."""
        return self._in_flight

    def asked_in(self, event_id: str | None) -> bool:
        """Whether this event asked for a response whose fate is open, wanted still or not."""
        return (self._in_flight or self._asked is not None) and event_id == self._asked_in

    def started(self, response_id: str) -> None:
        """A response began: the one asked for, or one that the server made; which, a refusal may still tell."""
        self.active = response_id
        self._in_flight = False
        self._closed_until = 0.0

    def ended(self, response_id: str) -> None:
        if response_id == self.active:
            self.active = self._asked = None
        if not self._in_flight:
            self._closed_until = 0.0

    def active_response_conflict(self, now: float, event_id: str | None, *, answer_pending: bool) -> None:
        """A create was refused because a response is active: ariagent's create, or the server's own. Ask again then.

        Servers often leave out which create it was (``event_id`` None). If no response has begun since ariagent asked,
        it was ariagent's. If one has begun, it may be the one that was asked for, and to repeat the request word for
        word would say it twice: then an answer to whatever the conversation holds is right in both cases.
        """
        ours = self._asked is not None and (event_id == self._asked_in or (event_id is None and self._in_flight))
        if ours:
            self._wanted = self._asked if self._wanted is None else self._wanted
        elif self._wanted is None and (answer_pending or self._asked is not None):
            self._wanted = {}
        self._asked = None
        self._in_flight = False
        if self._wanted is not None:
            # If the response that won is not known to us it may have ended already: open by time.
            self._closed_until = now + (CREATED_WAIT_S if self.active else SERVER_RESPONSE_WAIT_S / 4)

    def failed(self) -> None:
        """A response failed, or the request for it, for another reason than a race: want it again.

        If the response was not requested here, an answer to the conversation is wanted. A request that waits already is
        enough.
        """
        if self._wanted is None:
            self._wanted = self._asked or {}
        self.dropped()

    def dropped(self) -> None:
        """The request for a response failed, and nobody wants that response any more."""
        self._asked = None
        self._in_flight = False
        self._closed_until = 0.0

    def fulfilled(self) -> dict[str, Any] | None:
        """A response has begun that sees all that the wanted one would have seen: no further one is needed.

        Returns what was wanted, for the case that the response is discarded. One with instructions stays wanted.
        """
        if self._wanted:
            return None
        wanted, self._wanted = self._wanted, None
        return wanted

    def withdraw(self) -> bool:
        """Want nothing any more (the caller speaks: what they say comes first).

        True when a response was asked for that has not begun: it is not wanted either.
        """
        self._wanted = self._asked = None
        return self._in_flight

    def take(self, now: float) -> dict[str, Any] | None:
        """The response to ask for now, if any."""
        if self._wanted is None or self.active is not None or now < self._closed_until:
            return None
        self._asked, self._wanted = self._wanted, None
        self._in_flight = True
        self._closed_until = now + CREATED_WAIT_S
        return self._asked

    def next_deadline(self) -> float | None:
        """The time of the next ``take``, should nothing happen before."""
        if self._wanted is None or self.active is not None:
            return None
        return self._closed_until
