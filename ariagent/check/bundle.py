"""``ariagent check --bundle FILE``: diagnostic data for a maintainer in one file, secrets removed.

    gathered (settings, Asterisk, service, records, log) --Discretion--> texts --> FILE (.tar.gz, 0600)

Nothing is sent anywhere. For a part that is not available the bundle holds the reason.
"""

import asyncio
import gzip
import hashlib
import io
import json
import os
import platform
import re
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp

from ariagent import __version__, ownsocket, privatefile
from ariagent.ami.client import AmiClient
from ariagent.check import ari
from ariagent.check.discretion import Discretion, secrets_in_urls
from ariagent.check.report import Report
from ariagent.config import AmiSettings, AsteriskSettings, HttpSettings, Settings
from ariagent.configfile.load import ENVIRONMENT_PREFIX
from ariagent.control import localfile
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.hosts import joined, local
from ariagent.records.model import CallRow
from ariagent.records.store import RecordsError, Store
from ariagent.redaction import secrets_of

CALLS = 10
LOG_BYTES = 1024 * 1024
"""The bundle gets this much of the end of the log."""
ANSWER_BYTES = 4 * 1024 * 1024
PART_LIMIT_S = 15.0
SECRET_NAMES = ("key", "token", "secret", "password", "passwd", "credential")
"""An environment variable with one of these words in its name holds a secret."""
ADVICE = (
    "Secrets, spoken words and telephone numbers were removed. Look at the file before you send it to anybody: "
    "it may still hold something private."
)
ADVICE_WITH_WORDS = (
    "Secrets were removed. The file contains the words of callers and agents, and telephone numbers: look at it before "
    "you send it to anybody, and send it only if that is allowed."
)
_SECRET_LINE = re.compile(rb"^(\s*(?:password|secret)\s*=).*$", re.IGNORECASE | re.MULTILINE)
INSTALLED = Path("/etc/asterisk/ariagent")
"""The folder with a site's copies of the shipped files."""
JOURNAL = "journalctl -u ariagent --since '1 hour ago' --output cat > ariagent.log"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a bundle."""

    file: Path
    words: bool = False
    """Whether it holds spoken words and telephone numbers."""
    calls: int = CALLS
    """How many of the newest calls it has records of."""
    log: Path | None = None
    """The service's log, if it is a file."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the bundle."""

    name: str
    what: str
    """A description in one line."""
    text: str


class MissingError(Exception):
    """A part is not available. Text: the reason."""


async def make(wanted: Wanted, report: Report, source: str, settings: Settings | None, problem: str = "") -> list[Part]:
    """Gather everything and write ``wanted.file``; returns what is in it. Raises ConfigurationError.

    ``settings``: None if they do not load; ``problem`` is the reason.
    """
    discretion = Discretion(_secrets(settings), words=wanted.words)
    parts = [part async for part in _gathered(wanted, report, source, settings, problem, discretion)]
    parts.insert(0, Part("README.txt", "what this is", _readme(parts, words=wanted.words)))
    await asyncio.to_thread(_write, wanted.file, parts)
    return parts


def _secrets(settings: Settings | None) -> Iterator[str]:
    if settings is not None:
        yield from secrets_of(settings)
        yield from secrets_in_urls(settings)
        with suppress(OSError):
            if (access := localfile.read(settings.state_directory)) is not None:
                yield access.token
    for name, value in os.environ.items():
        if any(word in name.lower() for word in SECRET_NAMES):
            yield value


