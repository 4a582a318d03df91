"""Hostile programs for the service's ports, by kinds.

``python -m lab.attackers KIND PORT [--connections N] [--seconds S]`` attacks a port of 127.0.0.1 and prints
what happened as one line of JSON. It runs at the lowest priority: what is measured is not that the machine is busy.
"""

import argparse
import json
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from lab.processes import lab_command, step_back

Port = Literal["media", "http", "control"]
HOST = "127.0.0.1"
PATIENCE_S = 2.0
"""How long an attacker waits for an answer."""
KEPT = 300
"""Connections that one attacker keeps open at the same time."""

AUDIO, ERROR, UUID = b"\x10", b"\xff", b"\x01"
_REQUEST = b"GET /v1/calls HTTP/1.1\r\nHost: localhost\r\n"


@dataclass(slots=True)
class Seen:
    """An attacker's observations."""

    connections: int = 0
    requests: int = 0
    passed: int = 0
    """Requests without a token that the control API obeyed."""
    failed: int = 0
    """Answers 5xx that blame the service (not 503, which says that it is busy)."""


class Attacker:
    """One attack on ``port`` until ``until`` (``time.monotonic()``), with ``connections`` connections at most."""

    def __init__(self, port: int, until: float, connections: int) -> None:
        self.seen = Seen()
        self.rng = random.Random(7)
        self._port = port
        self._until = until
        self._connections = connections
        self._pause_s = max(0.0, until - time.monotonic()) / connections / 2
        self._held: list[socket.socket] = []

    def run(self, attack: Callable[["Attacker", socket.socket], bool]) -> None:
        """Connect again and again; ``attack`` does what it does and says whether the connection stays open."""
        while time.monotonic() < self._until and self.seen.connections < self._connections:
            try:
                connection = socket.create_connection((HOST, self._port), timeout=PATIENCE_S)
                self.seen.connections += 1
                if attack(self, connection):
                    self._held.append(connection)
                else:
                    connection.close()
            except OSError:
                pass
            if len(self._held) > KEPT:
                self._held.pop(0).close()
            time.sleep(self._pause_s)
        while time.monotonic() < self._until:
            time.sleep(0.05)
        for connection in self._held:
            connection.close()

    def ask(self, connection: socket.socket, request: bytes) -> None:
        """Send a request and look at its answer, if one comes."""
        self.seen.requests += 1
        connection.settimeout(PATIENCE_S)
        connection.sendall(request)
        head = connection.recv(4096).split(b"\r\n", 1)[0].split()
        if len(head) > 1 and head[0].startswith(b"HTTP/"):
            self.seen.passed += head[1].startswith(b"2")
            self.seen.failed += head[1].startswith(b"5") and head[1] != b"503"


