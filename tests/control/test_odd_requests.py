"""Odd HTTP requests at both of the service's HTTP servers, with a token and without, byte by byte as they are sent.

None is an internal error, none passes without a token, and the next client is served as ever.
"""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from ariagent.call.calls import Calls
from ariagent.config import Settings
from ariagent.control import api as api_module
from ariagent.control.api import Api
from ariagent.control.auth import Gate, Grant, Role, digest_of
from ariagent.control.events import Feed
from ariagent.control.supervision import Supervision
from ariagent.hosts import HostNames
from ariagent.service.health import Health
from ariagent.service.status import pages
from ariagent.webserver import WebServer

pytestmark = pytest.mark.both_loops

LIMIT_S = 20.0
TOKEN = b"the-token-of-an-admin"
HOST = b"Host: localhost\r\n"
AUTH = b"@"
"""In a request: the header with the token, or nothing."""
SECRETS = (b'"calls"', b'"seats"', b'"queues"', b"ariagent_")
"""Contents of a right answer."""
W = b"/v1/calls/1795357064.1/whisper"


def post(body: bytes, *headers: bytes, path: bytes = W, length: bytes | None = None) -> bytes:
    sized = b"Content-Length: %s\r\n" % (b"%d" % len(body) if length is None else length)
    more = b"".join(header + b"\r\n" for header in headers)
    return b"POST %s HTTP/1.1\r\n" % path + HOST + AUTH + sized + more + b"\r\n" + body


