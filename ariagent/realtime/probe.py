"""Finds out how a Realtime server differs from OpenAI's, by asking it: one session, and another one beside it.

The model says two short sentences and two words. The first session is a script over what arrives (``ProbeSession``,
without I/O); ``probe`` runs it.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from ariagent.config import AgentSettings, RealtimeSettings, ServerVad
from ariagent.realtime import events as ev
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.duration import not_spoken
from ariagent.realtime.fields import usage
from ariagent.realtime.out_of_band import METADATA_KEY
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import ALIASES, RealtimeSession
from ariagent.realtime.trial import COUNTED, WORD, WORDS, unheard

ITEM_WAIT_S = 2.0
TRUNCATION_WAIT_S = 1.5
"""OpenAI answers within milliseconds."""
SECOND_LIMIT_S = 30.0
LONGEST_WORDS = 2_000
"""Characters of what the model says."""
_READER = "You take part in a test of a telephone line. Say what you are asked to say, in English, and nothing else."
_NOTES = ("The first code word is apple.", "The second code word is river.")
_ASK = (
    "Say both code words that the system has told you, the first one first. If you know one only, say that one. Then "
    "count from one to ten."
)
_ITEM_ADDED = ("conversation.item.added", "conversation.item.created")


@dataclass(frozen=True, slots=True)
class Finding:
    """One way of the server's."""

    what: str
    """``speech``, ``items``, ``notes``, ``parallel``, ``truncates``, ``open_calls``, ``g711`` or ``sessions``."""
    deviates: bool | None
    """Whether it differs from OpenAI's; None: that could not be seen."""
    seen: str


@dataclass(frozen=True, slots=True)
class _Wait:
    """A wait for the next message for which ``wanted`` is true, at most ``limit_s``."""

    wanted: Callable[[dict[str, Any]], bool]
    limit_s: float


Script = Generator[_Wait, dict[str, Any] | None, None]


@dataclass(slots=True)
class _Reply:
    """The outcome of the long response, and of the one beside it."""

    response_id: str
    item_id: str = ""
    sound_bytes: int = 0
    words: str = ""
    status: str = ""
    beside_event: str = ""
    beside_id: str = ""
    beside: str = ""
    """``refused``, ``ran``, ``waited`` or ``replaced``; "" while that is open."""

    @property
    def over(self) -> bool:
        return bool(self.status and self.beside)


