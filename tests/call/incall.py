"""Whole calls in memory: an Asterisk, a model's server and telephones that are objects of this process.

    @virtual_time
    async def test(tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            call = await office.answered("c1")
            office.model.session.calls_tool("end_call")
            await office.over(call)

Only the network is not there: the calls, their registry, the router, the model's session and its protocol, the dialogue
and the audio clock's 20 ms are the service's own. Times are those of ``virtualtime``.
"""

import asyncio
import base64
import functools
import json
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock
from uuid import UUID

import numpy as np

from ariagent.ami.client import AmiClient
from ariagent.ami.events import AttendedTransferred
from ariagent.ami.protocol import Message
from ariagent.ari.client import AriClient, NotFoundError
from ariagent.ari.events import Channel, Place
from ariagent.ari.listener import Router
from ariagent.audio.format import SLIN24, AudioFormat
from ariagent.audiosocket.endpoint import Expected, Reason
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.breaker import Breaker
from ariagent.call.admission import Admission
from ariagent.call.announcement import Announcements
from ariagent.call.call import Call
from ariagent.call.calls import Calls
from ariagent.call.context import Context, TurnJudge
from ariagent.call.far_end import twin
from ariagent.config import AmiSettings, AsteriskSettings, RealtimeSettings, RecordsSettings, Settings
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AmiError, AmiRefusedError, AriError
from ariagent.metrics import Metrics
from ariagent.phrases.store import PhraseStore
from ariagent.realtime import events as rt
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.line import Connect
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from ariagent.realtime.session import State as SessionState
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.termination import Result, Termination
from ariagent.tools import plugins
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import FunctionCall, Toolbox
from ariagent.values.outcome import Kind, Outcome
from tests.call.virtualtime import LOOK_S, VirtualLoop

FRAME_S = 0.02
LIMIT_S = 300.0
"""How long a test waits for something, in its own time."""
REQUEST_S, EVENT_S, ENTERS_S = 0.001, 0.001, 0.002
"""How long Asterisk takes for a request, to tell what it has done, and for a channel of its own to come to us."""
PROMPT_S = 1.5
"""How long somebody is asked for a key."""
MEDIA_PREFIX, WARM_PREFIX = "ariagent-media-", "ariagent-warm-"
JOIN_CONTEXT = "ariagent-join"
LOUD = (8_000 * np.sin(2 * math.pi * 300 * np.arange(480) / 24_000)).astype("<i2").tobytes()
"""20 ms of a voice."""


