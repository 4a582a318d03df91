"""SIP messages and addresses (RFC 3261), parsed and serialized.

I/O-free: bytes in, values out. Only what a small phone on UDP needs: no TLS, no multipart bodies.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from ariagent.errors import AsteriskError, InternalError

MAGIC_COOKIE = "z9hG4bK"

_COMPACT = {
    "b": "referred-by", "c": "content-type", "f": "from", "i": "call-id", "k": "supported", "l": "content-length",
    "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
    "x": "session-expires",
}  # fmt: skip
_REQUIRED = ("via", "from", "to", "call-id", "cseq")


class SipError(AsteriskError):
    """A SIP peer sent something that is not SIP, or is cut short."""


def _canonical(name: str) -> str:
    lowered = name.strip().lower()
    return _COMPACT.get(lowered, lowered)


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split at ``separator``, except inside double quotes or angle brackets; parts are stripped, empty ones dropped."""
    parts: list[str] = []
    start, quoted, depth, escaped = 0, False, 0, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            depth += 1 if char == "<" else -1
        elif char == separator and depth <= 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _parse_params(text: str) -> tuple[tuple[str, str], ...]:
    """``a=1;b;c="x"`` as pairs; a parameter without a value has the value ''."""
    pairs = []
    for part in split_list(text, ";"):
        name, _, value = part.partition("=")
        pairs.append((name.strip().lower(), value.strip()))
    return tuple(pairs)


def _format_params(params: Iterable[tuple[str, str]]) -> str:
    return "".join(f";{name}={value}" if value else f";{name}" for name, value in params)


def _param(params: Iterable[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in params if key == name), None)


