"""A call in memory: the real dialogue, session and state machine, a scripted server, and literal times."""

import base64
import json
from typing import Any

import numpy as np

from ariagent.audio.format import SLIN24
from ariagent.audio.rates import ModelCodec
from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.machine import CallMachine, State
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue import effects as fx
from ariagent.dialogue import events as said
from ariagent.dialogue.builtin_tools import BuiltinTools
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.dialogue import Dialogue
from ariagent.dialogue.memory import Memory
from ariagent.dialogue.role import Role
from ariagent.realtime import events as rt
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from ariagent.tools.plugins import CallFacts

FRAME_S = 0.02
MACHINE_EFFECTS = (
    fx.CallerSpoke
    | fx.EndRequested
    | fx.NobodyThere
    | fx.FallbackRequested
    | fx.TransferRequested
    | fx.WarmTransferRequested
    | fx.WarmTransferCancelled
    | fx.ModelFailed
    | fx.AgentFailed
)


def tone(ms: float, level: int = 12_000) -> bytes:
    """A tone, PCM at 24 kHz."""
    at = np.arange(int(24 * ms)) / 24_000
    return (level * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


class ScriptedCall:
    """One call that is talking. ``says`` is the model's server, ``caller`` the phone, ``sent`` what the server gets."""

    def __init__(
        self,
        agent: AgentSettings | None = None,
        *,
        places: dict[str, DestinationSettings] | None = None,
        understanding: Understanding | None = None,
        stall_timeout_s: float = 8.0,
        memory: Memory | None = None,
        why_back: str = "",
        phrase: bytes | None = None,
    ) -> None:
        """``phrase``: what every rendered phrase sounds like; None: nothing is rendered."""
        self.agent = agent or AgentSettings(handoff=tuple(places or ()))
        self.understanding = understanding or Understanding.openai()
        self.settings = RealtimeSettings(stall_timeout_s=stall_timeout_s)
        self.now = 0.0
        self.events: list[said.DialogueEvent] = []
        self.effects: list[fx.Effect] = []
        self.commands: list[cmd.Command] = []
        self.failed: list[rt.SessionFailed] = []
        self.played_ms = 0.0
        self._turn = ""
        destinations = Destinations(self.agent, places or {}, {}, lambda name: None)
        role = Role(self.agent, "", CallFacts("c1", "main", "100", language="en"), memory, why_back)
        self.session = self._session()
        self.dialogue = Dialogue(
            role,
            BuiltinTools(self.agent, destinations, "100"),
            self.session,
            ModelCodec(SLIN24, "pcm"),
            SLIN24,
            phrase=lambda text, language: phrase,
            waiting_prompt=lambda name: None,
            unix_offset_s=0.0,
        )
        self.machine = CallMachine(0.0)
        self._ready(self.session)
        for event in (ev.ModelReady(), ev.MediaReady(), ev.Answered()):
            self.feed(event)
        self.settle()
        assert self.machine.state is State.TALKING
        self.begun = self.sent()
        """Messages to the model at the beginning."""

    def _session(self) -> RealtimeSession:
        profile = SessionProfile.of(self.agent, self.settings)
        return RealtimeSession(profile, self.understanding)

    def _ready(self, session: RealtimeSession) -> None:
        self.session = session
        self.says("session.created", session={"id": "s"})
        self.says("session.updated", session={"id": "s", **session.profile.session()})
        self.sent()

    def renewed(self) -> None:
        """The session was lost, and there is another one."""
        session = self._session()
        self.dialogue.handle(rt.SessionLost(rt.Fault.NETWORK, "cut off"), self.now)
        self._ready(session)
        self.dialogue.renew(session, self.now)

    # -- the server -------------------------------------------------------------------------------

    def says(self, kind: str, **fields: Any) -> None:
        self._took(self.session.receive(json.dumps({"type": kind, **fields}), self.now))

    def _took(self, happened: list[rt.Event]) -> None:
        for event in happened:
            if isinstance(event, rt.SessionFailed):
                self.failed.append(event)
            self.dialogue.handle(event, self.now)
            self.settle()

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.session.take_outgoing()]

    def starts(self, response_id: str = "r1") -> None:
        self.says("response.created", response={"id": response_id})

    def speaks(self, ms: float, item_id: str = "a1", response_id: str = "r1") -> None:
        for at in range(0, int(ms), 1000):
            delta = base64.b64encode(tone(min(1000, ms - at))).decode()
            self.says("response.output_audio.delta", response_id=response_id, item_id=item_id, delta=delta)
        self.says("response.output_audio.done", response_id=response_id, item_id=item_id)

    def calls(self, name: str, call_id: str = "c1", response_id: str = "r1", **arguments: Any) -> None:
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": json.dumps(arguments)}
        self.says("response.output_item.done", response_id=response_id, item={**item, "status": "completed"})

    def ends(self, response_id: str = "r1", status: str = "completed", **details: Any) -> None:
        self.says("response.done", response={"id": response_id, "status": status, "status_details": details})

    def reply(self, ms: float, response_id: str = "r1", item_id: str = "a1", call: str = "", **arguments: Any) -> None:
        """A whole reply, generated at once; with a function call behind it."""
        self.starts(response_id)
        self.speaks(ms, item_id, response_id)
        if call:
            self.calls(call, response_id=response_id, **arguments)
        self.ends(response_id)

    def hears_speech(self, item_id: str = "u1") -> None:
        """The server notices that the caller speaks."""
        start = max(0.0, self.dialogue._uplink.appended_ms - 100)
        self._turn = item_id
        self.says("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start)

    def hears_silence(self) -> None:
        """The server ends the caller's turn."""
        end = self.dialogue._uplink.appended_ms
        self.says("input_audio_buffer.speech_stopped", item_id=self._turn, audio_end_ms=end)
        self.says("input_audio_buffer.committed", item_id=self._turn)

    def transcribes(self, text: str | None, item_id: str = "") -> None:
        """The server tells the words of a turn; by default, of the newest one."""
        kind, item_id = "conversation.item.input_audio_transcription.", item_id or self._turn
        if text is None:
            self.says(kind + "failed", item_id=item_id, error={})
        else:
            self.says(kind + "completed", item_id=item_id, transcript=text)

    # -- the phone, and time ----------------------------------------------------------------------

    def caller(self, ms: float, *, loud: bool) -> None:
        """So much of the caller's audio, frame by frame, while the agent is played."""
        for _ in range(int(ms) // 20):
            self.frame(tone(20) if loud else SLIN24.silence(20))

    def wait(self, seconds: float) -> None:
        self.caller(1000 * seconds, loud=False)

    def frame(self, payload: bytes) -> None:
        self.now = round(self.now + FRAME_S, 3)
        self.dialogue.hear(payload, self.now)
        if self.dialogue.frame(self.now) is not None:
            self.played_ms += 20
        due = self.session.next_deadline()
        if due is not None and self.now >= due:
            self._took(self.session.tick(self.now))
        due = self.dialogue.next_deadline()
        if due is not None and self.now >= due:
            self.dialogue.tick(self.now)
        due = self.machine.next_deadline()
        if due is not None and self.now >= due:
            event = self.machine.tick(self.now, self.dialogue.unheard_s)
            if event is not None:
                self.feed(event)
        self.settle()

    def turn(self, text: str, *, ms: float = 1000, item_id: str = "u1") -> None:
        """A turn of the caller that the server notices, ends and writes down in time."""
        self.caller(100, loud=True)
        self.hears_speech(item_id)
        self.caller(ms - 100, loud=True)
        self.caller(500, loud=False)
        self.hears_silence()
        self.transcribes(text)

    # -- the driver -------------------------------------------------------------------------------

    def settle(self) -> None:
        dialogue, machine = self.dialogue, self.machine
        while dialogue.effects or (machine.finishing and dialogue.finished):
            for effect in dialogue.take_effects():
                if isinstance(effect, fx.CallerSpoke) and not machine.finishing:
                    continue
                if isinstance(effect, MACHINE_EFFECTS):
                    self.effects.append(effect)
                    self.feed(effect)
                elif isinstance(effect, fx.RunTool | fx.SpeechReady | fx.GiveUpSession):
                    self.effects.append(effect)
                else:
                    self.events.append(effect)
            if machine.finishing and dialogue.finished:
                self.feed(ev.SpeechFinished())

    def feed(self, event: ev.Event) -> None:
        self.carry_out(self.machine.handle(event, self.now))

    def carry_out(self, commands: list[cmd.Command]) -> None:
        for command in commands:
            self.commands.append(command)
            match command:
                case cmd.StartTalking():
                    self.dialogue.begin(self.now)
                case cmd.PressKey(digit=digit):
                    self.dialogue.press(digit, self.now)
                case cmd.TellNotDone(handoff=handoff):
                    self.dialogue.called_off("" if handoff is None else handoff.name)

    # -- what is asserted -------------------------------------------------------------------------

    def saw(self, kind: type) -> list[Any]:
        return [event for event in (*self.events, *self.effects, *self.commands) if isinstance(event, kind)]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """The texts of the items that were added."""
    items = [m["item"] for m in messages if m["type"] == "conversation.item.create"]
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


def creates(messages: list[dict[str, Any]]) -> list[str]:
    """The ids of the requests for a response."""
    return [m["event_id"] for m in messages if m["type"] == "response.create"]


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]
