"""The service's Unix socket in ``state_directory``: its pages for programs of its own user, and for root.

Nobody else can connect to it or take its place, as others can with a TCP port. So an answer proves that the service
lives, and a crowd of strangers cannot keep it from answering. ``ariagent rescue`` relies on both.
"""

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp

from ariagent.records import folder

FILE = "service.sock"
LONGEST_PATH_BYTES = 107
"""The longest address of a Unix socket, in bytes (``sun_path`` has 108, one of which ends it)."""
ANSWER_S = 2.0


class Absent(Enum):
    """Why there is no answer."""

    DEAD = "dead"
    """A service was there, and does not answer now."""
    UNSEEN = "unseen"
    """No service has made the socket here, or this user may not connect to it: nothing is known."""


def listener(directory: Path) -> socket.socket:
    """The socket, bound. It takes the place of an earlier process's. Raises OSError."""
    folder.make(directory)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before it has a name, so that nobody else can connect even for a moment.
        os.fchmod(made.fileno(), 0o600)
        with _address(directory) as address:
            with suppress(FileNotFoundError):
                os.unlink(address)
            made.bind(address)
    except OSError:
        made.close()
        raise
    return made


async def ask(directory: Path, page: str) -> bytes | Absent:
    """The service's answer for ``page`` (``healthz``, ``metrics``), whatever its status."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        with _address(directory) as address:
            if _is_strangers(directory, address):
                return Absent.UNSEEN
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(address), timeout=timeout) as session,
                session.get(f"http://localhost/{page}") as answer,
            ):
                return await answer.read()
    except aiohttp.ClientConnectorError as error:
        return _absent(error.os_error)
    except OSError as error:
        return _absent(error)
    except (aiohttp.ClientError, TimeoutError):
        return Absent.DEAD


async def health(directory: Path) -> dict[str, Any] | Absent:
    """The service's ``/healthz``, with every detail."""
    answer = await ask(directory, "healthz")
    if isinstance(answer, Absent):
        return answer
    try:
        found = json.loads(answer)
    except ValueError:
        return Absent.DEAD
    return found if isinstance(found, dict) else Absent.DEAD


def _is_strangers(directory: Path, address: str) -> bool:
    """Whether every user may put a socket there, and this one is another user's. Raises OSError."""
    folder_is = os.stat(directory)
    if not folder_is.st_mode & stat.S_IWOTH:
        return False
    # If a link is there instead, the link's own user counts.
    return os.lstat(address).st_uid not in (0, folder_is.st_uid, os.geteuid())


def _absent(error: OSError) -> Absent:
    unseen = isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError)
    return Absent.UNSEEN if unseen else Absent.DEAD


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's address, which may not be as long as a path may be. Raises OSError."""
    path = str(directory / FILE)
    if len(os.fsencode(path)) <= LONGEST_PATH_BYTES:
        yield path
        return
    inside = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{inside}/{FILE}"
    finally:
        os.close(inside)