@dataclass(frozen=True, slots=True)
class Uri:
    """A ``sip:`` URI (RFC 3261 section 19.1). ``port`` is None where it is not written."""

    user: str
    host: str
    port: int | None = None
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "sip"

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Raises SipError for anything but ``sip:`` and ``sips:``."""
        scheme, colon, rest = text.strip().partition(":")
        if not colon or scheme.lower() not in ("sip", "sips"):
            raise SipError(f"not a SIP URI: {text[:80]!r}")
        rest, _, header_text = rest.partition("?")
        userinfo, at, hostport = rest.rpartition("@")
        hostport, _, param_text = hostport.partition(";")
        host, port = _split_hostport(hostport, text)
        pairs = (pair.partition("=") for pair in header_text.split("&") if pair)
        headers = tuple((unquote(name), unquote(value)) for name, _, value in pairs)
        user = unquote(userinfo) if at else ""
        return cls(user, host, port, _parse_params(param_text), headers, scheme.lower())

    def __str__(self) -> str:
        user = quote(self.user, safe="-_.!~*'()&=+$,;?/:%") + "@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        headers = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.headers)
        return f"{self.scheme}:{user}{self.host}{port}{_format_params(self.params)}{'?' if headers else ''}{headers}"

    @property
    def address(self) -> tuple[str, int]:
        """Host (brackets of an IPv6 literal removed) and port, 5060 where none is written."""
        return self.host.strip("[]"), self.port or 5060


def _split_hostport(text: str, whole: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:
        host, port = text, ""
    if not host or any(char.isspace() for char in text):
        raise SipError(f"no host in {whole[:80]!r}")
    if not port:
        return host, None
    number = _number(port)
    if not 0 < number < 65536:
        raise SipError(f"bad port in {whole[:80]!r}")
    return host, number


def _number(text: str) -> int:
    """A decimal number of at most ten digits, -1 for anything else (a longer one would only cost time)."""
    return int(text) if len(text) <= 10 and text.isascii() and text.isdigit() else -1


_QUOTED = re.compile(r'\s*"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The value of From, To, Contact, Refer-To, Route: an optional name, a URI, parameters of the header."""

    uri: Uri
    display: str = ""
    params: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "NameAddr":
        # A name in quotes may hold anything, brackets too.
        quoted = _QUOTED.match(text)
        start = quoted.end() if quoted else 0
        before, bracket, rest = text[start:].partition("<")
        before = text[:start] + before
        if not bracket:
            # RFC 3261 section 20: without brackets, parameters belong to the header, not to the URI.
            uri, _, params = text.partition(";")
            return cls(Uri.parse(uri), "", _parse_params(params))
        uri, bracket, params = rest.partition(">")
        if not bracket:
            raise SipError(f"unclosed address {text[:80]!r}")
        display = before.strip()
        if len(display) >= 2 and display[0] == display[-1] == '"':
            display = display[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return cls(Uri.parse(uri), display, _parse_params(params.strip().lstrip(";")))

    def __str__(self) -> str:
        escaped = self.display.replace("\\", "\\\\").replace('"', '\\"')
        return f"{f'{chr(34)}{escaped}{chr(34)} ' if escaped else ''}<{self.uri}>{_format_params(self.params)}"

    @property
    def tag(self) -> str:
        return _param(self.params, "tag") or ""

    def with_tag(self, tag: str) -> "NameAddr":
        kept = tuple(pair for pair in self.params if pair[0] != "tag")
        return replace(self, params=(*kept, ("tag", tag)))


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in order. Names compare without case, compact forms (``i`` for Call-ID) count as the long ones."""

    items: tuple[tuple[str, str], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def get(self, name: str, default: str = "") -> str:
        """The first field of that name."""
        wanted = _canonical(name)
        return next((value for key, value in self.items if _canonical(key) == wanted), default)

    def all(self, name: str) -> list[str]:
        """Every field of that name, as written."""
        wanted = _canonical(name)
        return [value for key, value in self.items if _canonical(key) == wanted]

    def values(self, name: str) -> list[str]:
        """Every element of a list header such as Via or Record-Route, in order, over all its fields."""
        return [part for value in self.all(name) for part in split_list(value)]

    def set(self, name: str, value: str) -> "Headers":
        """A copy in which the fields of that name are this one, in the place of the first."""
        wanted = _canonical(name)
        result, done = [], False
        for key, old in self.items:
            if _canonical(key) != wanted:
                result.append((key, old))
            elif not done:
                result.append((name, value))
                done = True
        return Headers(tuple(result) if done else (*result, (name, value)))

    def add(self, *pairs: tuple[str, str]) -> "Headers":
        return Headers((*self.items, *pairs))


@dataclass(frozen=True, slots=True)
class _Message:
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id")

    @property
    def cseq(self) -> int:
        return int(self.headers.get("cseq").split()[0])

    @property
    def cseq_method(self) -> str:
        return self.headers.get("cseq").split()[1]

    @property
    def from_(self) -> NameAddr:
        return NameAddr.parse(self.headers.get("from"))

    @property
    def to(self) -> NameAddr:
        return NameAddr.parse(self.headers.get("to"))

    @property
    def branch(self) -> str:
        """The branch of the topmost Via, '' where it has none."""
        via = self.headers.values("via")[:1]
        return _param(_parse_params(via[0].partition(";")[2]), "branch") or "" if via else ""

    def _head(self, first_line: str) -> bytes:
        kept = [(name, value) for name, value in self.headers if _canonical(name) != "content-length"]
        lines = [first_line, *(f"{name}: {value}" for name, value in kept), f"Content-Length: {len(self.body)}"]
        if any("\r" in line or "\n" in line for line in lines):
            raise InternalError("a SIP header value holds a line break")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """A SIP request. ``uri`` is kept as text: it goes back out as it came in."""

    method: str = ""
    uri: str = ""

    def serialize(self) -> bytes:
        return self._head(f"{self.method} {self.uri} SIP/2.0")


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """A SIP response."""

    status: int = 0
    reason: str = ""

    def serialize(self) -> bytes:
        return self._head(f"SIP/2.0 {self.status} {self.reason}")


def parse(data: bytes) -> Request | Response:
    """One datagram as a message (RFC 3261 section 7).

    Raises SipError when the start line or a header is malformed, when Via, From, To, Call-ID or CSeq is missing or
    malformed, or when the body is shorter than Content-Length. Bytes after the body are dropped (section 18.3).
    """
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise SipError(f"no end of headers in {len(data)} bytes")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers = _parse_headers(lines[1:])
    length = headers.get("content-length").strip()
    if length:
        if not 0 <= _number(length) <= len(body):
            raise SipError(f"Content-Length {length[:20]!r}, body of {len(body)} bytes")
        body = body[: _number(length)]
    message = _parse_start(lines[0], headers, body)
    if isinstance(message, Request) and message.method != message.cseq_method:
        raise SipError(f"CSeq does not name the method {message.method[:20]!r}")
    return message


def _parse_start(line: str, headers: Headers, body: bytes) -> Request | Response:
    first, _, rest = line.partition(" ")
    if first == "SIP/2.0":
        status, _, reason = rest.partition(" ")
        if not 100 <= _number(status) <= 699:
            raise SipError(f"bad status {status[:20]!r}")
        return Response(headers, body, _number(status), reason)
    uri, _, version = rest.rpartition(" ")
    if version != "SIP/2.0" or not first.isalpha() or not uri or " " in uri:
        raise SipError(f"bad start line {line[:80]!r}")
    return Request(headers, body, first.upper(), uri)


def _parse_headers(lines: list[str]) -> Headers:
    items: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and items:  # folded: the line belongs to the one before (section 7.3.1)
            name, value = items[-1]
            items[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name or any(char in name for char in ' \t",;<>'):
            raise SipError(f"bad header line {line[:80]!r}")
        items.append((name, value.strip()))
    headers = Headers(tuple(items))
    for wanted in _REQUIRED:
        if not headers.get(wanted):
            raise SipError(f"no {wanted} header")
    cseq = headers.get("cseq").split()
    if len(cseq) != 2 or not 0 <= _number(cseq[0]) < 2**31:
        raise SipError(f"bad CSeq {headers.get('cseq')[:40]!r}")
    NameAddr.parse(headers.get("from"))
    NameAddr.parse(headers.get("to"))
    return headers


def make_response(
    request: Request,
    status: int,
    reason: str,
    *,
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """The response to a request (RFC 3261 section 8.2.6): its Via, From, To, Call-ID, CSeq, and the route it took."""
    kept = [("Via", value) for value in request.headers.all("via")]
    if status < 300 and status != 100:
        kept += [("Record-Route", value) for value in request.headers.all("record-route")]
    to = request.to
    tagged = str(to.with_tag(to_tag)) if to_tag and not to.tag else request.headers.get("to")
    kept += [
        ("From", request.headers.get("from")),
        ("To", tagged),
        ("Call-ID", request.call_id),
        ("CSeq", request.headers.get("cseq")),
    ]
    return Response(Headers((*kept, *headers)), body, status, reason)
