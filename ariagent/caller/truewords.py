"""The agent's real words in a synthetic caller's call, during the call.

They come from the service's records if this user may read them (as ``ariagent calls`` does), else from its API if this
command may use it (``ARIAGENT_API_URL``, ``ARIAGENT_API_TOKEN``). Without both there are none.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import aiohttp

from ariagent.config import Settings
from ariagent.control.client import Client
from ariagent.control.localfile import Access
from ariagent.errors import AriagentError
from ariagent.records import schema
from ariagent.records.events import AgentInterrupted, AgentTurn, AgentTurnBegan
from ariagent.records.model import EventRow
from ariagent.records.store import RecordsError, Store
from ariagent.text import heard_words

Origin = Literal["records", "api"]

PATIENCE_S = 2.0
"""Words arrive a moment after they were spoken: records are written twice a second."""
LOOK_S = 0.1
EARLY_S = 0.6
"""The service may count a sentence as begun this long before it is heard."""
LATE_S = 0.2
MOST_LINE_BYTES = 1_000_000


class TrueWords(Protocol):
    """A source of the agent's words. Times: seconds since the epoch."""

    origin: Origin

    async def said(self, began: float, ended: float, *, interrupted: bool = False) -> str | None:
        """The agent's words between these moments; of an interrupted sentence only those that were heard. None: not
        known. Each sentence is returned once.
        """
        ...


def records_of(settings: Settings) -> Path | None:
    """Where the service keeps its records; None when there are none here, or none that this user may read."""
    path = settings.state_directory / schema.FILE
    return path if settings.records.enabled and os.access(path, os.R_OK) else None


@asynccontextmanager
async def true_words(settings: Settings, call_id: str) -> AsyncIterator[TrueWords | None]:
    """The best source for the call with this id on this machine; None if there is none."""
    if settings.records.transcripts and records_of(settings) is not None:
        yield RecordedWords(Store(settings.state_directory), call_id)
        return
    access = _access(settings)
    if access is None:
        yield None
        return
    words = ToldWords(call_id)
    reading = asyncio.create_task(words.read(access), name="the service's events")
    try:
        yield words
    finally:
        reading.cancel()
        await asyncio.wait([reading])


def _access(settings: Settings) -> Access | None:
    try:
        return Client.of_settings(settings, os.environ).access
    except AriagentError:
        return None


# -- records -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence (item) of the agent that the caller began to hear. ``words``: None: not known yet."""

    item: str
    began: float
    words: str | None
    part: float
    """The part that was heard, from 0 to 1."""


def sentences(events: Iterable[EventRow]) -> list[Sentence]:
    """The agent's sentences in a call's events, in the order in which they were heard. No I/O."""
    began: dict[str, float] = {}
    words: dict[str, str] = {}
    parts: dict[str, float] = {}
    for row in events:
        match row.event:
            case AgentTurnBegan(item=item):
                began.setdefault(item, row.at)
            case AgentTurn(item=item, said=said) if said:
                words[item] = said
            case AgentInterrupted(item=item, part=float(part)):
                parts[item] = part
    return [Sentence(item, at, words.get(item), parts.get(item, 1.0)) for item, at in began.items()]


class RecordedWords:
    """Words from the service's records."""

    origin: Origin = "records"

    def __init__(self, store: Store, call_id: str) -> None:
        self._store = store
        self._call_id = call_id
        self._told: set[str] = set()
        self._recorded = False
        """Whether the call is in the records. If it is not, ``said`` waits for it once."""
        self._waited = False

    async def said(self, began: float, ended: float, *, interrupted: bool = False) -> str | None:
        deadline = time.monotonic() + (PATIENCE_S if self._recorded or not self._waited else 0.0)
        while True:
            found = [
                sentence
                for sentence in await asyncio.to_thread(self._sentences)
                if sentence.item not in self._told and began - EARLY_S <= sentence.began <= ended + LATE_S
            ]
            known = bool(found) and all(sentence.words is not None for sentence in found)
            cut = not interrupted or any(sentence.part < 1 for sentence in found)
            if (known and cut) or time.monotonic() >= deadline:
                break
            await asyncio.sleep(LOOK_S)
        self._waited = True
        told = [sentence for sentence in found if sentence.words is not None]
        self._told |= {sentence.item for sentence in told}
        return " ".join(heard_words(each.words or "", each.part) for each in told) or None

    def _sentences(self) -> list[Sentence]:
        try:
            visits = self._store.visits(self._call_id)
            events = [event for visit in visits for event in self._store.events(visit)]
        except RecordsError:
            return []
        self._recorded = self._recorded or bool(visits)
        return sentences(events)


# -- the API -----------------------------------------------------------------------------------------------------------


@dataclass
class ToldWords:
    """Words from the service's API: its events have each call's last words."""

    call_id: str
    origin: Origin = "api"
    _heard: list[tuple[float, str]] = field(default_factory=list)
    """(time, words) that were not returned yet."""
    _last: str = ""
    _over: bool = False

    async def said(self, began: float, ended: float, *, interrupted: bool = False) -> str | None:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := [words for at, words in self._heard if at <= ended + LATE_S]):
            if self._over or time.monotonic() >= deadline:
                return None
            await asyncio.sleep(LOOK_S)
        self._heard = [(at, words) for at, words in self._heard if at > ended + LATE_S]
        return " ".join(found)

    async def read(self, access: Access, now: Callable[[], float] = time.time) -> None:
        """Read the service's events until they end. Does not raise: without events no words are known."""
        try:
            headers = {"Authorization": f"Bearer {access.token}"}
            async with (
                aiohttp.ClientSession(read_bufsize=MOST_LINE_BYTES) as session,
                session.get(f"{access.url}/v1/events", headers=headers) as answer,
            ):
                if answer.status != 200:
                    return
                async for line in answer.content:
                    name, _, data = line.decode(errors="replace").strip().partition(": ")
                    if name == "data":
                        self.take(data, now())
        except (aiohttp.ClientError, ValueError, OSError):
            return
        finally:
            self._over = True

    def take(self, data: str, now: float) -> None:
        """Process one event's data: a call, or the snapshot at the start of the stream."""
        try:
            told = json.loads(data)
            calls = told.get("calls", [told])
            mine = next((call for call in calls if call.get("id") == self.call_id), None)
            words = (mine or {}).get("last_words") or {}
            side, text = words.get("side"), str(words.get("text", ""))
        except (ValueError, AttributeError, TypeError):
            return
        if side == "agent" and text and text != self._last:
            self._heard.append((now, text))
        if side in ("agent", "caller"):
            self._last = text if side == "agent" else ""
