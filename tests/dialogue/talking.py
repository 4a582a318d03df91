"""A whole conversation in memory: the model's server is its texts, the caller is frames, times are literal seconds.

call = Call({"opening": None})
call.turn("Where is my order?")
call.speaks(200, words="It is on its way.")
assert call.took() == [...]
"""

import base64
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from ariagent.audio.format import SLIN24
from ariagent.audio.rates import ModelCodec
from ariagent.config import AgentSettings, HoursSettings, RealtimeSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue import effects as fx
from ariagent.dialogue import events
from ariagent.dialogue.builtin_tools import BuiltinTools
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.dialogue import Dialogue
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.role import Role
from ariagent.realtime import events as rt
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from ariagent.tools.plugins import CallFacts

FMT = SLIN24
MONDAY, SUNDAY = (datetime(2026, 11, day, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() for day in (23, 22))
OFFICE = HoursSettings.model_validate({"timezone": "Europe/Berlin", "week": {"mon-fri": "08:00-17:00"}})
DESK = DestinationSettings(description="the service desk", queue="support", hours="office")
EXPERT = DestinationSettings(description="an expert", extension="1003", kind="warm")
WARM_FIRST = {"expert": EXPERT, "desk": DESK}
QUIET = {"silence": None}
"""Nobody is asked whether they are there."""

Kind = TypeVar("Kind")


def tone(ms: float) -> bytes:
    """Loud PCM."""
    at = np.arange(int(FMT.rate_hz * ms / 1000)) / FMT.rate_hz
    return (12_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


LOUD, SILENT = tone(20), FMT.silence(20)


class Call:
    """One call's dialogue with its caller and its model, as the driver would use it."""

    def __init__(
        self,
        agent: Mapping[str, Any] | None = None,
        *,
        phrases: Mapping[str, bytes] | None = None,
        prompts: Mapping[str, str] | None = None,
        safe: Collection[str] = (),
        places: Mapping[str, DestinationSettings] | None = None,
        begins: bool = True,
        starts_at: float = MONDAY,
        **role: Any,
    ) -> None:
        """``phrases``: the rendered ones. ``prompts``: by tool. ``safe``: tools that are safe to repeat.
        ``begins``: the model is ready and the agent begins."""
        places = places or {}
        given: dict[str, Any] = {"opening": None, **QUIET, "handoff": list(places), **(agent or {})}
        self.agent = AgentSettings.model_validate(given)
        facts = CallFacts("1.1", "sales", "5551000", "Ben", "en")
        self.now = 100.0
        self.heard: list[bytes] = []
        """The caller's audio that the model got."""
        self.all: list[fx.Effect | events.DialogueEvent] = []
        self.profile = SessionProfile.of(self.agent, RealtimeSettings())
        self.session = RealtimeSession(self.profile)
        found = Destinations(self.agent, places, {"office": OFFICE}, lambda queue: None)
        self.dialogue = Dialogue(
            Role(self.agent, "Be brief.", facts, **role),
            BuiltinTools(self.agent, found, facts.caller_number),
            self.session,
            ModelCodec(FMT, self.profile.encoding),
            FMT,
            phrase=lambda words, language: (phrases or {}).get(words),
            waiting_prompt=(prompts or {}).get,
            safe_to_repeat=lambda name: name in safe,
            unix_offset_s=starts_at - self.now,
        )
        self.responses = 0
        if begins:
            self.ready(self.session)
            self.dialogue.use(self.session)
            self.dialogue.begin(self.now)

    # -- the model ---------------------------------------------------------------------------------

    def ready(self, session: RealtimeSession) -> None:
        """The server takes the session, which was told its settings."""
        session.receive(json.dumps({"type": "session.created", "session": {"id": "s"}}), self.now)
        updated = {"id": "s", **session.profile.session()}
        session.receive(json.dumps({"type": "session.updated", "session": updated}), self.now)
        session.take_outgoing()

    def says(self, kind: str, **fields: Any) -> None:
        """One text of the server's."""
        for event in self.session.receive(json.dumps({"type": kind, **fields}), self.now):
            self.dialogue.handle(event, self.now)

    def told(self) -> list[dict[str, Any]]:
        """Messages to the server since the last time."""
        return [json.loads(message) for message in self.session.take_outgoing()]

    def kinds(self) -> list[str]:
        """The types of what the server was sent since the last time."""
        return [message["type"].rpartition(".")[2] for message in self.told()]

    def notes(self) -> list[str]:
        """The notes that the server was sent since the last time."""
        items = [message["item"] for message in self.told() if message["type"] == "conversation.item.create"]
        return [item["content"][0]["text"] for item in items if item.get("role") == "system"]

    def results(self) -> list[Any]:
        """The results of tools that the server was sent since the last time; behind them, what it was asked."""
        told = []
        for message in self.told():
            if message["type"] == "response.create":
                told.append(message["response"])
            elif message["item"]["type"] == "function_call_output":
                told.append(json.loads(message["item"]["output"]))
        return told

    def starts(self) -> str:
        """A response begins."""
        self.responses += 1
        self.says("response.created", response={"id": f"r{self.responses}"})
        return f"r{self.responses}"

    def sounds(self, ms: float, item_id: str) -> None:
        """So much audio of an item, at once."""
        delta = base64.b64encode(tone(ms)).decode()
        self.says("response.output_audio.delta", response_id=f"r{self.responses}", item_id=item_id, delta=delta)

    def ends(self, item_id: str = "", words: str = "", status: str = "completed", **response: Any) -> None:
        """The response, and its item, are complete. ``response``: more of its fields."""
        response_id = f"r{self.responses}"
        if item_id:
            self.says("response.output_audio.done", response_id=response_id, item_id=item_id)
            self.says(
                "response.output_audio_transcript.done", response_id=response_id, item_id=item_id, transcript=words
            )
        self.says("response.done", response={"id": response_id, "status": status, **response})

    def speaks(self, ms: float, item_id: str = "a", words: str = "") -> None:
        """A whole response that is nothing but speech."""
        self.starts()
        self.sounds(ms, item_id)
        self.ends(item_id, words)

    def calls(self, *calls: tuple[str, object]) -> list[rt.ToolCall]:
        """A whole response that calls these tools (name, arguments)."""
        response_id, made = self.starts(), []
        for number, (name, arguments) in enumerate(calls):
            call = rt.ToolCall(f"{response_id}-{number}", name, json.dumps(arguments))
            item = {
                "id": f"i-{call.call_id}",
                "type": "function_call",
                "call_id": call.call_id,
                "name": name,
                "arguments": call.arguments,
            }
            self.says("response.output_item.added", response_id=response_id, item=item)
            self.says("response.output_item.done", response_id=response_id, item=item)
            made.append(call)
        self.ends()
        return made

    # -- the caller --------------------------------------------------------------------------------

    def lasts(self, seconds: float, frame: bytes = SILENT) -> list[bytes | None]:
        """So much time goes by, with this from the caller; returns what the caller hears."""
        played = []
        for _ in range(round(seconds * 50)):
            self.now = round(self.now + 0.02, 6)
            if frame and (pcm := self.dialogue.hear(frame, self.now)):
                self.heard.append(pcm)
            if not frame:
                self.heard.append(self.dialogue.batch(self.dialogue.gap(self.now)))
            played.append(self.dialogue.frame(self.now))
            self.ticks()
        return played

    def ticks(self) -> None:
        """The driver's timer."""
        if (due := self.dialogue.next_deadline()) is not None and self.now >= due:
            self.dialogue.tick(self.now)
        if (due := self.session.next_deadline()) is not None and self.now >= due:
            for event in self.session.tick(self.now):
                self.dialogue.handle(event, self.now)

    def until_due(self, end: float) -> list[float]:
        """Without frames: ticks at each deadline until ``end`` seconds from the beginning, and when they were."""
        times = []
        while (due := self.dialogue.next_deadline()) is not None and due <= 100.0 + end:
            self.now = max(due, self.now)
            times.append(round(self.now - 100.0, 3))
            self.dialogue.tick(self.now)
            assert len(times) < 1000, "a deadline that does not advance"
        return times

    def begins_to_speak(self, item_id: str = "u1") -> None:
        """The server takes what it hears for the caller's voice."""
        at_ms = self.dialogue._uplink.appended_ms
        self.says("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=at_ms)

    def falls_silent(self, item_id: str = "u1", words: str | None = None) -> None:
        """The caller's turn is over."""
        at_ms = self.dialogue._uplink.appended_ms
        self.says("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=at_ms)
        self.says("input_audio_buffer.committed", item_id=item_id)
        if words is not None:
            kind = "conversation.item.input_audio_transcription.completed"
            self.says(kind, item_id=item_id, transcript=words)

    def turn(self, words: str, item_id: str = "u1") -> None:
        """A whole turn of the caller's, one second long."""
        self.begins_to_speak(item_id)
        self.lasts(1.0, LOUD)
        self.falls_silent(item_id, words)

    # -- what follows ------------------------------------------------------------------------------

    def took(self) -> list[fx.Effect | events.DialogueEvent]:
        """Effects for the driver since the last time, without hints to play."""
        taken = self.dialogue.take_effects()
        found: list[fx.Effect | events.DialogueEvent] = [
            effect for effect in taken if not isinstance(effect, fx.SpeechReady)
        ]
        self.all += found
        return found

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The result of ``took``, of this kind only."""
        return [effect for effect in self.took() if isinstance(effect, kind)]

    @property
    def entries(self) -> tuple[Said | Used, ...]:
        """The history."""
        return self.dialogue.memory("").entries
