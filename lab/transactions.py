"""SIP transactions over UDP (RFC 3261 section 17, RFC 6026): retransmission, duplicates, time-outs.

I/O-free: the caller hands in datagrams and the time (seconds, monotonic), and takes out datagrams, events and the next
deadline. Unlike the RFC's split, this layer also retransmits a 2xx to INVITE until its ACK comes, because there is
one user agent behind it and never a proxy.
"""

import heapq
import math
from dataclasses import dataclass

from ariagent.errors import InternalError
from lab.sip import MAGIC_COOKIE, Headers, Request, Response, SipError, parse

Address = tuple[str, int]

T1_S = 0.5
"""Round-trip estimate and first retransmission interval, seconds (RFC 3261 section 17.1.1.1)."""
T2_S = 4.0
"""Longest retransmission interval of anything but an INVITE, seconds."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request, or a CANCEL. ACK comes as AckReceived."""

    request: Request
    source: Address
    key: str


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The ACK of our final response to the INVITE with that key."""

    request: Request
    key: str


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response to our request. A 2xx to INVITE is reported each time it comes: its ACK must be sent again."""

    response: Response
    key: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No final response came to our request (``client``), or no ACK to our response."""

    key: str
    client: bool


Event = RequestReceived | AckReceived | ResponseReceived | TimedOut


@dataclass(slots=True)
class _Transaction:
    key: str
    invite: bool
    client: bool
    peer: Address
    expires_at: float
    request: Request
    wire: bytes = b""  # what is retransmitted, and sent again on a duplicate
    retransmit_at: float = math.inf
    interval_s: float = 0.0
    capped: bool = True  # interval stops at T2
    final: int = 0  # status of the final response
    acknowledged: bool = False

    @property
    def deadline(self) -> float:
        return min(self.retransmit_at, self.expires_at)


def key_of(branch: str, method: str, call_id: str) -> str:
    """The key of a transaction on one side. ACK and CANCEL have their INVITE's branch, but a key of their own."""
    return f"{branch}|{method}" if branch.startswith(MAGIC_COOKIE) else f"{branch}|{method}|{call_id}"


