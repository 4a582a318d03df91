"""The service's own Unix socket: who may ask there, and what its absence says."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from ariagent import ownsocket
from ariagent.ownsocket import FILE, LONGEST_PATH_BYTES, Absent, health, listener
from ariagent.webserver import WebServer

pytestmark = pytest.mark.both_loops

Serve = Callable[[Path], Awaitable[WebServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``await serve(directory)``: a service that says it is well, with the status of one that is not."""
    servers: list[WebServer] = []

    async def make(directory: Path, number: int = 0) -> WebServer:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response({"status": "ok", "number": number}, status=503)

        app = web.Application()
        app.router.add_get("/healthz", answer)
        servers.append(WebServer(app))
        await servers[-1].start_on(listener(directory))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()


@pytest.mark.parametrize("length", [0, LONGEST_PATH_BYTES, LONGEST_PATH_BYTES + 1, 600])
async def test_it_answers_in_a_directory_of_any_length(serve: Serve, tmp_path: Path, length: int) -> None:
    directory = tmp_path / "state"
    while len(os.fsencode(directory / FILE)) < length:
        missing = length - len(os.fsencode(directory / FILE))
        directory = directory / ("x" * max(1, min(missing - 1, 200)))
    await serve(directory)
    assert await health(directory) == {"status": "ok", "number": 0}
    assert stat.S_IMODE((directory / FILE).stat().st_mode) == 0o600
    assert await ownsocket.ask(directory, "nothing") == b"404: Not Found"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(("mode", "seen"), [(0o777, False), (0o1777, False), (0o711, True)])
async def test_another_users_socket_where_everybody_may_put_one(
    serve: Serve, tmp_path: Path, mode: int, seen: bool
) -> None:
    await serve(tmp_path)
    assert await health(tmp_path) == {"status": "ok", "number": 0}
    os.chmod(tmp_path, mode)
    os.chown(tmp_path / FILE, 65534, 65534)
    assert (await health(tmp_path) is Absent.UNSEEN) is not seen
    os.rename(tmp_path / FILE, tmp_path / "other")
    os.chown(tmp_path / "other", 0, 0)
    os.symlink(tmp_path / "other", tmp_path / FILE)
    os.chown(tmp_path / FILE, 65534, 65534, follow_symlinks=False)
    assert (await health(tmp_path) is Absent.UNSEEN) is not seen


async def test_no_service_was_ever_there(tmp_path: Path) -> None:
    assert await health(tmp_path) is Absent.UNSEEN
    assert await health(tmp_path / "nothing") is Absent.UNSEEN
    assert await health(tmp_path / "nothing" / ("x" * 200)) is Absent.UNSEEN
    (tmp_path / "file").touch()
    assert await health(tmp_path / "file") is Absent.UNSEEN


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to every socket")
async def test_somebody_elses(serve: Serve, tmp_path: Path) -> None:
    await serve(tmp_path)
    (tmp_path / FILE).chmod(0)
    assert await health(tmp_path) is Absent.UNSEEN


async def test_a_service_that_died(serve: Serve, tmp_path: Path) -> None:
    """The file stays: so a dead service is told from one that cannot be seen."""
    made = listener(tmp_path)
    made.listen()
    made.close()
    assert await health(tmp_path) is Absent.DEAD
    await serve(tmp_path)
    assert isinstance(await health(tmp_path), dict)


async def test_a_service_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownsocket, "ANSWER_S", 0.2)
    with listener(tmp_path) as made:
        made.listen()
        assert await health(tmp_path) is Absent.DEAD


@pytest.mark.parametrize("said", [b"", b"hello", b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\n[]"])
async def test_an_answer_that_is_none(tmp_path: Path, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_unix_server(talk, sock=listener(tmp_path))
    assert await health(tmp_path) is Absent.DEAD
    server.close()


async def test_a_new_process_takes_the_place_of_an_old_one(
    serve: Callable[..., Awaitable[WebServer]], tmp_path: Path
) -> None:
    old = await serve(tmp_path, 1)
    await serve(tmp_path, 2)
    assert await health(tmp_path) == {"status": "ok", "number": 2}
    await old.close()
    assert await health(tmp_path) == {"status": "ok", "number": 2}


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        listener(tmp_path / "file")


def test_a_socket_is_nobody_elses_even_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mode is set before it has a name, and does not depend on the umask."""
    before = os.umask(0)
    try:
        bind = socket.socket.bind
        seen = []

        def watched(self: socket.socket, address: str) -> None:
            bind(self, address)
            seen.append(stat.S_IMODE(os.stat(address).st_mode))

        monkeypatch.setattr(socket.socket, "bind", watched)
        listener(tmp_path / "state").close()
        assert seen == [0o600]
    finally:
        os.umask(before)
