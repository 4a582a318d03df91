"""A SIP dialog (RFC 3261 section 12) as one phone sees it: identifiers, route, requests made inside it. I/O-free."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.sip import MAGIC_COOKIE, Headers, NameAddr, Request, Response, Uri
from lab.transactions import Address

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, INFO, UPDATE"
USER_AGENT = "ariagent-lab-phone"


def token(n_bytes: int = 8) -> str:
    """A fresh tag, branch suffix or Call-ID."""
    return secrets.token_hex(n_bytes)


@dataclass(slots=True)
class Dialog:
    """``local`` and ``remote`` carry their tags; the remote tag is empty until the far end has answered.

    ``target`` is the request URI, ``contact`` ours, ``sent_by`` our ``host:port`` for Via, ``fallback`` where requests
    go when the next hop is written as a name.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    target: Uri
    contact: str
    sent_by: str
    fallback: Address
    routes: tuple[str, ...] = ()
    cseq: int = field(default_factory=lambda: secrets.randbelow(10000) + 1)
    remote_cseq: int = -1

    @classmethod
    def incoming(cls, invite: Request, *, contact: str, sent_by: str, source: Address) -> "Dialog":
        """The called side: its tag is made here, the route is the Record-Route in its order (section 12.1.1)."""
        contacts = invite.headers.values("contact")
        target = NameAddr.parse(contacts[0]).uri if contacts else invite.from_.uri
        routes = tuple(invite.headers.values("record-route"))
        local = invite.to.with_tag(token())
        remote_cseq = invite.cseq
        return cls(
            invite.call_id, local, invite.from_, target, contact, sent_by, source, routes, remote_cseq=remote_cseq
        )

    def learn(self, response: Response) -> None:
        """Take tag, contact and route from a response to our INVITE (section 12.1.2)."""
        if response.to.tag:
            self.remote = response.to
        self.refresh(response.headers)
        routes = response.headers.values("record-route")
        if routes:
            self.routes = tuple(reversed(routes))

    def refresh(self, headers: Headers) -> None:
        """Take a new Contact of the far end: the remote target (section 12.2)."""
        contacts = headers.values("contact")
        if contacts:
            self.target = NameAddr.parse(contacts[0]).uri

    @property
    def next_hop(self) -> Address:
        """Where a request goes: the first route, else the target; a host that is no IPv4 literal gives ``fallback``."""
        uri = NameAddr.parse(self.routes[0]).uri if self.routes else self.target
        host, port = uri.address
        return (host, port) if host.replace(".", "").isdigit() else self.fallback

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str = "",
        cseq: int | None = None,
    ) -> Request:
        """A request with the next CSeq, or with the one given: an ACK has its INVITE's (section 13.2.2.4)."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        items = [
            ("Via", f"SIP/2.0/UDP {self.sent_by};rport;branch={MAGIC_COOKIE}{token()}"),
            *(("Route", route) for route in self.routes),
            ("Max-Forwards", "70"),
            ("From", str(self.local)),
            ("To", str(self.remote)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("User-Agent", USER_AGENT),
        ]
        if method in ("INVITE", "REGISTER", "REFER", "UPDATE", "NOTIFY"):
            items.append(("Contact", self.contact))
        if method == "INVITE":
            items += [("Allow", ALLOW), ("Supported", "replaces")]
        if body:
            items.append(("Content-Type", content_type))
        return Request(Headers((*items, *headers)), body, method, str(replace(self.target, headers=())))

    def in_order(self, request: Request) -> bool:
        """Note the CSeq of a request of the far end; False for one older than seen (section 12.2.2)."""
        if request.cseq < self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    @property
    def replaces(self) -> str:
        """This dialog as a Replaces value (RFC 3891) for its other end: the tags as seen from there."""
        return f"{self.call_id};to-tag={self.remote.tag};from-tag={self.local.tag}"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: who ended it, and the status that says so (200 after BYE, else the refusal)."""

    by: Literal["local", "remote"]
    status: int
    reason: str = ""


def parse_sipfrag(body: bytes) -> int:
    """The status in a ``message/sipfrag`` body (RFC 3515 section 2.4.5); 0 where there is none."""
    words = body.split(maxsplit=2)
    if len(words) >= 2 and words[0] == b"SIP/2.0" and len(words[1]) == 3 and words[1].isdigit():
        return int(words[1])
    return 0