async def _gathered(
    wanted: Wanted, report: Report, source: str, settings: Settings | None, problem: str, discretion: Discretion
) -> Any:
    """The parts, one after another. A part that is not available holds the reason."""
    yield Part("versions.json", "ariagent, Python, packages, system", _json(discretion.value(_versions())))
    head = {"ariagent": __version__, "settings": source, **({"problem": problem} if problem else {})}
    checked = discretion.value(json.loads(report.json(**head)))
    yield Part("check.json", "what ariagent check found", _json(checked))
    yield Part("shipped.json", f"digests of the shipped files in {INSTALLED}", _json(_installed(INSTALLED)))
    if settings is None:
        return
    yield Part("settings.json", "the settings, secrets removed", _json(discretion.settings(settings)))
    store = Store(settings.state_directory)
    others: tuple[tuple[str, str, Callable[[], Awaitable[str]]], ...] = (
        ("asterisk.json", "Asterisk's version, modules, queues and counts", lambda: _asterisk(settings, discretion)),
        ("healthz.json", "the service's health", lambda: _service(settings, "healthz", discretion)),
        ("metrics.txt", "the service's metrics", lambda: _service(settings, "metrics", discretion)),
        ("ariagent.log", "the end of the service's log", lambda: _log(wanted.log, store, discretion)),
    )
    for name, what, gather in others:
        yield await _part(name, what, gather)
    for part in await asyncio.to_thread(_calls, store, wanted.calls, discretion):
        yield part


async def _part(name: str, what: str, gather: Callable[[], Awaitable[str]]) -> Part:
    try:
        async with asyncio.timeout(PART_LIMIT_S):
            return Part(name, what, await gather())
    except TimeoutError:
        why = f"no answer within {PART_LIMIT_S:g} s"
    except MissingError as error:
        why = str(error)
    except AriagentError as error:
        why = error.line
    return Part(f"{name}.missing.txt", f"{what}: missing", f"{why}\n")


def _versions() -> dict[str, Any]:
    os_release = {}
    with suppress(OSError):
        os_release = platform.freedesktop_os_release()
    return {
        "ariagent": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "distribution": os_release.get("PRETTY_NAME", ""),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)),
        "packages": {each.name: each.version for each in sorted(metadata.distributions(), key=lambda each: each.name)},
    }


def _installed(folder: Path) -> dict[str, Any]:
    """Digests of the installed files. Passwords are left out, so that nobody can find them by trying."""
    found: dict[str, Any] = {}
    try:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            try:
                content = path.read_bytes()
            except OSError as error:
                found[path.name] = error.strerror
                continue
            if any(word in path.name.lower() for word in SECRET_NAMES):
                found[path.name] = {"sha256": "left out: the file's name says that it holds a secret"}
                continue
            digest = hashlib.sha256(_SECRET_LINE.sub(rb"\1", content)).hexdigest()
            found[path.name] = {"sha256": digest}
    except OSError as error:
        return {"missing": f"{folder}: {error.strerror}"}
    return found


async def _asterisk(settings: Settings, discretion: Discretion) -> str:
    found: dict[str, Any] = {}
    try:
        found["ari"] = await _ari(settings.asterisk)
    except AriagentError as error:
        found["ari"] = error.line
    if settings.ami is not None:
        try:
            found["ami"] = await _ami(settings.ami)
        except AriagentError as error:
            found["ami"] = error.line
    return _json(discretion.value(found))


async def _ari(settings: AsteriskSettings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with ari.probe(settings) as probe:
        for name, path in (("info", "asterisk/info"), ("application", f"applications/{settings.app}")):
            answer = await probe.ask("GET", path)
            found[name] = answer.body if answer.status == 200 else f"HTTP {answer.status}"
        modules = (await probe.ask("GET", "asterisk/modules")).body
        if isinstance(modules, list):
            found["modules"] = {str(each.get("name")): each.get("status") for each in modules if isinstance(each, dict)}
        # Only counts: the names of channels show who is talking.
        for name in ("channels", "bridges"):
            body = (await probe.ask("GET", name)).body
            found[name] = len(body) if isinstance(body, list) else None
    return found


async def _ami(settings: AmiSettings) -> dict[str, Any]:
    async with AmiClient(settings).session() as client:
        queues = await client.action_list("QueueSummary")
        kept = ("queue", "loggedin", "available", "callers", "holdtime", "longestholdtime")
        return {
            "version": client.version,
            "queues": [{key: each[key] for key in kept if key in each} for each in queues],
        }


async def _service(settings: Settings, path: str, discretion: Discretion) -> str:
    body = await ownsocket.ask(settings.state_directory, path)
    if isinstance(body, ownsocket.Absent):
        body = await _from_port(settings.http, path)
    text = body[:ANSWER_BYTES].decode("utf-8", "replace")
    # A metric's value is not a telephone number.
    return discretion.safe(text) if path == "metrics" else discretion.text(text)


async def _from_port(http: HttpSettings, path: str) -> bytes:
    if not http.port:
        raise MissingError("http.port is 0, so the service's port is not known")
    url = f"http://{joined(local(http.host), http.port)}/{path}"
    try:
        async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
            body = await answer.content.read(ANSWER_BYTES)
            while chunk := await answer.content.read(ANSWER_BYTES - len(body)):
                body += chunk
    except (aiohttp.ClientError, OSError) as error:
        raise MissingError(f"{url}: {error}") from None
    return body


async def _log(named: Path | None, store: Store, discretion: Discretion) -> str:
    path = named or await asyncio.to_thread(_log_of_service, store)
    if path is None:
        raise MissingError(f"the log file is not known. Name it with --log FILE, or with systemd run: {JOURNAL}")
    try:
        lines = await asyncio.to_thread(_tail, path)
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}") from None
    return "".join(f"{discretion.line(line)}\n" for line in lines)