class TransactionLayer:
    """All transactions of one UDP socket. ``t1_s`` scales every timer."""

    def __init__(self, t1_s: float = T1_S) -> None:
        self.malformed = 0
        """Datagrams that were not SIP."""
        self.stray = 0
        """Responses and ACKs that belong to nothing."""
        self.retransmitted = 0
        """Datagrams this side sent again."""
        self._t1_s = t1_s
        self._t2_s = T2_S / T1_S * t1_s
        self._clients: dict[str, _Transaction] = {}
        self._servers: dict[str, _Transaction] = {}
        self._invites: dict[tuple[str, int], str] = {}  # Call-ID and CSeq of a received INVITE: what an ACK names
        self._timers: list[tuple[float, int, _Transaction]] = []
        self._order = 0
        self._output: list[tuple[bytes, Address]] = []
        self._events: list[Event] = []

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, request: Request, peer: Address, now: float) -> str:
        """Start a client transaction; returns its key. The request carries its own Via with a fresh branch."""
        key = key_of(request.branch, request.method, request.call_id)
        if key in self._clients:
            raise InternalError(f"SIP branch used twice: {request.branch}")
        invite = request.method == "INVITE"
        transaction = _Transaction(
            key, invite, True, peer, now + 64 * self._t1_s, request, request.serialize(), now + self._t1_s, self._t1_s
        )
        transaction.capped = not invite
        self._clients[key] = transaction
        self._output.append((transaction.wire, peer))
        self._arm(transaction)
        return key

    def send_ack(self, request: Request, peer: Address) -> None:
        """The ACK of a 2xx is a transaction of no kind (RFC 3261 section 13.2.2.4): it is only sent."""
        self._output.append((request.serialize(), peer))

    def respond(self, key: str, response: Response, now: float) -> None:
        """Answer the request with that key. Further final responses, and answers to forgotten requests, are dropped."""
        transaction = self._servers.get(key)
        if transaction is None or transaction.final:
            return
        transaction.wire = response.serialize()
        self._output.append((transaction.wire, transaction.peer))
        if response.status < 200:
            return
        transaction.final = response.status
        transaction.expires_at = now + 64 * self._t1_s
        if transaction.invite:
            transaction.interval_s = self._t1_s
            transaction.retransmit_at = now + self._t1_s
        self._arm(transaction)

    # -- in ------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """One datagram. A datagram that is not SIP is counted and dropped; an empty one is a keep-alive."""
        if not data.strip(b"\r\n\x00"):
            return
        try:
            message = parse(data)
        except SipError:
            self.malformed += 1
            return
        if isinstance(message, Response):
            self._receive_response(message, now)
        elif message.method == "ACK":
            self._receive_ack(message)
        else:
            self._receive_request(message, source)

    def _receive_request(self, request: Request, source: Address) -> None:
        key = key_of(request.branch, request.method, request.call_id)
        known = self._servers.get(key)
        if known is not None:
            if known.wire:
                self.retransmitted += 1
                self._output.append((known.wire, source))
            return
        invite = request.method == "INVITE"
        self._servers[key] = _Transaction(key, invite, False, source, math.inf, request)
        if invite:
            self._invites[request.call_id, request.cseq] = key
        self._events.append(RequestReceived(request, source, key))

    def _receive_ack(self, request: Request) -> None:
        key = self._invites.get((request.call_id, request.cseq), "")
        transaction = self._servers.get(key)
        if transaction is None or not transaction.final:
            self.stray += 1
        elif not transaction.acknowledged:
            transaction.acknowledged = True
            transaction.retransmit_at = math.inf
            self._events.append(AckReceived(request, key))

    def _receive_response(self, response: Response, now: float) -> None:
        key = key_of(response.branch, response.cseq_method, response.call_id)
        transaction = self._clients.get(key)
        if transaction is None:
            self.stray += 1
            return
        if response.status < 200:
            self._provisional(transaction, response, now)
            return
        repeated = transaction.final
        transaction.final = response.status
        transaction.retransmit_at = math.inf
        if not repeated:
            transaction.expires_at = now + 64 * self._t1_s
            self._arm(transaction)
        if transaction.invite and response.status >= 300:
            self._output.append((_failure_ack(transaction.request, response).serialize(), transaction.peer))
        if not repeated or (transaction.invite and response.status < 300):
            self._events.append(ResponseReceived(response, key))

    def _provisional(self, transaction: _Transaction, response: Response, now: float) -> None:
        if transaction.final:
            return
        if transaction.invite:
            transaction.retransmit_at = transaction.expires_at = math.inf
        else:
            transaction.interval_s = self._t2_s
            transaction.retransmit_at = now + self._t2_s
            self._arm(transaction)
        self._events.append(ResponseReceived(response, transaction.key))

    # -- time ----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When ``tick`` is next needed; None while nothing waits."""
        while self._timers and self._timers[0][0] != self._timers[0][2].deadline:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def tick(self, now: float) -> None:
        """Send again what is due and give up what is overdue."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            transaction = heapq.heappop(self._timers)[2]
            if transaction.expires_at <= now:
                self._expire(transaction)
                continue
            self.retransmitted += 1
            self._output.append((transaction.wire, transaction.peer))
            transaction.interval_s *= 2
            if transaction.capped:
                transaction.interval_s = min(transaction.interval_s, self._t2_s)
            transaction.retransmit_at = now + transaction.interval_s
            self._arm(transaction)

    def _expire(self, transaction: _Transaction) -> None:
        transaction.expires_at = transaction.retransmit_at = math.inf
        if transaction.client:
            self._clients.pop(transaction.key, None)
            if not transaction.final:
                self._events.append(TimedOut(transaction.key, True))
            return
        self._servers.pop(transaction.key, None)
        if transaction.invite:
            self._invites.pop((transaction.request.call_id, transaction.request.cseq), None)
            if not transaction.acknowledged:
                self._events.append(TimedOut(transaction.key, False))

    def _arm(self, transaction: _Transaction) -> None:
        if transaction.deadline != math.inf:
            self._order += 1
            heapq.heappush(self._timers, (transaction.deadline, self._order, transaction))

    # -- taking --------------------------------------------------------------------------------------------------

    def take_output(self) -> list[tuple[bytes, Address]]:
        """Datagrams to send, in order, each once."""
        output, self._output = self._output, []
        return output

    def take_events(self) -> list[Event]:
        """Take the events since the last call, in order, each once."""
        events, self._events = self._events, []
        return events


def _failure_ack(invite: Request, response: Response) -> Request:
    """The ACK of a refusal: the INVITE's Via and Route, the response's To (RFC 3261 section 17.1.1.3)."""
    via = invite.headers.all("via")[0]
    routes = [("Route", value) for value in invite.headers.all("route")]
    headers = Headers(
        (
            ("Via", via),
            *routes,
            ("Max-Forwards", "70"),
            ("From", invite.headers.get("from")),
            ("To", response.headers.get("to")),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{invite.cseq} ACK"),
        )
    )
    return Request(headers, b"", "ACK", invite.uri)


def make_cancel(invite: Request) -> Request:
    """The CANCEL of an INVITE in flight (RFC 3261 section 9.1): same Via branch, same CSeq number."""
    kept = {"via", "from", "to", "call-id", "route", "max-forwards"}
    items = tuple((name, value) for name, value in invite.headers if name.lower() in kept)
    return Request(Headers((*items, ("CSeq", f"{invite.cseq} CANCEL"))), b"", "CANCEL", invite.uri)