class ProbeSession(RealtimeSession):
    """Goes through the questions as soon as the session is ready, then calls ``ended``."""

    def __init__(self, profile: SessionProfile, ended: Callable[[], None]) -> None:
        super().__init__(profile, Understanding.openai())
        self.findings: list[Finding] = []
        self._ended = ended
        self._script: Script | None = None
        self._waits: _Wait | None = None
        self._until = 0.0

    def next_deadline(self) -> float | None:
        return self._until if self._waits is not None else None

    def tick(self, now: float) -> list[ev.Event]:
        if self._waits is not None and now >= self._until:
            self._goes_on(None, now)
        return []

    def receive(self, data: str | bytes, now: float) -> list[ev.Event]:
        if self._script is None:
            happened = super().receive(data, now)
            if any(isinstance(event, ev.SessionReady) for event in happened):
                self._script = self._questions()
                self._goes_on(None, now)
            return happened
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            return [ev.InputMalformed("not JSON", len(data))]
        if isinstance(message, dict) and self._waits is not None:
            if message.get("type") == "response.done" and isinstance(message.get("response"), dict):
                self.usage += usage(message["response"].get("usage"))
            if self._waits.wanted(message):
                self._goes_on(message, now)
        return []

    def _goes_on(self, message: dict[str, Any] | None, now: float) -> None:
        assert self._script is not None
        try:
            self._waits = next(self._script) if self._waits is None else self._script.send(message)
            self._until = now + self._waits.limit_s
        except StopIteration:
            self._waits = None
            self._ended()

    # -- the questions -----------------------------------------------------------------------------

    def _questions(self) -> Script:
        first = yield from self._adds_notes()
        reply = yield from self._replies()
        if reply is None:
            return
        self._judge_speech(reply)
        self._judge_beside(reply)
        if reply.beside == "replaced":
            # It was cut off before it had said what it knows.
            reply = (yield from self._replies(beside=False)) or reply
        yield from self._judge_notes(reply, first)
        yield from self._truncates(reply)
        yield from self._responds_with_an_open_call()

    def _adds_notes(self) -> Generator[_Wait, dict[str, Any] | None, str]:
        """Returns the id of the first note."""
        ids, seen = [], ""
        for note in _NOTES:
            content = [{"type": "input_text", "text": f"[system] {note}"}]
            item = {"type": "message", "role": "system", "content": content}
            event_id = self._send({"type": "conversation.item.create", "item": item})
            message = yield _Wait(_answers(event_id, *_ITEM_ADDED), ITEM_WAIT_S)
            kind = _text(message, "type")
            seen = seen or kind or "no answer"
            added = (message or {}).get("item")
            ids.append(_text(added, "id") if isinstance(added, dict) else "")
        refused = seen == "error"
        self._found("items", refused, f"system items are {'refused' if refused else f'answered by {seen}'}")
        return ids[0]

    def _replies(self, *, beside: bool = True) -> Generator[_Wait, dict[str, Any] | None, _Reply | None]:
        limit_s = self.profile.stall_timeout_s
        self._send({"type": "response.create", "response": {"instructions": _ASK}})
        message = yield _Wait(lambda m: m.get("type") in ("response.created", "error"), limit_s)
        response = (message or {}).get("response")
        if not isinstance(response, dict):
            self._found("speech", True, f"the model was asked to speak: {_cause(message)}")
            return None
        reply = _Reply(_text(response, "id"))
        if beside:
            other = {"conversation": "none", "metadata": {METADATA_KEY: "probe"}, "input": [], "instructions": WORD}
            reply.beside_event = self._send({"type": "response.create", "response": other})
        while not (reply.over if beside else reply.status):
            message = yield _Wait(lambda m: True, limit_s)
            if message is None:
                break
            _follow(reply, message)
        return reply

    def _judge_speech(self, reply: _Reply) -> None:
        if not reply.sound_bytes:
            self._found(
                "speech", True, f"the model was asked to speak, and sent no sound ({reply.status or 'nothing'})"
            )
            return
        profile, ms = self.profile, reply.sound_bytes / self.profile.bytes_per_ms
        cause = not_spoken(profile.encoding, ms, reply.words or COUNTED, "en", profile.agent.speed)
        if profile.encoding == "pcm":
            self._found("speech", False, f"{ms / 1000:.1f} s of PCM at 24 kHz")
        else:
            self._found("g711", bool(cause), cause or f"audio/{profile.encoding} is spoken")

    def _judge_notes(self, reply: _Reply, first_id: str) -> Script:
        words = reply.words.lower()
        if "apple" in words:
            self._found("notes", False, "the model knew both system items")
            return
        if "river" in words:
            self._found("notes", True, "the model knew the last system item only")
            return
        # It said something else. A model may not know what the conversation holds.
        message = yield from self._retrieve(first_id) if first_id else _nothing()
        kept = "apple" in json.dumps((message or {}).get("item"))
        seen = "the model said neither of two code words"
        self._found("notes", None, f"{seen}; both system items are in the conversation" if kept else seen)

    def _judge_beside(self, reply: _Reply) -> None:
        seen = {
            "ran": "a response outside the conversation runs beside another one",
            "refused": "a response outside the conversation is refused while another one runs",
            "waited": "a response outside the conversation waits until the other one is over",
            "replaced": "a response outside the conversation ends the one that the caller hears",
        }
        deviates = None if not reply.beside else reply.beside != "ran"
        self._found("parallel", deviates, seen.get(reply.beside, "a response outside the conversation did not come"))

    def _truncates(self, reply: _Reply) -> Script:
        if not reply.item_id:
            self._found("truncates", None, "there was no reply to be truncated")
            return
        end_ms = int(reply.sound_bytes / self.profile.bytes_per_ms / 2)
        given = {"item_id": reply.item_id, "content_index": 0, "audio_end_ms": end_ms}
        event_id = self._send({"type": "conversation.item.truncate", **given})
        message = yield _Wait(_answers(event_id, "conversation.item.truncated"), TRUNCATION_WAIT_S)
        if _text(message, "type") != "conversation.item.truncated":
            how = "is not answered" if message is None else f"is refused: {_cause(message)}"
            self._found("truncates", True, f"a truncation {how}")
            return
        # OpenAI keeps the sound, and drops the words. A server that has words only may have nothing left.
        message = yield from self._retrieve(reply.item_id)
        item = (message or {}).get("item")
        content = item.get("content") if isinstance(item, dict) else None
        if isinstance(content, list) and not any(_remains(part) for part in content):
            self._found("truncates", True, "a truncation is answered, and drops the whole item")
        else:
            self._found("truncates", False, "a truncation is answered")

    def _retrieve(self, item_id: str) -> Generator[_Wait, dict[str, Any] | None, dict[str, Any] | None]:
        event_id = self._send({"type": "conversation.item.retrieve", "item_id": item_id})
        message = yield _Wait(_answers(event_id, "conversation.item.retrieved"), ITEM_WAIT_S)
        return message if _text(message, "type") == "conversation.item.retrieved" else None

    def _responds_with_an_open_call(self) -> Script:
        self.add_call("call_probe", "probe", "{}")
        event_id = self._send({"type": "response.create", "response": {"instructions": WORD}})
        message = yield _Wait(_answers(event_id, "response.done"), self.profile.stall_timeout_s)
        response = (message or {}).get("response")
        if message is None:
            self._found("open_calls", True, "the model does not respond while a function call has no output")
        elif not isinstance(response, dict) or response.get("status") == "failed":
            self._found("open_calls", True, f"a function call without an output is refused: {_cause(message)}")
        else:
            self._found("open_calls", False, "the model responds while a function call has no output")
        self.answer_tool("call_probe", "{}")

    def _found(self, what: str, deviates: bool | None, seen: str) -> None:
        self.findings.append(Finding(what, deviates, seen))