def _log_of_service(store: Store) -> Path | None:
    """The file that the running service logs to; None if its standard error is not a file."""
    with suppress(RecordsError, OSError):
        if (pid := store.writer()) is not None:
            path = Path(os.readlink(f"/proc/{pid}/fd/2"))
            return path if path.is_file() else None
    return None


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        lines = file.read(LOG_BYTES).decode("utf-8", "replace").splitlines()
    return lines[1:] if size > LOG_BYTES else lines


def _calls(store: Store, most: int, discretion: Discretion) -> list[Part]:
    """Records of the newest calls, running ones included."""
    if not most:
        return []
    try:
        calls = sorted((*store.live(), *store.past(most)), key=lambda call: -call.began)[:most]
        return [_call(store, call, discretion) for call in calls]
    except RecordsError as error:
        return [Part("calls.missing.txt", "records of calls: missing", f"{error.line}\n")]


def _call(store: Store, call: CallRow, discretion: Discretion) -> Part:
    events = [
        {"at_s": round(event.at - call.began, 3), "event": discretion.text(event.name), **_fields(event, discretion)}
        for event in store.events(call)
    ]
    found = {
        "call": call.id,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(call.began)),
        **{name: getattr(call, name) for name in ("state", "agent", "seat", "result", "reason", "dropped", "cost")},
        "caller": discretion.number(call.caller),
        "events": events,
    }
    return Part(f"calls/{call.id.replace('/', '-')}.json", f"the record of call {call.id}", _json(found))


def _fields(event: Any, discretion: Discretion) -> dict[str, Any]:
    return {"fields": discretion.fields(event.fields)} if event.fields else {}


def _json(found: object) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n"


def _readme(parts: Sequence[Part], *, words: bool) -> str:
    listed = "\n".join(f"  {part.name:<32} {part.what}" for part in parts)
    return f"""\
A support bundle of ariagent {__version__}.

{ADVICE_WITH_WORDS if words else ADVICE}

{listed}

If systemd runs the service, this command writes its log. Private data is not removed from it:
  {JOURNAL}
"""


def _write(path: Path, parts: Sequence[Part]) -> None:
    """Write the whole file or nothing. Only its owner can read it, from the first byte on."""
    folder = path.name.removesuffix(".tgz").removesuffix(".gz").removesuffix(".tar")
    try:
        privatefile.write(path, _archive(parts, folder or "ariagent-bundle"))
    except OSError as error:
        raise ConfigurationError(
            f"the bundle cannot be written to {path}: {error.strerror}", remedy="Name another FILE with --bundle"
        ) from None


def _archive(parts: Sequence[Part], folder: str) -> bytes:
    """A gzipped tar without the names of the machine's users."""
    held = io.BytesIO()
    now = int(time.time())
    with gzip.GzipFile(filename="", fileobj=held, mode="wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for part in parts:
            content = part.text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{folder}/{part.name}")
            entry.size, entry.mode, entry.mtime = len(content), 0o600, now
            tar.addfile(entry, io.BytesIO(content))
    return held.getvalue()