Attack = Callable[[Attacker, socket.socket], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attack on a port."""

    name: str
    port: Port
    says: str
    connections: int
    """Connections in the window of a measurement."""
    attack: Attack
    programs: int = 1
    """Programs that attack at the same time."""


KINDS: dict[str, Kind] = {}


def _kind(port: Port, says: str, connections: int = 1500, programs: int = 1) -> Callable[[Attack], Attack]:
    def add(attack: Attack) -> Attack:
        name = attack.__name__.strip("_")
        KINDS[name] = Kind(name, port, says, connections, attack, programs)
        return attack

    return add


# -- AudioSocket -------------------------------------------------------------------------------------------------------


@_kind("media", "connections that say nothing and stay")
def _silent(attacker: Attacker, connection: socket.socket) -> bool:
    return True


@_kind("media", "the UUID a byte at a time")
def _dripping(attacker: Attacker, connection: socket.socket) -> bool:
    for byte in UUID + b"\x00\x10":
        connection.send(bytes([byte]))
    return True


@_kind("media", "guessed UUIDs, with audio behind them")
def _guessed(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(UUID + b"\x00\x10" + attacker.rng.randbytes(16) + AUDIO + b"\x01\x40" + bytes(320))
    return True


@_kind("media", "connections that are reset")
def _reset(attacker: Attacker, connection: socket.socket) -> bool:
    connection.send(UUID + b"\x00")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


@_kind("media", "random bytes")
def _random(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(attacker.rng.randbytes(attacker.rng.randrange(1, 4000)))
    return False


@_kind("media", "half a frame of 32 kB")
def _half(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(AUDIO + b"\x7f\xff" + bytes(16_000))
    return True


@_kind("media", "a frame of 64 kB")
def _oversized(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(AUDIO + b"\xff\xfe" + bytes(65_000))
    return False


@_kind("media", "the error frame")
def _error(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(ERROR + b"\x00\x01\x01")
    return False


@_kind("media", "a frame's header and nothing else")
def _header(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(UUID + b"\x00\x10")
    return True


@_kind("media", "the same UUID on every connection")
def _same(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(UUID + b"\x00\x10" + bytes(range(16)))
    return False


@_kind("media", "255 kB of empty audio frames, 10 connections/s", connections=40)
def _empty_frames(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall((AUDIO + b"\x00\x00") * 85_000)
    return False


@_kind("media", "255 kB of audio frames of 1 byte, 10 connections/s", connections=40)
def _tiny_frames(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall((AUDIO + b"\x00\x01\x00") * 64_000)
    return False


@_kind("media", "255 kB of empty frames behind a guessed UUID, 10 connections/s", connections=40)
def _frames_behind_uuid(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(UUID + b"\x00\x10" + attacker.rng.randbytes(16) + (AUDIO + b"\x00\x00") * 85_000)
    return False


# -- HTTP --------------------------------------------------------------------------------------------------------------


def _odd_requests() -> list[bytes]:
    """Requests that no browser sends, and some that one does."""
    post = b"POST /v1/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = b'{"all": true}'
    length = b"Content-Length: %d\r\n" % len(body)
    heads = [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Content-Encoding: gzip\r\n" + length,
        b"Content-Encoding: br\r\n" + length,
        b"Expect: 100-continue\r\n" + length,
        b"Expect: nonsense\r\n" + length,
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + length,
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" + length,
        b"X-Folded: a\r\n b\r\n" + length,
        b"X-Nul: a\x00b\r\n" + length,
        b"X-Bytes: \xff\xfe\xfd\r\n" + length,
        b"X Space: 1\r\n" + length,
        b": no name\r\n" + length,
        b"No colon\r\n" + length,
        b"Authorization: Bearer\r\n" + length,
        b"Authorization: Bearer " + b"x" * 5_000 + b"\r\n" + length,
        b"Authorization: Bearer \xff\xff\r\n" + length,
        b"Authorization: Basic YWRtaW46YWRtaW4=\r\n" + length,
        b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n" + length,
        b"X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n" + length,
        b"X-Long: " + b"y" * 9_000 + b"\r\n" + length,
        b"X-Many: 1\r\n" * 300 + length,
        b"Connection: close\r\nConnection: keep-alive\r\n" + length,
        b"Host: evil.example\r\n" + length,
    ]
    requests = [post + head + b"\r\n" + body for head in heads]
    targets = [
        b"http://localhost/v1/calls",
        b"http://evil.example/v1/calls",
        b"//v1/calls",
        b"/v1/../v1/calls",
        b"/v1/%2e%2e/v1/calls",
        b"/v1/calls/%00",
        b"/v1/calls/%ff%fe",
        b"/v1/calls/" + b"a" * 9_000,
        b"/v1/calls?" + b"a=b&" * 2_000,
        b"/v1/calls#x",
        b"*",
        b"",
        b"/v1/calls\x00",
        b"/\xc3\x28",
    ]
    requests += [b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for target in targets]
    bodies = [
        b"[" * 10_000,
        b"[" * 900 + b"]" * 900,
        b"NaN",
        b'{"all": NaN}',
        b"\xff\xfe",
        b'{"a":1,"a":2}',
        b'"text"',
        b"null",
    ]
    requests += [post + b"Content-Length: %d\r\n\r\n" % len(text) + text for text in bodies]
    requests += [
        b"GET /v1/calls\r\n\r\n",
        b"GET /v1/calls HTTP/0.9\r\n\r\n",
        b"GET /v1/calls HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET /v1/calls HTTP/1.1\nHost: localhost\n\n",
        b"GET  /v1/calls  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"get /v1/calls HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\r\n" * 1_000,
        post + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 9_000 + b"\r\nhello\r\n0\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n" * 3 + b"\r\n",
    ]
    return requests


ODD_REQUESTS = _odd_requests()


@_kind("control", f"{len(ODD_REQUESTS)} odd requests, again and again", connections=700)
def _odd_control(attacker: Attacker, connection: socket.socket) -> bool:
    attacker.ask(connection, ODD_REQUESTS[attacker.seen.requests % len(ODD_REQUESTS)])
    return False


@_kind("control", "wrong tokens", connections=1000)
def _wrong_tokens(attacker: Attacker, connection: socket.socket) -> bool:
    attacker.ask(connection, _REQUEST + b"Authorization: Bearer %d\r\n\r\n" % attacker.rng.getrandbits(128))
    return False


@_kind("control", "pipelined requests whose answers are never read", connections=300)
def _unread(attacker: Attacker, connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    connection.sendall((_REQUEST + b"\r\n") * 1_000)
    return True


@_kind("http", "connections that say nothing and stay")
def _idle(attacker: Attacker, connection: socket.socket) -> bool:
    return True


@_kind("http", "a request's head a line at a time, without end")
def _endless_head(attacker: Attacker, connection: socket.socket) -> bool:
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n")
    return True


@_kind("http", "/metrics, as fast as it goes, 8 clients", connections=400, programs=8)
def _metrics(attacker: Attacker, connection: socket.socket) -> bool:
    return _ask_for_metrics(connection, 20)


@_kind("http", "5,000 requests at once, without end", connections=200)
def _pipelined(attacker: Attacker, connection: socket.socket) -> bool:
    return _ask_for_metrics(connection, 5_000)


def _ask_for_metrics(connection: socket.socket, times: int) -> bool:
    """Ask so many times at once, and read until nothing comes any more."""
    connection.settimeout(0.05)
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * times)
    while connection.recv(1 << 20):
        pass
    return False


def main(argv: list[str] | None = None) -> int:
    """Attack; exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m lab.attackers", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--alone", action="store_true", help="one program, also for a kind that takes several")
    options = parser.parse_args(argv)
    step_back()
    kind = KINDS[options.kind]
    if (programs := 1 if options.alone else kind.programs) > 1:
        print(json.dumps(_together(programs, sys.argv[1:] if argv is None else argv)))  # noqa: T201
        return 0
    attacker = Attacker(options.port, time.monotonic() + options.seconds, options.connections or kind.connections)
    attacker.run(kind.attack)
    print(json.dumps(asdict(attacker.seen)))  # noqa: T201
    return 0


def _together(programs: int, argv: list[str]) -> dict[str, int]:
    """Run this program so many times at once; the sum of their reports.

    Not the caller's work: it measures, and each start of a program would keep it from that for some milliseconds.
    """
    command = lab_command("attackers", *argv, "--alone")
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(programs)]
    reports = [json.loads(each.communicate()[0]) for each in running]
    return {key: sum(report[key] for report in reports) for key in reports[0]}


if __name__ == "__main__":
    sys.exit(main())