def _follow(reply: _Reply, message: dict[str, Any]) -> None:
    """Note what a message means for the two responses."""
    kind, response = _text(message, "type"), message.get("response")
    kind = ALIASES.get(kind, kind)
    if isinstance(response, dict):
        response_id = _text(response, "id")
        metadata = response.get("metadata")
        if kind == "response.created" and isinstance(metadata, dict) and metadata.get(METADATA_KEY) == "probe":
            reply.beside_id = response_id
            if reply.status:
                reply.beside = "replaced" if reply.status == "cancelled" else "waited"
        elif kind == "response.done" and response_id == reply.response_id:
            reply.status = _text(response, "status") or "completed"
            if reply.beside_id and not reply.beside:
                reply.beside = "replaced" if reply.status == "cancelled" else "ran"
        return
    if kind == "error" and _is_error(message, reply.beside_event):
        reply.beside = reply.beside or "refused"
    elif message.get("response_id") in (reply.response_id, None):
        if kind == "response.output_audio.delta":
            reply.item_id = _text(message, "item_id")
            reply.sound_bytes += _bytes_in(message.get("delta"))
        elif kind == "response.output_audio_transcript.done":
            reply.words = f"{reply.words} {_text(message, 'transcript')}"[:LONGEST_WORDS]


def _nothing() -> Generator[_Wait, dict[str, Any] | None, None]:
    yield from ()


