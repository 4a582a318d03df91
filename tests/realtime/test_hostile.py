"""Every kind of hostile server against a real client on the service's event loop: the harm stays in its own session."""

import asyncio
import logging
from collections import deque

import pytest
from pydantic import SecretStr

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.loop import run_async
from ariagent.realtime.budget import MOST_AT_ONCE
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import AudioArrived, Event, Fault, SessionFailed, SessionReady, ToolCall
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.responses import _Response, _Turn
from ariagent.realtime.session import RealtimeSession
from lab.hostilemodel import KINDS, HostileModel

PATIENCE_S = 60.0
NOT_HEARD = {"tiny_items_slowly", "fast_audio"}
"""Kinds whose harm is that nobody hears so much: for the call to notice, see tests/call/test_talk.py."""
READ_BYTES = 256_000
"""The most that uvloop hands over at once. It reads up to 32 times in a turn, unless it is told to pause."""
MOST_ELEMENTS = 256
MOST_CHARACTERS = 2_000_000


class Watched:
    """A client that is attacked, what it told, and how much of it was done in one turn of the event loop."""

    def __init__(self, url: str) -> None:
        realtime = RealtimeSettings(url=url, api_key=SecretStr("none"), connect_timeout_s=PATIENCE_S)
        self.failed: SessionFailed | None = None
        self.events = 0
        self.audio = 0
        self.most_messages = self.most_frames = self.most_bytes = 0
        self.messages = self.frames = self.bytes = 0
        self.client = RealtimeClient(realtime, SessionProfile.of(AgentSettings(), realtime), self._on_event)
        self._receive, self._spend = self.client.session.receive, self.client.spend
        self.client.session.receive = self._received  # type: ignore[method-assign]
        self.client.spend = self._spent  # type: ignore[method-assign]
        self._loop = asyncio.get_running_loop()
        self._counting = False

    def _count(self) -> None:
        """Something is done in this turn. Nothing turns a loop that has nothing to do: that would cost a processor."""
        if not self._counting:
            self._counting = True
            self._loop.call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._counting = False
        self.messages = self.frames = self.bytes = 0

    def _received(self, data: str | bytes, now: float) -> list[Event]:
        self._count()
        self.messages += 1
        self.most_messages = max(self.most_messages, self.messages)
        return self._receive(data, now)

    def _spent(self, frames: int, size: int) -> bool:
        self._count()
        self.frames += frames
        self.most_frames = max(self.most_frames, self.frames)
        self.bytes += size
        self.most_bytes = max(self.most_bytes, self.bytes)
        return self._spend(frames, size)

    def _on_event(self, event: Event) -> None:
        self.events += 1
        match event:
            case SessionFailed():
                assert self.failed is None
                self.failed = event
            case SessionReady():
                self.client.session.request_response(self._loop.time())
            case AudioArrived():
                self.audio += len(event.audio)
        assert len(repr(event)) < 200_000 or isinstance(event, AudioArrived)


async def _attack(kind: str) -> Watched:
    async with HostileModel(kind, hangs_up=True) as model:
        watched = Watched(model.url)
        await asyncio.wait_for(watched.client.run(), PATIENCE_S)
        return watched


def elements(session: RealtimeSession) -> tuple[int, int]:
    """The most elements of any one container that a session holds, and all characters in it."""
    most = characters = 0
    seen: set[int] = set()
    todo: deque[object] = deque(
        value for name, value in vars(session).items() if name not in ("profile", "receive", "_out")
    )
    while todo:
        value = todo.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, str | bytes | bytearray):
            characters += len(value)
        elif isinstance(value, dict | list | tuple | set | deque):
            most = max(most, len(value))
            todo.extend(value.keys() if isinstance(value, dict) else value)
            todo.extend(value.values() if isinstance(value, dict) else ())
        elif type(value).__module__.startswith("ariagent."):
            slots = getattr(type(value), "__slots__", ())
            todo.extend(getattr(value, name) for name in slots if hasattr(value, name))
            todo.extend(vars(value).values() if hasattr(value, "__dict__") else ())
    return most, characters


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_is_contained_in_its_session(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        watched = run_async(_attack(kind))
    # The first bytes of the session come with the HTTP answer: two steps in one turn.
    assert watched.most_messages <= 2 * MOST_AT_ONCE
    assert watched.most_frames <= 2 * MOST_AT_ONCE
    # One read of uvloop's; the rest of an earlier one may have been due in the same turn.
    assert watched.most_bytes <= 2 * READ_BYTES
    most, characters = elements(watched.client.session)
    assert most <= MOST_ELEMENTS
    assert characters <= MOST_CHARACTERS
    assert watched.failed is not None
    assert len(watched.failed.cause) <= 500
    if kind == "failed_responses":  # a model that fails is told apart from one that floods
        assert watched.failed.fault is Fault.SERVER
    elif kind not in NOT_HEARD:
        expected = Fault.FLOOD if KINDS[kind].ends else Fault.NETWORK
        assert watched.failed.fault is expected, watched.failed.cause
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_session_can_be_looked_into() -> None:
    """The measure above sees what a session holds."""
    realtime = RealtimeSettings()
    session = RealtimeSession(SessionProfile.of(AgentSettings(), realtime))
    session.responses._turns = {f"u{n}": _Turn() for n in range(500)}
    session.responses._known = {"r": _Response(calls=[ToolCall("c", "look", "x" * 10_000)])}
    most, characters = elements(session)
    assert most == 500
    assert characters >= 10_000
