"""Messages of a Realtime server, and sessions that received them."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.events import Event
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession


class Peer:
    """A session, and the server's side of it: ``says`` gives it events, ``hears`` tells what it sends."""

    def __init__(self, profile: SessionProfile) -> None:
        self.session = RealtimeSession(profile)
        self.now = 0.0

    def says(self, kind: str, **fields: Any) -> list[Event]:
        message = {"type": kind, "event_id": "event_1", **fields}
        return self.session.receive(json.dumps(message), self.now)

    def hears(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.session.take_outgoing()]

    def hears_types(self) -> list[str]:
        return [message["type"] for message in self.hears()]

    def acknowledged(self, **changes: Any) -> dict[str, Any]:
        """The session object of ``session.updated``."""
        return {"id": "sess_1", "expires_at": 1795360664, **self.session.profile.session(), **changes}

    def ready(self) -> "Peer":
        """Go through the beginning of every session."""
        self.says("session.created", session={"id": "sess_1"})
        self.says("session.updated", session=self.acknowledged())
        self.session.take_outgoing()
        return self

    def starts_response(self, response_id: str = "resp_1", **fields: Any) -> list[Event]:
        response = {"id": response_id, "status": "in_progress", "conversation_id": "conv_1", **fields}
        return self.says("response.created", response=response)

    def speaks(self, audio: bytes, item_id: str = "item_a", response_id: str = "resp_1") -> list[Event]:
        return self.says(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=base64.b64encode(audio).decode(),
            obfuscation="x1",
        )

    def ends_response(self, response_id: str = "resp_1", status: str = "completed", **fields: Any) -> list[Event]:
        """A completed one was heard: one without a sound would be a fault of the server's."""
        response = {"id": response_id, "status": status, "status_details": None, "usage": None, **fields}
        if status == "completed":
            self.speaks(bytes(2), f"item_of_{response_id}", response_id)
        return self.says("response.done", response=response)

    def objects(
        self, code: str, message: str = "no", event_id: str | None = None, param: str | None = None
    ) -> list[Event]:
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id,
        }
        return self.says("error", error=error)


@pytest.fixture
def make_peer() -> Callable[..., Peer]:
    """``make_peer(agent, encoding=...)``: a session that nothing was said to yet."""

    def make(agent: AgentSettings | None = None, **realtime: Any) -> Peer:
        return Peer(SessionProfile.of(agent or AgentSettings(), RealtimeSettings(**realtime)))

    return make


@pytest.fixture
def peer(make_peer: Callable[..., Peer]) -> Peer:
    """A session that is ready."""
    return make_peer().ready()


@pytest.hookimpl(optionalhook=True)  # an older pytest-asyncio does not know it and runs everything on asyncio's
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The service runs on uvloop; its tests run on both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