def _answers(event_id: str, *kinds: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a message is of one of these kinds, or refuses what was asked in that event."""
    return lambda message: message.get("type") in kinds or _is_error(message, event_id)


def _is_error(message: dict[str, Any], event_id: str) -> bool:
    """Whether this refuses what was asked in that event. Some servers do not say what they refuse."""
    error = message.get("error")
    return message.get("type") == "error" and isinstance(error, dict) and error.get("event_id") in (event_id, None, "")


def _cause(message: dict[str, Any] | None) -> str:
    if message is None:
        return "nothing came"
    error, response = message.get("error"), message.get("response")
    details = response.get("status_details") if isinstance(response, dict) else None
    if isinstance(details, dict):
        error = details.get("error")
    error = error if isinstance(error, dict) else {}
    parts = (str(error.get("code") or error.get("type") or "failed"), str(error.get("message") or ""))
    return ": ".join(part for part in parts if part)[:200]


def _text(message: object, key: str) -> str:
    value = message.get(key) if isinstance(message, dict) else None
    return value if isinstance(value, str) else ""


def _remains(part: object) -> bool:
    return isinstance(part, dict) and any(part.get(key) for key in ("audio", "text", "transcript"))


def _bytes_in(delta: object) -> int:
    try:
        return len(base64.b64decode(delta, validate=True)) if isinstance(delta, str) else 0
    except binascii.Error:
        return 0


# -- running them -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Probed:
    """The findings. ``failure``: why there was no session, or why it ended before all was asked."""

    findings: list[Finding] = field(default_factory=list)
    failure: ev.SessionFailed | None = None
    used: ev.Usage = field(default_factory=ev.Usage)


async def probe(realtime: RealtimeSettings, agent: AgentSettings) -> Probed:
    """Ask the server of these settings; ``agent`` gives the voice."""
    over = asyncio.Event()
    probed = Probed()

    def on_event(event: ev.Event) -> None:
        if isinstance(event, ev.SessionFailed):
            probed.failure = event
            over.set()

    asking = agent.model_copy(
        update={
            "instructions": _READER,
            "turn_detection": ServerVad(create_response=False),
            "transcription": None,
            "noise_reduction": None,
        }
    )
    profile = SessionProfile.of(asking, realtime)
    session = ProbeSession(profile, over.set)
    client = RealtimeClient(realtime, profile, on_event, session=session)
    running = asyncio.ensure_future(client.run())
    try:
        waiting = asyncio.ensure_future(over.wait())
        await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        probed.findings, probed.used = session.findings, session.usage
        if probed.failure is None and not running.done():
            probed.used += await _second(realtime, asking, probed.findings)
    finally:
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return probed


async def _second(realtime: RealtimeSettings, agent: AgentSettings, findings: list[Finding]) -> ev.Usage:
    """Try another session beside the first one: whether it is accepted, and whether it speaks G.711."""
    other = realtime.model_copy(update={"encoding": "pcmu"}) if realtime.encoding == "pcm" else realtime
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[ev.Event] = loop.create_future()
    here = False

    def on_event(event: ev.Event) -> None:
        nonlocal here
        match event:
            case ev.SessionReady():
                here = True
                client.session.say_out_of_band("probe", WORDS.format(COUNTED), alone=True)
                client.flush()
            case ev.OutOfBandEnded() | ev.SessionFailed() if not answered.done():
                answered.set_result(event)

    profile = SessionProfile.of(agent, other)
    client = RealtimeClient(other, profile, on_event)
    running = asyncio.ensure_future(client.run())
    try:
        await asyncio.wait((answered, running), timeout=SECOND_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    event = answered.result() if answered.done() else None
    asked_g711 = realtime.encoding == "pcm"
    match event:
        case ev.SessionFailed(full=True):
            findings.append(Finding("sessions", True, f"a second session is refused: {event.cause}"))
            return ev.Usage()
        case ev.SessionFailed(fault=ev.Fault.REQUEST) if asked_g711 and not here:
            # It was there, and refused what it was asked to be.
            findings.append(Finding("sessions", False, "a second session runs beside the first"))
            findings.append(Finding("g711", True, f"the server refuses audio/pcmu: {event.cause}"))
        case ev.OutOfBandEnded() if asked_g711:
            findings.append(Finding("sessions", False, "a second session runs beside the first"))
            failure = unheard(event, profile)
            seen = failure.cause if failure is not None else "audio/pcmu is spoken"
            findings.append(Finding("g711", failure is not None, seen))
        case _:
            seen = "runs beside the first" if here else f"did not come: {getattr(event, 'cause', 'no answer')}"
            findings.append(Finding("sessions", False if here else None, f"a second session {seen}"))
    return client.session.usage