def chunked(*chunks: bytes, headers: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\n" % W + HOST + AUTH + b"Transfer-Encoding: chunked\r\n" + headers + b"\r\n"
    return head + b"".join(chunks)


def get(target: bytes, *headers: bytes, version: bytes = b"HTTP/1.1", host: bytes = HOST) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    return b"GET %s %s\r\n" % (target, version) + host + AUTH + more + b"\r\n"


TEXT = b'{"text": "x"}'
ODD = {
    # lengths and encodings of the body
    "CL and TE": post(b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "TE and CL, a request behind": chunked(b"0\r\n\r\n", headers=b"Content-Length: 5\r\n") + get(b"/v1/calls"),
    "two equal lengths": post(TEXT, b"Content-Length: 13"),
    "two lengths": post(TEXT, b"Content-Length: 5"),
    "a list of lengths": post(TEXT, length=b"13, 13"),
    "signed length": post(TEXT, length=b"+13"),
    "negative length": post(TEXT, length=b"-1"),
    "hexadecimal length": post(TEXT, length=b"0xd"),
    "length with an underscore": post(TEXT, length=b"1_3"),
    "length with blanks": post(TEXT, length=b" 13 "),
    "empty length": post(TEXT, length=b""),
    "length of other digits": post(TEXT, length="１３".encode()),
    "huge length": post(TEXT, length=b"9" * 30),
    "longest length": post(TEXT, length=b"18446744073709551616"),
    "too short a body": post(TEXT, length=b"100"),
    "too large a body": post(b"x" * 100_000),
    "TE identity": post(TEXT, b"Transfer-Encoding: identity"),
    "TE gzip, chunked": chunked(b"0\r\n\r\n", headers=b"Transfer-Encoding: gzip, chunked\r\n"),
    "TE twice": chunked(b"0\r\n\r\n", headers=b"Transfer-Encoding: chunked\r\n"),
    "TE hidden": post(b"0\r\n\r\n", b"Transfer-Encoding:\x0bchunked"),
    "TE with a blank before the colon": post(b"0\r\n\r\n", b"Transfer-Encoding : chunked"),
    "chunk size signed": chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size negative": chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size huge": chunked(b"f" * 40 + b"\r\nhello"),
    "chunk size not a number": chunked(b"hello\r\nhello\r\n0\r\n\r\n"),
    "chunk with a bare LF": chunked(b"5\nhello\n0\n\n"),
    "chunk without its end": chunked(b"5\r\nhello0\r\n\r\n"),
    "huge chunk extension": chunked(b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with NUL": chunked(b"5;a=\x00\r\nhello\r\n0\r\n\r\n"),
    "many tiny chunks": chunked(b"1\r\n{\r\n" * 3000, b"0\r\n\r\n"),
    "trailers": chunked(b"0\r\n", b"X: y\r\n" * 500, b"\r\n"),
    "gzip": post(gzip.compress(TEXT), b"Content-Encoding: gzip"),
    "gzip that is none": post(b"\x1f\x8bnone", b"Content-Encoding: gzip"),
    "gzip bomb": post(gzip.compress(bytes(10_000_000)), b"Content-Encoding: gzip"),
    "deflate, chunked": chunked(b"3\r\n\x78\x9c\x00\r\n0\r\n\r\n", headers=b"Content-Encoding: deflate\r\n"),
    "brotli": post(b"\x0b\x02\x80", b"Content-Encoding: br"),
    "packed GET": get(b"/v1/calls", b"Content-Encoding: gzip", b"Content-Length: 4") + b"none",
    "Expect": post(TEXT, b"Expect: 100-continue"),
    "Expect of something else": post(TEXT, b"Expect: the-unexpected"),
    # heads
    "obs-fold": get(b"/v1/calls", b"X-A: b\r\n c\r\n\td"),
    "obs-fold at once": b"GET /v1/calls HTTP/1.1\r\n X: y\r\n" + HOST + AUTH + b"\r\n",
    "bare LF": get(b"/v1/calls").replace(b"\r\n", b"\n"),
    "bare CR": get(b"/v1/calls", b"X: a\rb"),
    "NUL in a name": get(b"/v1/calls", b"X\x00Y: z"),
    "NUL in a value": get(b"/v1/calls", b"X: a\x00b"),
    "NUL in the target": get(b"/v1/ca\x00lls"),
    "no name": get(b"/v1/calls", b": x"),
    "no colon": get(b"/v1/calls", b"nothing"),
    "name with brackets": get(b"/v1/calls", b"X(Y): z"),
    "300 headers": get(b"/v1/calls", *(b"X-%d: y" % number for number in range(300))),
    "9k line": get(b"/v1/calls", b"X: " + b"y" * 9_000),
    "9k name": get(b"/v1/calls", b"y" * 9_000 + b": x"),
    "9k target": get(b"/v1/" + b"a" * 9_000),
    "endless head": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
    "bytes that are no UTF-8": get(b"/v1/calls", b"X: \xff\xfe\x80"),
    "target that is no UTF-8": get(b"/v1/calls/\xff\xfe"),
    "escaped target that is no UTF-8": get(b"/v1/calls/%ff%fe%c0%af"),
    "broken escapes": get(b"/v1/calls/%zz%4"),
    "query that is no UTF-8": get(b"/v1/calls?\xff=%ff&;;&=&a[]=\x80"),
    "no host": get(b"/v1/calls", host=b""),
    "two hosts": get(b"/v1/calls", b"Host: evil.example.com"),
    "host with a blank": get(b"/v1/calls", host=b"Host: local host\r\n"),
    "host that is no UTF-8": get(b"/v1/calls", host=b"Host: \xff\r\n"),
    "foreign host": get(b"/v1/openapi.json", host=b"Host: evil.example.com\r\n"),
    # targets
    "absolute": get(b"http://localhost/v1/calls"),
    "absolute of another": get(b"http://evil.example.com/v1/calls"),
    "absolute of another scheme": get(b"file:///etc/passwd"),
    "absolute with a broken address": get(b"http://[::1/v1/calls"),
    "absolute with a broken port": get(b"http://localhost:99999999/v1/calls"),
    "traversing": get(b"/v1/../../../../etc/passwd"),
    "traversing, escaped": get(b"/v1/%2e%2e/%2e%2e%2fetc%2fpasswd"),
    "traversing to a call": get(b"/v1/openapi.json/../calls"),
    "double slash": get(b"//v1//calls"),
    "authority": b"CONNECT localhost:22 HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "fragment": get(b"/v1/calls#x"),
    "blank in the target": get(b"/v1/calls x"),
    "empty target": b"GET  HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "relative target": get(b"v1/calls"),
    # versions and methods
    "HTTP/0.9": b"GET /v1/calls\r\n\r\n",
    "HTTP/1.0": get(b"/v1/calls", version=b"HTTP/1.0"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": get(b"/v1/calls", version=b"HTTP/9.9"),
    "HTTP/1.1x": get(b"/v1/calls", version=b"HTTP/1.1x"),
    "RTSP": get(b"/v1/calls", version=b"RTSP/1.0"),
    "SIP": b"OPTIONS sip:1000@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "method of other letters": b"G\xc9T /v1/calls HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "long method": b"X" * 9_000 + b" /v1/calls HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "TRACE": b"TRACE /v1/calls HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "HEAD": b"HEAD /v1/calls HTTP/1.1\r\n" + HOST + AUTH + b"\r\n",
    "blank lines before": b"\r\n\r\n\r\n" + get(b"/v1/calls"),
    "zeros": bytes(5_000),
    "upgrade to a websocket": get(
        b"/v1/calls",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==",
        b"Sec-WebSocket-Version: 13",
    ),
    "upgrade to HTTP/2": get(
        b"/v1/calls", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: x"
    ),
    "upgrade with garbage behind it": get(b"/v1/calls", b"Upgrade: x", b"Connection: Upgrade") + bytes(70_000),
    "pipelined": get(b"/v1/calls") * 200,
    "conditions": get(b"/v1/openapi.json", b"If-None-Match: *", b"If-Modified-Since: never", b"Range: bytes=0-,-1,5-2"),
    # bodies
    "deep JSON": post(b'{"text": ' + b"[" * 7_000 + b"]" * 7_000 + b"}"),
    "deep JSON that does not end": post(b"[" * 16_000),
    "NaN": post(b'{"queue": "support", "wait_s": NaN}', path=W.replace(b"whisper", b"transfer")),
    "Infinity": post(b'{"queue": "support", "wait_s": Infinity}', path=W.replace(b"whisper", b"transfer")),
    "huge number": post(
        b'{"queue": "support", "wait_s": 1' + b"0" * 10_000 + b"}", path=W.replace(b"whisper", b"transfer")
    ),
    "number of many digits": post(b'{"text": ' + b"9" * 16_000 + b"}"),
    "half a surrogate": post(b'{"text": "\\ud800"}'),
    "key twice": post(b'{"text": "a", "text": ["b"]}'),
    "body that is no UTF-8": post(b'{"text": "\xff\xfe"}'),
    "body with NUL": post(b'{"text": "a\x00b"}'),
    "byte order mark": post(b"\xef\xbb\xbf" + TEXT),
    "UTF-16": post('{"text": "x"}'.encode("utf-16"), b"Content-Type: application/json; charset=utf-16"),
    "unknown charset": post(TEXT, b"Content-Type: application/json; charset=nothing"),
    "broken content type": post(TEXT, b"Content-Type: ;;;=\xff"),
    "multipart": post(b"--x\r\n\r\n" + TEXT + b"\r\n--x--", b"Content-Type: multipart/form-data; boundary=x"),
    # tokens
    "token that is no UTF-8": get(b"/v1/calls", b"Authorization: Bearer \xff\xfe\x80"),
    "empty token": get(b"/v1/calls", b"Authorization: Bearer "),
    "two tokens": get(b"/v1/calls", b"Authorization: Bearer x", b"Authorization: Bearer y"),
    "broken basic": get(b"/v1/calls", b"Authorization: Basic !!!"),
    "forwarded": get(b"/v1/calls", b"X-Forwarded-For: \xff, , ::1]%%, 1" + b",2" * 2_000, b"Forwarded: for=\x7f"),
}


@dataclass
class Servers:
    control: WebServer
    http: WebServer


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Both as the service has them. Each connection ends soon, so that all that is answered can be waited for."""
    health = Health("ariagent", "1", True, True, "", False, "ok", "ok", "connected", {}, 0, False, 9094)
    gate = Gate([Grant("anna", Role.ADMIN, digest_of(TOKEN.decode()))], ["127.0.0.1"])
    desk = Supervision(Calls(lambda: None), None, {}, drain=lambda to, after_s: None)  # type: ignore[arg-type,return-value]
    feed = Feed(desk)
    shown = pages(
        lambda: b"ariagent_up 1\n",
        lambda: health,
        lambda: Settings.model_validate({}),
        everything=lambda request: isinstance(api_module.judged(gate, request, 0.0), Grant),
        hosts=HostNames("127.0.0.1"),
    )
    apps: list[web.Application] = [Api(desk, feed, gate, HostNames("127.0.0.1")).application(), shown]
    made = [WebServer(app, idle_limit_s=0.2, life_s=0.6) for app in apps]
    for server in made:
        await server.start("127.0.0.1", 0, what="answers", key="port")
    try:
        yield Servers(*made)
    finally:
        for server in made:
            await server.close()


async def answers(server: WebServer, said: bytes) -> bytes:
    """All that comes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    heard = b""
    try:
        async with asyncio.timeout(LIMIT_S):
            writer.write(said)
            while data := await reader.read(65_536):
                heard += data
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d\d\d) ", heard)]


AT_ONCE = 20
"""Requests that are tried side by side, each at servers of its own: most take as long as a server waits for more."""


async def test_an_odd_request_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(api_module, "BODY_LIMIT_S", 0.1)
    some = asyncio.Semaphore(AT_ONCE)

    async def fault_of(said: bytes) -> str:
        async with some, servers() as own:
            try:
                await try_odd_request(said, own)
            except (AssertionError, TimeoutError) as error:
                return f"{type(error).__name__}: {error}"
            return ""

    faults = dict(zip(ODD, await asyncio.gather(*map(fault_of, ODD.values())), strict=True))
    assert {name: fault for name, fault in faults.items() if fault} == {}
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL") or record.exc_info] == []
    assert TOKEN.decode() not in caplog.text


async def try_odd_request(said: bytes, servers: Servers) -> None:
    stranger = said.replace(AUTH, b"", 1)
    known = said.replace(AUTH, b"Authorization: Bearer %s\r\n" % TOKEN, 1)
    to_http = stranger.replace(b"/v1/calls", b"/healthz").replace(b"/v1/openapi.json", b"/metrics")
    alone, told, read, shown = await asyncio.gather(
        answers(servers.control, stranger),
        answers(servers.control, known),
        answers(servers.http, stranger),
        answers(servers.http, to_http),
    )
    for heard in (alone, told, read, shown):
        assert [status for status in statuses(heard) if status >= 500] == [], heard[:2000]
        assert b"aiohttp" not in heard
        assert b"Python" not in heard
        assert not re.search(rb"\r\naccess-control", heard, re.IGNORECASE)
    assert [secret for secret in SECRETS if secret in alone.replace(b"/v1/calls", b"")] == [] or b"openapi" in alone
    # The next one is served.
    served = await answers(
        servers.control, get(b"/v1/calls", b"Connection: close").replace(AUTH, b"Authorization: Bearer %s\r\n" % TOKEN)
    )
    assert statuses(served) == [200]
    assert json.loads(served.partition(b"\r\n\r\n")[2])["calls"] == []
    assert statuses(await answers(servers.http, get(b"/healthz", b"Connection: close").replace(AUTH, b""))) == [200]
