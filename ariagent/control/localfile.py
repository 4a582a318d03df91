"""How commands on this machine reach the service: a file that only its own user can read."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ariagent.hosts import joined, local
from ariagent.records import folder

FILE = "control.json"


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, and a token for it."""

    url: str
    """The URL without ``/v1``."""
    token: str


def url_of(host: str, port: int) -> str:
    """The address as one on this machine reaches it."""
    return f"http://{joined(local(host), port)}"


def write(directory: Path, access: Access) -> None:
    """Raises OSError."""
    folder.make(directory)
    scratch = directory / f"{FILE}.{os.getpid()}"
    with suppress(FileNotFoundError):
        scratch.unlink()
    # Nobody else may read it even for a moment.
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": access.url, "token": access.token}, file)
    scratch.replace(directory / FILE)


def read(directory: Path) -> Access | None:
    """None: no service has written one, or what is there is none. Raises OSError, PermissionError among them."""
    try:
        found = json.loads((directory / FILE).read_text())
        return Access(str(found["url"]), str(found["token"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None


def remove(directory: Path, token: str) -> None:
    """Remove the file, unless it is a later service's."""
    with suppress(OSError):
        if (found := read(directory)) is not None and found.token == token:
            (directory / FILE).unlink()