def _later(after_s: float, work: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(after_s, work, *args)


def _fulfil(answer: "asyncio.Future[Any]", result: Any) -> None:
    if answer.done():
        return  # nobody waits any more
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


class _Peer:
    """Answers requests, refuses them, or says nothing: by their name, or by name and channel (``answer c1``).

    A request that has left is carried out when it arrives, whether anybody still waits for its answer or not.
    """

    def __init__(self, limit_s: float, silence: Callable[[str], Exception]) -> None:
        self.requests: list[str] = []
        self.refused: dict[str, Exception] = {}
        self.takes_s: dict[str, float] = {}
        """How long requests are on their way, where it is not ``REQUEST_S``; from the limit on nobody waits."""
        self.answers_s: dict[str, float] = {}
        """How long answers are on their way; most arrive at once."""
        self.limit_s = limit_s
        self._silence = silence

    async def request(self, name: str, about: str, work: Callable[[], Any] = lambda: None) -> Any:
        """Have ``work`` done; returns what it returns."""
        asked = f"{name} {about}"
        self.requests.append(asked)
        answer = asyncio.get_running_loop().create_future()
        _later(self._found(self.takes_s, asked, REQUEST_S), self._arrive, asked, work, answer)
        try:
            async with asyncio.timeout(self.limit_s):
                return await answer
        except TimeoutError:
            raise self._silence(name) from None

    @staticmethod
    def _found(given: Mapping[str, Any], asked: str, otherwise: Any) -> Any:
        return next((given[key] for key in (asked, asked.split()[0], "*") if key in given), otherwise)

    def _arrive(self, asked: str, work: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        try:
            if (refusal := self._found(self.refused, asked, None)) is not None:
                raise refusal
            answers = functools.partial(_fulfil, answer, work())
        except Exception as error:  # noqa: BLE001  # is the answer
            answers = functools.partial(_fulfil, answer, error)
        _later(self._found(self.answers_s, asked, 0.0), answers)

    def asked(self, *requests: str) -> bool:
        """Whether these requests came, in this order (others may lie between)."""
        came = iter(self.requests)
        return all(any(request == other for other in came) for request in requests)


class MemoryAri(AriClient):
    """Asterisk's REST interface, and of Asterisk what calls need."""

    def __init__(self, office: "Office") -> None:
        super().__init__(AsteriskSettings())
        self.peer = _Peer(self.settings.request_timeout_s, lambda name: AriError(f"Asterisk did not answer {name}"))
        self.names: dict[str, str] = {}
        """Names of the existing channels, by their ids."""
        self.variables: dict[tuple[str, str], str] = {}
        self.bridges: set[str] = set()
        self.media_comes = True
        """Asterisk reaches our audio server."""
        self.human_answers_s: float | None = None
        """How soon a human agent answers who is called; None: nobody does."""
        self.human_presses = ""
        """The key that a human agent presses who is asked for one."""
        self.prompts: list[str] = []
        """The sounds and digits by which somebody was asked for a key."""
        self.sound_lasts_s = 4.0
        """How long an announcement is; 0: Asterisk cannot play it."""
        self.results: dict[str, str] = {}
        """The dialplan's result of each channel that was given back."""
        self.went: dict[str, Place | None] = {}
        """The next place of channels that left our application; None: behind ``Stasis()``."""
        self.hanging_up: set[str] = set()
        """Channels that are being hung up: Asterisk takes what is asked of them, and nothing comes of it."""
        self.joins_s = EVENT_S
        """How long the dialplan takes until a caller is with the human agent who waits for them."""
        self.outside: set[str] = set()
        """Channels that have left our application, and are with a caller. Asterisk still counts them among ours."""
        self._office = office

    def tell(self, kind: str, channel_id: str, **fields: Any) -> None:
        """An event of the stream, about this channel."""
        channel = {"id": channel_id, "name": self.names.get(channel_id, ""), "state": "Up", **fields.pop("channel", {})}
        self._office.router.route({"type": kind, "channel": channel, **fields})

    def leaves(self, channel_id: str) -> None:
        """The channel is hung up, by whomever."""
        if channel_id in self.names:
            self.tell("ChannelHangupRequest", channel_id)
            self.tell("StasisEnd", channel_id)
            self.tell("ChannelDestroyed", channel_id, cause=16)
            self.names.pop(channel_id, None)
            if (line := self._office.lines.get(channel_id)) is not None:
                line.lose(Reason.PEER_CLOSED)

    def joins(self, name: str) -> None:
        """A caller in the dialplan is bridged with the channel of this name: it is not in our application any more."""
        for channel_id in [each for each, known in self.names.items() if known == name]:
            self.outside.add(channel_id)
            self.tell("StasisEnd", channel_id)

    async def _request(self, name: str, channel_id: str, work: Callable[[], Any] = lambda: None) -> Any:
        """About a channel that there must be, by its id or name."""

        def done() -> Any:
            if channel_id not in self.names and channel_id not in self.names.values():
                raise NotFoundError(f"Asterisk refused {name}: HTTP 404 Channel not found")
            return work()

        return await self.peer.request(name, channel_id, done)

    async def answer(self, channel_id: str) -> None:
        await self._request("answer", channel_id)

    async def hang_up(self, channel_id: str, reason: str = "normal") -> None:
        await self._request("hang_up", channel_id, lambda: _later(EVENT_S, self.leaves, channel_id))

    async def continue_in_dialplan(self, channel_id: str, place: Place | None = None) -> None:
        def goes() -> None:
            if channel_id in self.hanging_up:
                _later(EVENT_S, self.leaves, channel_id)
                return
            self.went[channel_id] = place
            if place is not None and place.context == JOIN_CONTEXT:
                _later(self.joins_s, self.joins, self.variables[channel_id, "ARIAGENT_JOIN"])
            self.results[channel_id] = self.variables.get((channel_id, "ARIAGENT_RESULT"), "")
            _later(EVENT_S, self.tell, "StasisEnd", channel_id)
            _later(EVENT_S, self.names.pop, channel_id, None)

        await self._request("continue", channel_id, goes)

    async def get_variable(self, channel_id: str, name: str) -> str:
        found = await self.get_variables(channel_id, [name])
        return found[name]

    async def get_variables(self, channel_id: str, names: Iterable[str]) -> dict[str, str]:
        def found() -> dict[str, str]:
            return {name: self.variables.get((channel_id, name), "") for name in names}

        return dict(await self._request("get", channel_id, found))

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        await self._request("set", channel_id, lambda: self.variables.update({(channel_id, name): value}))

    async def channel_name(self, channel_id: str) -> str:
        return str(await self._request("name", channel_id, lambda: self.names[channel_id]))

    async def channels(self) -> list[Channel]:
        def found() -> list[Channel]:
            return [Channel(channel_id, name, "Up") for channel_id, name in self.names.items()]

        return list(await self.peer.request("channels", "", found))

    async def application(self) -> tuple[list[str], list[str]]:
        channels, bridges = await self.peer.request("application", "", lambda: (list(self.names), list(self.bridges)))
        return channels, bridges

    async def bridges_made(self) -> list[str]:
        return list(await self.peer.request("bridges", "", lambda: list(self.bridges)))

    async def channel(self, channel_id: str) -> Channel:
        def found() -> Channel:
            return Channel(
                channel_id, self.names[channel_id], "Up", app_name="" if channel_id in self.outside else "Stasis"
            )

        channel = await self._request("look", channel_id, found)
        assert isinstance(channel, Channel)
        return channel

    async def external_media(self, channel_id: str, *, host: str, connection: str, format_name: str) -> None:
        def made() -> None:
            self.names[channel_id] = "AudioSocket/127.0.0.1:9092"
            _later(ENTERS_S, self._media_enters, channel_id, UUID(connection))

        await self.peer.request("media", channel_id, made)

    def _media_enters(self, channel_id: str, connection: UUID) -> None:
        self.tell("StasisStart", channel_id, args=[])
        if self.media_comes and (expected := self._office.media.claim(connection)) is not None:
            self._office.lines[channel_id] = Line(connection, expected, lambda: self.leaves(channel_id))

    async def originate(
        self,
        channel_id: str,
        *,
        endpoint: str,
        caller_id: str,
        timeout_s: int,
        originator: str | None = None,
        other_id: str | None = None,
        variables: Mapping[str, str] | None = None,
        format_name: str | None = None,
    ) -> None:
        def rings() -> None:
            self.names[channel_id] = f"{endpoint};1"
            if self.human_answers_s is not None:
                _later(self.human_answers_s, lambda: self.tell("StasisStart", channel_id, args=[]))
            else:
                _later(timeout_s, self.leaves, channel_id)

        await self.peer.request("originate", endpoint, rings)

    async def play(self, channel_id: str, playback_id: str, sound: str, digits: str = "") -> None:
        def begins() -> None:
            lasts_s = PROMPT_S if digits else self.sound_lasts_s
            state = "done" if lasts_s else "failed"
            playback = {"id": playback_id, "target_uri": f"channel:{channel_id}", "state": state}
            if digits:
                self.prompts.append(f"{sound} {digits}")
            if digits and self.human_presses:
                _later(lasts_s / 2, lambda: self.tell("ChannelDtmfReceived", channel_id, digit=self.human_presses))
            _later(lasts_s, self._office.router.route, {"type": "PlaybackFinished", "playback": playback})

        await self._request("say" if digits else "play", channel_id, begins)

    async def stop_playing(self, playback_id: str) -> None:
        await self.peer.request("stop", playback_id)

    async def snoop(self, channel_id: str, snoop_id: str) -> None:
        def listens() -> None:
            self.names[snoop_id] = f"Snoop/{channel_id}-00000001"
            _later(ENTERS_S, lambda: self.tell("StasisStart", snoop_id, args=[]))

        await self._request("snoop", channel_id, listens)

    async def create_bridge(self, bridge_id: str) -> None:
        await self.peer.request("bridge", bridge_id, lambda: self.bridges.add(bridge_id))

    async def add_to_bridge(self, bridge_id: str, *channel_ids: str) -> None:
        for channel_id in channel_ids:
            await self._request("join", channel_id)

    async def destroy_bridge(self, bridge_id: str) -> None:
        def gone() -> None:
            if bridge_id not in self.bridges:
                raise NotFoundError("Bridge not found")
            self.bridges.remove(bridge_id)

        await self.peer.request("destroy", bridge_id, gone)


class MemoryAmi(AmiClient):
    """Asterisk's manager interface: a ``BlindTransfer`` takes a seat's caller away."""

    def __init__(self, ari: MemoryAri) -> None:
        super().__init__(AmiSettings.model_validate({"password": "secret"}))
        self.peer = _Peer(self.settings.request_timeout_s, lambda name: AmiError(f"Asterisk did not answer {name}"))
        self.sent: list[dict[str, str]] = []
        self.peers: dict[str, str] = {}
        """The channels that others are bridged with, by their names."""
        self.globals: dict[str, str] = {}
        """Asterisk's global variables."""
        self._logged_in.set()
        self._ari = ari

    async def action(self, name: str, /, **fields: Any) -> Message:
        def done() -> None:
            if name == "Setvar" and not channel:
                self.globals[fields["Variable"]] = fields["Value"]
            self.sent.append({"Action": name, **{key: str(value) for key, value in fields.items()}})
            if name == "BlindTransfer":
                leg = str(fields["Channel"]).removesuffix(";1") + ";2"
                legs = [each for each, known in self._ari.names.items() if known == leg]
                if not legs:
                    raise AmiRefusedError("Channel specified does not exist")
                for channel_id in legs:
                    _later(EVENT_S, self._ari.leaves, channel_id)
                    if fields["Context"] == JOIN_CONTEXT and channel_id not in self._ari.hanging_up:
                        joined = [each["Value"] for each in self.sent if each.get("Variable") == "ARIAGENT_JOIN"]
                        _later(self._ari.joins_s, self._ari.joins, joined[-1])

        channel = str(fields.get("Channel", ""))
        await self.peer.request(name, channel, done)
        known = self.peers.get(channel, "") if channel else self.globals.get(str(fields.get("Variable")), "")
        return {"value": known} if name == "Getvar" else {}


class Line:
    """The telephone of one call, at the audio connection's place: sends and asks for 20 ms at a time."""

    def __init__(self, uuid: UUID, expected: Expected, closed: Callable[[], object]) -> None:
        self._uuid = uuid
        self._format = expected.format
        self._closed = closed
        self.endpoint = expected.endpoint
        self.sends = True
        """False: nothing comes of the telephone any more (it is muted, or on hold)."""
        self.loud_frames = 0
        """So many frames of a voice come next."""
        self.sounds: deque[bytes] = deque()
        """These frames come next."""
        self.heard: list[bytes | None] = []
        """Frames that the caller got; None: silence."""
        self.over = False
        self.endpoint.connected(self)
        self._timer = _later(FRAME_S, self._tick)

    @property
    def uuid(self) -> UUID:
        return self._uuid

    @property
    def format(self) -> AudioFormat:
        return self._format

    @property
    def heard_s(self) -> float:
        """How much of the agent's speech was heard."""
        return FRAME_S * sum(frame is not None for frame in self.heard)

    @property
    def stretches(self) -> list[tuple[float, float]]:
        """When the agent's speech, or a tone, began and ended, in seconds since the line is there."""
        found: list[tuple[float, float]] = []
        for place, frame in enumerate(self.heard):
            at = round(FRAME_S * place, 3)
            if frame is not None and found and found[-1][1] == at:
                found[-1] = found[-1][0], round(at + FRAME_S, 3)
            elif frame is not None:
                found.append((at, round(at + FRAME_S, 3)))
        return found

    def speaks(self, seconds: float) -> None:
        """The caller makes sounds."""
        self.loud_frames = round(seconds / FRAME_S)

    def _tick(self) -> None:
        now = time.monotonic()
        if self.sends:
            loud, self.loud_frames = self.loud_frames > 0, max(0, self.loud_frames - 1)
            quiet = self.sounds.popleft() if self.sounds else bytes(self.format.frame_bytes)
            self.endpoint.audio_received(LOUD if loud else quiet, now)
        if not self.over:
            self.heard.append(self.endpoint.frame_due(now))
        if not self.over:
            self._timer = _later(FRAME_S, self._tick)

    def speech_ready(self) -> None:
        """The next frame is due within 20 ms anyway."""

    def hangup(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.over:
            self.lose(Reason.LOCAL)
            _later(0, self._closed)

    def lose(self, reason: str) -> None:
        """The connection is over."""
        if not self.over:
            self.over = True
            self._timer.cancel()
            _later(0, self.endpoint.disconnected, reason)


class Session:
    """A session with the model, and its server's side of it. Stands at a ``RealtimeClient``'s place."""

    def __init__(
        self,
        model: "Model",
        settings: RealtimeSettings,
        profile: SessionProfile,
        on_event: Callable[[rt.Event], None],
        understanding: Understanding,
        on_audio: Callable[[rt.AudioArrived], None],
        on_session: Callable[[rt.SessionReady | rt.SessionFailed], None],
    ) -> None:
        self.session = RealtimeSession(profile, understanding)
        self.in_use = True
        self.dropped_s = 0.0
        self.heard: list[dict[str, Any]] = []
        """Messages that the server got, without audio."""
        self.audio_bytes = 0
        self.gave_up = ""
        self.open = False
        self._model = model
        self._handlers = on_event, on_audio, on_session
        self._muted = False
        self._closed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._last_caller_item = ""

    # -- as a RealtimeClient ------------------------------------------------------------------------

    async def run(self) -> None:
        await asyncio.sleep(self._model.connects_s)
        if self._model.refusal is not None:
            self.session.closed(None, "")
            self._hand_on(self._model.refusal)
            return
        if not self._closed.is_set():
            self.open = True
            self.says("session.created", session={"id": "s"})
            await self._closed.wait()
        self.open = False

    def append_audio(self, audio: bytes) -> bool:
        self.audio_bytes += len(audio)
        return True

    def flush(self) -> None:
        if not self.open:
            return
        for text in self.session.take_outgoing():
            message = json.loads(text)
            self.heard.append(message)
            _later(0.01, self._answer, message)
        if self._timer is not None:
            self._timer.cancel()
        if (due := self.session.next_deadline()) is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._take(self.session.tick(time.monotonic()))

    def give_up(self, cause: str) -> None:
        self.gave_up = cause
        self.lose(rt.SessionFailed(rt.Fault.FLOOD, cause))

    async def close(self) -> None:
        self._muted = True
        self._end()

    def _hand_on(self, event: rt.Event) -> None:
        on_event, on_audio, on_session = self._handlers
        match event:
            case _ if self._muted:
                pass
            case rt.SessionReady() | rt.SessionFailed():
                on_session(event)
            case rt.AudioArrived() if self.in_use:
                on_audio(event)
            case _ if self.in_use:
                on_event(event)

    def _end(self) -> None:
        self.open = False
        self._closed.set()
        if self._timer is not None:
            self._timer.cancel()

    # -- the server ---------------------------------------------------------------------------------

    def lose(self, failure: rt.SessionFailed | None = None) -> None:
        """The connection breaks off."""
        self.session.closed(None, "")
        self._hand_on(failure or rt.SessionFailed(rt.Fault.NETWORK, "cut off"))
        self._end()

    def says(self, kind: str, **fields: Any) -> None:
        """A message of the server's."""
        if not self._closed.is_set():
            self._take(self.session.receive(json.dumps({"type": kind, **fields}), time.monotonic()))

    def _take(self, events: Iterable[rt.Event]) -> None:
        for event in events:
            self._hand_on(event)
        if self.session.state is SessionState.CLOSED:
            self._end()  # it was given up
        else:
            self.flush()

    def _answer(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "session.update":
                self.says("session.updated", session={"id": "s", **message["session"]})
            case "response.create" if message["response"].get("conversation") == "none":
                if self._model.announces:
                    self.speaks(1.0, metadata=message["response"]["metadata"], conversation_id=None)
            case "response.create":
                script = self._model.script
                (script.popleft() if script else Session.speaks)(self)
            case "conversation.item.truncate":
                kept = {key: message[key] for key in ("item_id", "content_index", "audio_end_ms")}
                self.says("conversation.item.truncated", **kept)

    def speaks(self, seconds: float = 0.4, *, tools: Iterable[tuple[str, dict[str, Any]]] = (), **response: Any) -> str:
        """A whole response: speech, then calls of these tools. Returns its id."""
        number = self._model.next_number()
        response_id, item_id = f"resp_{number}", f"item_{number}"
        self.says("response.created", response={"id": response_id, "conversation_id": "conv", **response})
        if seconds:
            audio = bytes(48 * round(1000 * seconds))
            delta = base64.b64encode(audio).decode()
            self.says("response.output_audio.delta", response_id=response_id, item_id=item_id, delta=delta)
            self.says("response.output_audio.done", response_id=response_id, item_id=item_id)
            self.says(
                "response.output_audio_transcript.done",
                response_id=response_id,
                item_id=item_id,
                transcript=f"Words of {item_id}.",
            )
        for place, (name, arguments) in enumerate(tools):
            item = {
                "type": "function_call",
                "call_id": f"call_{number}_{place}",
                "name": name,
                "arguments": json.dumps(arguments),
            }
            self.says("response.output_item.done", response_id=response_id, item=item)
        self.says("response.done", response={"id": response_id, "status": "completed", **response})
        return response_id

    def calls_tool(self, name: str, *, speech_s: float = 0.4, **arguments: Any) -> str:
        """A response that calls a tool; returns the function call's id."""
        self.speaks(speech_s, tools=[(name, arguments)])
        return f"call_{self._model.number}_0"

    def caller_begins(self) -> None:
        """The server takes the caller's audio for speech."""
        self._last_caller_item = f"turn_{self._model.next_number()}"
        at_ms = max(0, self.audio_bytes // 48 - 200)
        self.says("input_audio_buffer.speech_started", item_id=self._last_caller_item, audio_start_ms=at_ms)

    def caller_ends(self, words: str | None = "Hello.") -> None:
        """The caller fell silent. ``words``: None where nobody writes them down."""
        item_id, at_ms = self._last_caller_item, self.audio_bytes // 48
        self.says("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=at_ms)
        self.says("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        if words is not None:
            self.says("conversation.item.input_audio_transcription.completed", item_id=item_id, transcript=words)

    def told(self, text: str) -> bool:
        """Whether the model was told something with this text in it."""
        return any(text in json.dumps(message, ensure_ascii=False) for message in self.heard)

    def result(self, call_id: str) -> Any:
        """The result of a function call; None: there is none."""
        for message in self.heard:
            item = message.get("item", {})
            if item.get("type") == "function_call_output" and item["call_id"] == call_id:
                return json.loads(item["output"])
        return None


class Model:
    """The model's server: each session answers what it is asked for with ``script``, then with a short sentence."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.script: deque[Callable[[Session], object]] = deque()
        self.refusal: rt.SessionFailed | None = None
        """Every session is refused so."""
        self.announces = True
        self.connects_s = 0.05
        self.number = 0

    def connect(
        self,
        settings: RealtimeSettings,
        profile: SessionProfile,
        on_event: Callable[[rt.Event], None],
        understanding: Understanding,
        *,
        on_audio: Callable[[rt.AudioArrived], None],
        on_session: Callable[[rt.SessionReady | rt.SessionFailed], None],
    ) -> Session:
        """A ``Connect`` of ``ModelLine``."""
        self.sessions.append(Session(self, settings, profile, on_event, understanding, on_audio, on_session))
        return self.sessions[-1]

    @property
    def session(self) -> Session:
        """The newest one."""
        return self.sessions[-1]

    def next_number(self) -> int:
        self.number += 1
        return self.number


_installed = functools.cache(lambda: plugins.installed(["order"]))
"""To look for them takes longer than many a call here."""


class Tools(Toolbox):
    """The site's tools: each is over when ``go_on`` is set."""

    def __init__(self, settings: Settings) -> None:
        with mock.patch.object(plugins, "installed", return_value=_installed()):
            super().__init__(settings)
        self.go_on = asyncio.Event()
        self.running = 0
        self.given_up = 0
        self.fault: Exception | None = None
        self.outcome = Outcome('{"status":"ready"}', ok=True, kind=Kind.OK)

    async def run(self, agent: str, call: FunctionCall, facts: CallFacts) -> Outcome:
        self.running += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.fault is not None:
            raise self.fault
        return self.outcome


class Logged(logging.Handler):
    """The log: event and fields."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), dict(getattr(record, "fields", {}))))


DESTINATIONS = {
    kind: {"description": f"the human agents ({kind})", "queue": "support", "kind": kind, "timeout_s": 20}
    for kind in ("blind", "briefed", "warm")
}
SETTINGS: dict[str, Any] = {
    "realtime": {"url": "ws://model.invalid/", "api_key": "none", "recover_s": 2.0},
    "destinations": DESTINATIONS,
    "tools": {"order": {"description": "d", "url": "https://shop.example/"}},
    "outbound": {"allowed_hosts": ["shop.example"]},
    "log": {"transcripts": True},
}
AGENT: dict[str, Any] = {
    "instructions": "Be brief.",
    "handoff": list(DESTINATIONS),
    "tools": ["order"],
    "interruptions": {"confirm": False},
}


class _NotedModelHealth(ModelHealth):
    """Notes each report of trouble."""

    def __init__(self, settings: RealtimeSettings, doubts: list[str]) -> None:
        super().__init__(settings)
        self._doubts = doubts

    def doubt(self) -> None:
        self._doubts.append("model")


class _NotedAudioHealth(Breaker):
    """Health of the audio; each doubt is noted."""

    def __init__(self, doubts: list[str]) -> None:
        super().__init__()
        self._doubts = doubts

    def doubt(self) -> None:
        self._doubts.append("audio")

    def fail(self, cause: str) -> None:
        self._doubts.append("audio")


class Office:
    """One process's calls, with everything that they use. ``changes``: of the settings; ``agent``: of the agent.
    ``connect``: makes the model's connections, where ``model`` does not. ``judge``: judges the ends of turns.
    ``records``: they are kept, in ``folder``."""

    def __init__(
        self,
        folder: Path,
        *,
        agent: Mapping[str, Any] | None = None,
        ami: bool = True,
        connect: Connect | None = None,
        judge: TurnJudge | None = None,
        records: bool = False,
        **changes: Any,
    ) -> None:
        self._folder = folder
        self._tree = {**SETTINGS, "agents": {"default": {**AGENT, **(agent or {})}}, **changes}
        if records:
            self._tree["state_directory"] = str(folder)
        self._records = RecordsSettings(enabled=records)
        self._has_ami = ami
        self._connect = connect
        self._judge = judge
        self.lines: dict[str, Line] = {}
        """By the media channel's id."""
        self.logged = Logged()

    async def __aenter__(self) -> Self:
        settings = self.settings = Settings.model_validate(self._tree)
        logger = logging.getLogger("ariagent")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self.logged)
        self.model = Model()
        self.ari = MemoryAri(self)
        self.ami = MemoryAmi(self.ari)
        self.media = AudioSocketServer()
        self.metrics = Metrics()
        self.tools = Tools(settings)
        self.registry = Calls(lambda: self.context)
        self.router = Router(self.registry.channel_entered)
        self._folder.joinpath("announcements").mkdir(exist_ok=True)
        self.doubts: list[str] = []
        """Health reports of doubts about the model or the audio: ``model`` or ``audio``."""
        self.context = Context(
            settings=settings,
            ari=self.ari,
            router=self.router,
            media=self.media,
            media_address="127.0.0.1:9092",
            format=SLIN24,
            metrics=self.metrics,
            phrases=PhraseStore(self._folder, settings.realtime, SLIN24),
            announcements=Announcements(self._folder / "announcements", SLIN24),
            model_health=_NotedModelHealth(settings.realtime, self.doubts),
            audio_health=_NotedAudioHealth(self.doubts),
            toolbox=self.tools,
            journal=Journal.open(self._folder, self._records),
            spending=Spending(settings.cost),
            admission=Admission(settings),
            connect_model=self._connect or self.model.connect,
            ami=self.ami if self._has_ami else None,
            turn_judge=self._judge,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ari.peer.refused.clear()
        self.ari.peer.takes_s.clear()
        self.ari.peer.answers_s.clear()
        await self.registry.stop()
        await self.tools.close()
        logger = logging.getLogger("ariagent")
        logger.removeHandler(self.logged)
        logger.setLevel(self._level)

    # -- calls --------------------------------------------------------------------------------------

    def enter(
        self,
        channel_id: str,
        *args: str,
        name: str = "",
        number: str = "5551000",
        caller_name: str = "",
        **fields: Any,
    ) -> Call | None:
        """A channel comes into our application; returns its call, if one begins."""
        self.ari.names[channel_id] = name or f"PJSIP/{channel_id}"
        place = {"context": "ariagent-direct", "exten": "100", "priority": 2}
        channel = {"caller": {"number": number, "name": caller_name}, "dialplan": place, "state": "Ring"}
        self.ari.tell("StasisStart", channel_id, args=list(args), channel=channel, **fields)
        return next((call for call in self.registry.calls if call.leg == channel_id), None)

    def enter_seat(self, channel_id: str, seat: str = "03", **fields: Any) -> Call:
        """A queue's caller comes to a seat."""
        call = self.enter(channel_id, "seat", seat, name=f"Local/{seat}@ariagent-seat-{channel_id};2", **fields)
        self.ari.variables[channel_id, "ARIAGENT_CALLER"] = f"PJSIP/caller-{channel_id}"
        assert call is not None
        return call

    def arrives(self, channel_id: str, **fields: Any) -> Call:
        """A caller comes: to a seat if the id begins with ``s``, else straight."""
        if channel_id.startswith("s"):
            return self.enter_seat(channel_id, **fields)
        call = self.enter(channel_id, "default", **fields)
        assert call is not None
        return call

    async def answered(self, channel_id: str = "c1", **fields: Any) -> Call:
        """As ``arrives``, and they have heard the agent's first words."""
        call = self.arrives(channel_id, **fields)
        await self.until(lambda: call.state.value == "talking")
        await self.until(lambda: self.line(call).heard_s > 0)
        await self.silent(call)
        return call

    async def joined(self, call: Call, channel_id: str = "c9", number: str = "5552000", name: str = "Eve") -> None:
        """Whoever talks with the agent has another call with this party, and joins the two: an attended transfer."""
        told = len(self.events("call.caller_changed"))
        peer = f"PJSIP/{channel_id}"
        self.ari.names[channel_id] = peer
        if call.arrival.seat is None:
            new = {"caller": {"number": number, "name": name}, "state": "Up"}
            connected = {"connected": {"number": number, "name": name}}
            before = call.leg
            self.ari.tell("StasisStart", channel_id, args=[], channel=new, replace_channel={"id": before})
            self.ari.tell("ChannelConnectedLine", call.media.channel, channel=connected)
            self.ari.leaves(before)
            assert call.leg == channel_id
        else:
            half = twin(call.arrival.channel.name)
            self.ari.names[f"{call.leg}-half"] = half
            self.ari.variables[half, "BRIDGEPEER"] = self.ami.peers[half] = peer
            self.registry.transferred(
                AttendedTransferred(
                    result="Success",
                    first="PJSIP/anna-1",
                    second="PJSIP/anna-2",
                    transferee=peer,
                    transferee_caller=number,
                    transferee_name=name,
                    target=half,
                    target_caller="03",
                    target_name="",
                    linked_id="1.1",
                )
            )
        await self.until(lambda: len(self.events("call.caller_changed")) > told)

    def line(self, call: Call) -> Line:
        """The call's telephone."""
        return self.lines[call.media.channel]

    def handoff(self, kind: str = "blind", by: str = "anna") -> Handoff:
        """A supervisor's transfer."""
        return Handoff(kind, self.settings.destinations[kind], by)

    async def until(self, holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """So much time passes until this is so."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limit_s):
            if isinstance(loop, VirtualLoop):
                await loop.until(holds)
            while not holds():
                await asyncio.sleep(LOOK_S)

    async def silent(self, call: Call) -> None:
        """Until the caller has heard what the agent says to its end."""
        line = self.line(call)
        await self.until(lambda: line.over or (call._dialogue.finished and line.heard[-1:] == [None]))

    async def over(self, call: Call, limit_s: float = LIMIT_S) -> Termination:
        """How the call ended, once all is given back."""
        await self.until(lambda: call not in self.registry.calls, limit_s)
        if call.termination is not None:
            return call.termination
        (told,) = [fields for fields in self.events("call.ended") if fields["call"] == call.call_id]
        return Termination(Result(told["result"]), told["reason"], told.get("cause", ""))

    # -- what is left -------------------------------------------------------------------------------

    def events(self, name: str) -> list[dict[str, Any]]:
        """The fields of all events of this name that were logged."""
        return [fields for event, fields in self.logged.lines if event == name]

    def ended(self) -> dict[str, int]:
        """How many calls ended, by result and reason, as the metrics tell."""
        found: Counter[str] = Counter()
        for metric in self.metrics.calls.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    found[f"{sample.labels['result']}/{sample.labels['reason']}"] += int(sample.value)
        return dict(found)

    def left_of(self, call: Call) -> list[str]:
        """The remains of the call in Asterisk, the router, the audio server and the model."""
        known: set[str] = {*self.ari.names, *self.ari.bridges, *self.router._sinks}
        left = [name for name in (call.leg, call.media.channel, call.media.bridge) if name in known]
        left += [name for name in known if name.startswith(WARM_PREFIX)]
        left += ["audio"] if call.media.uuid in self.media._expected else []
        line = self.lines.get(call.media.channel)
        return left + (["line"] if line is not None and not line.over else [])


def assert_nothing_left(office: Office, *calls: Call) -> None:
    """Everything was given back, and every call has told its end once."""
    for call in calls:
        assert office.left_of(call) == []
        assert [fields["call"] for fields in office.events("call.ended")].count(call.call_id) == 1
    assert office.events("call.fault") == []
