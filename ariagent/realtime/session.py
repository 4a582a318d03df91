"""A Realtime session without I/O: texts from the server in, events out; requests in, texts for the server out.

    session = RealtimeSession(profile)
    for event in session.receive(text, now): ...      # what happened
    for message in session.take_outgoing(): ...       # what to send

This is the protocol: what a message says, and how a wish is written. Whether a response is asked for, heard or given up
is for ``responses``; what the conversation holds is for ``items``.

Times are monotonic seconds, passed in. Protocol facts: OpenAI's Realtime (GA) reference and guides.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ariagent.realtime import decoding, faults, fields, formats
from ariagent.realtime import events as ev
from ariagent.realtime.bills import Bills
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.fields import (
    LARGEST,
    LONGEST_ARGUMENTS,
    LONGEST_CODE,
    LONGEST_ID,
    LONGEST_MESSAGE,
    LONGEST_WORDS,
    MalformedError,
    identifier,
    label,
    mapping,
    number,
    piece,
    text,
    words,
)
from ariagent.realtime.items import OPEN_CALL, Items, Outbox
from ariagent.realtime.mcp import McpCalls
from ariagent.realtime.out_of_band import CONFLICT, OutOfBandResponses
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.responses import Responses

NO_ANSWER = "response_failed"
"""speech-to-speech's code for an answer of its own that it does not make; an open function call is one reason."""
SILENT_ITEMS = ("message", "reasoning")
"""Items that are nothing to the caller unless there is audio in them."""
ALIASES = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "conversation.item.created": "conversation.item.added",
}
"""Names of the former beta protocol, which some compatible servers still use."""
PIECE_BYTES = 48_000
"""Audio is handed on in pieces of this size: converting it takes time, and some servers send a whole sentence."""


class State(Enum):
    CONNECTED = "connected"
    """Waiting for session.created."""
    CONFIGURING = "configuring"
    """session.update sent, waiting for session.updated."""
    READY = "ready"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of an item of the agent the caller heard when they interrupted."""

    item_id: str
    heard_ms: float


class RealtimeSession:
    """One conversation with the model. See the module's text for how to use it."""

    def __init__(self, profile: SessionProfile, understanding: Understanding | None = None) -> None:
        """``understanding``: of the server's dialect, which all its sessions share; None: it is OpenAI's."""
        self.profile = profile
        self.state = State.CONNECTED
        self.usage = ev.Usage()
        self.audio_origin_ms = 0.0
        """The caller's audio that was appended to former sessions: positions are told as if this one had had it."""
        self._understanding = understanding or Understanding.openai()
        self._outbox = Outbox()
        self._items = Items(self._outbox, self._understanding)
        self.responses = Responses(profile, self._outbox, self._items)
        self._out_of_band = OutOfBandResponses(self._understanding)
        self._mcp = McpCalls()
        self._bills = Bills()
        self._last_error: ev.RequestRefused | None = None
        self._untold = ""  # the caller's turn whose words are still to come

    # -- what goes out ---------------------------------------------------------------------------

    def take_outgoing(self) -> list[bytes]:
        """The messages to send now, in order; each is one WebSocket text frame in UTF-8."""
        return self._outbox.take()

    def request_response(self, now: float, instructions: str | None = None, *, tools: bool = True) -> None:
        """Have the model speak, as soon as nothing else of it is running; without ``tools`` it may call no function."""
        wanted: dict[str, Any] = {} if instructions is None else {"instructions": instructions}
        self.responses.want(wanted if tools else {**wanted, "tool_choice": "none"})
        self._pump(now)

    def say_out_of_band(self, key: str, instructions: str, *, alone: bool) -> None:
        """Have the model speak beside the conversation, unheard by the caller; OutOfBandEnded has the audio.

        ``alone``: it is not to know the conversation. What the caller hears does not wait for it, nor it for that.
        """
        self._out_of_band.want(key, instructions, alone=alone)
        self._ask_out_of_band(None)

    def add_text(self, role: str, text: str) -> None:
        """Add a message to the conversation: role ``user``, ``system`` or ``assistant`` (the agent said it before);
        nothing is spoken because of it.
        """
        self._items.add_text(role, text)

    def add_call(self, call_id: str, name: str, arguments: str) -> None:
        """Have the model know that it called a function, in a former session."""
        self._items.add_call(call_id, name, arguments)

    @property
    def response_pending(self) -> bool:
        """Something is being said, is to be said, or answers what the caller is saying."""
        return self.responses.pending

    @property
    def untold(self) -> bool:
        """The words of the caller's last turn are still to come."""
        return self._untold != ""

    def add_said(self, item_id: str, text: str, *, first: bool = True) -> None:
        """Have the model believe that it said this text; ``first``: at the beginning of the conversation."""
        self._items.add_said(item_id, text, first=first)

    def forget(self, item_id: str) -> None:
        """Have the model forget an item."""
        self._items.forget(item_id)

    def awaits_answer(self, item_id: str) -> bool:
        """The caller's turn with this item has ended, and no response to it has begun."""
        return self.responses.awaits_answer(item_id)

    def caller_silent(self, now: float) -> None:
        """The caller has been silent for so long that the server should have ended their turn: an answer is pending."""
        self.responses.caller_silent(now)
        self._pump(now)

    def dismiss(self, item_id: str, now: float) -> None:
        """The caller's turn with this item, which may not have ended yet, was none: cough, noise, a hum of agreement.

        The model forgets it, and what it answers to it, or will.
        """
        self.responses.dismiss(item_id, now)
        self._pump(now)

    def supersede(self, item_id: str, response_ids: Iterable[str], now: float) -> None:
        """The caller continues after the part of their turn with this item: nobody heard the answer to it, nor these
        responses. The model forgets them, and runs none of their tools."""
        self.responses.supersede(item_id, response_ids)
        self._pump(now)

    def answer_tool(self, call_id: str, output: str) -> bool:
        """Give the model the result of one of its function calls. False: the server would not wait for it, and the
        call has another output already; the result is to be told as a note."""
        return self._items.answer_call(call_id, output)

    def answer_tools_for_now(self) -> None:
        """Calls that still run get an output that says so."""
        self._items.answer_for_now()

    def interrupt(
        self, heard: Iterable[Heard], now: float, *, turn_over: bool = False, answers: tuple[str, ...] = ()
    ) -> None:
        """The caller interrupted: nothing more of the running response is wanted, and of what was
        generated only ``heard`` was heard.

        The server cancels by itself where the session says so; a cancel from us would be an error then. With
        ``turn_over`` the caller's turn has ended already: what is wanted, or runs as one of ``answers``, answers it and
        stays.
        """
        self.responses.interrupted(now, turn_over=turn_over, answers=answers)
        for item in heard:
            # Whole milliseconds, rounded down: past the end of the item is an error.
            self._items.cut(item.item_id, int(item.heard_ms), now)
        self._pump(now)

    def cancel(self, heard: Iterable[Heard], now: float) -> None:
        """Do as ``interrupt`` does, for a reason the server cannot know of (a digit, an operator)."""
        active = self.responses.active
        self.interrupt(heard, now)
        if active is not None and self.profile.server_interrupts:
            self.responses.cancel(active)

    def _send(self, message: dict[str, Any]) -> str:
        return self._outbox.send(message)

    def _pump(self, now: float) -> None:
        """Ask for what waited for this moment."""
        if self.state is State.READY:
            if self._out_of_band.waiting:
                self._ask_out_of_band(now)
            self.responses.ask(now)

    def _ask_out_of_band(self, now: float | None) -> None:
        quiet_from = self.responses.quiet_from()
        free = quiet_from is not None and quiet_from <= (now or 0.0)
        for response, wanted in self._out_of_band.take_due(now, free=free):
            self._out_of_band.asked(wanted, self._send({"type": "response.create", "response": response}))

    # -- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do although no text arrives."""
        if self.state is not State.READY:
            return None
        soonest = None
        for time in (
            self.responses.next_deadline(),
            self._items.next_deadline(),
            self._mcp_deadline(),
            self._out_of_band_deadline(),
        ):
            if time is not None and (soonest is None or time < soonest):
                soonest = time
        return soonest

    def _mcp_deadline(self) -> float | None:
        at = self._mcp.next_deadline()
        return at if at is not None and self._looks_at_tools else None

    def _out_of_band_deadline(self) -> float | None:
        if not self._out_of_band.waiting or not self._out_of_band.idle:
            return None
        if (quiet_from := self.responses.quiet_from()) is None:
            return None
        return max(self._out_of_band.next_deadline() or 0.0, quiet_from)

    def tick(self, now: float) -> list[ev.Event]:
        """Do what is due. SessionFailed: a response is pending, and the server says nothing."""
        happened: list[ev.Event] = []
        if self._looks_at_tools:
            happened, goes_on = self._mcp.tick(now)
            if goes_on:
                self.responses.want({})
        if self.responses.tick(now, tool_runs=self._mcp.running):
            cause = f"the model fell silent for {self.profile.stall_timeout_s:g} s in its turn"
            return self._fail(ev.SessionFailed(ev.Fault.SILENT, cause))
        self._items.tick(now)
        self._pump(now)
        return happened

    @property
    def _looks_at_tools(self) -> bool:
        """A tool that the provider runs has a time limit; its result is answered when nothing else is."""
        return self._mcp.running or self.responses.idle

    # -- what comes in ----------------------------------------------------------------------------

    def receive(self, data: str | bytes, now: float) -> list[ev.Event]:
        """Return the events that one message of the server stands for. Never raises for anything a server can send."""
        if self.state is State.CLOSED:
            return []
        try:
            message = decoding.read(data)
        except MalformedError as error:
            return [ev.InputMalformed(error.what, len(data))]
        kind: str = message["type"]
        if (handler := _HANDLERS.get(kind)) is None and kind in ALIASES:
            kind = ALIASES[kind]
            handler = _HANDLERS[kind]
        if kind.startswith("response.") and kind != "response.done":
            self.responses.progress(now)
        self._items.alive(now)
        if handler is None:
            return []
        try:
            happened = None if self._out_of_band.idle else self._take_out_of_band(kind, message, now)
            if happened is None:
                happened = handler(self, message, now)
        except (MalformedError, ValueError):
            return [ev.InputMalformed(kind[:LONGEST_CODE], len(data))]
        self._pump(now)
        return happened

    def _take_out_of_band(self, kind: str, message: dict[str, Any], now: float) -> list[ev.Event] | None:
        """Return the events of an out-of-band response in a message; None: it is about something else."""
        happened = self._out_of_band.take(kind, message, now, only=not self.responses.begins)
        return None if happened is None else [each for event in happened for each in self._counted(event, now)]

    def _counted(self, event: ev.Event, now: float) -> list[ev.Event]:
        """Count the use of an out-of-band response that ended."""
        if not isinstance(event, ev.OutOfBandEnded):
            return [event]
        try:
            audio_s = len(event.audio) / self.profile.bytes_per_ms / 1000
            self.usage += self._bills.believed(event.usage, now, audio_s)
        except MalformedError as error:
            return [replace(event, usage=ev.Usage()), ev.InputMalformed(error.what, 0)]
        return [event]

    def closed(self, code: int | None, reason: str) -> list[ev.Event]:
        """The connection is gone: close code (None: cut off without one) and reason as received."""
        if self.state is State.CLOSED:
            return []
        was, self.state = self.state, State.CLOSED
        ready, created = was is State.READY, was is not State.CONNECTED
        return [faults.loss(code, reason, self._last_error, ready=ready, created=created)]

    def _fail(self, failure: ev.SessionFailed) -> list[ev.Event]:
        self.state = State.CLOSED
        return [failure]

    def _on_created(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        mapping(message, "session")
        if self.state is State.CONNECTED:
            self.state = State.CONFIGURING
            self._send({"type": "session.update", "session": self.profile.session()})
        return []

    def _on_updated(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        session = mapping(message, "session")
        if self.state is not State.CONFIGURING:
            return []
        mismatch, remedy = self.profile.mismatch(session), formats.remedy(session)
        if not mismatch and self.profile.encoding != "pcm" and not self._understanding.now.g711:
            mismatch = f"the server acknowledges audio/{self.profile.encoding} and does not speak it"
            remedy = "Set realtime.encoding to pcm"
        if mismatch:
            cause = f"the model's audio would be noise: {mismatch}"
            return self._fail(ev.SessionFailed(ev.Fault.REQUEST, cause, remedy))
        self.state = State.READY
        self._bills.opened(now)
        expires_at = session.get("expires_at")
        ready = ev.SessionReady(
            label(session.get("id"), LONGEST_CODE),
            float(expires_at) if isinstance(expires_at, int | float) and 0 <= expires_at <= LARGEST else 0.0,
            self.profile.silence_wait_ms(session),
        )
        return [ready]

    def _on_error(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        error = mapping(message, "error")
        refused = fields.refused(error)
        self._last_error = refused
        event_id = error.get("event_id")
        event_id = event_id if isinstance(event_id, str) else None
        if refused.code == CONFLICT:
            self.responses.active_response_conflict(event_id, now)
        elif self.state is State.CONFIGURING:
            # A rejected session.update is discarded whole: continuing would mean talking as somebody else.
            where = f" ({refused.param})" if refused.param else ""
            return self._fail(faults.refusal(refused.code, refused.message + where))
        elif self.responses.asked_in(event_id):
            if self.responses.refused(refused.code):
                ended = ev.ResponseEnded("", "failed", refused.code, refused.message, ev.Usage())
                return [refused, *self._fail(faults.exhausted(ended))]
        else:
            # Whatever it is about, it is no reason to wait less: what is pending stays pending.
            self._items.refused(refused, event_id, now)
            if refused.code in (OPEN_CALL, NO_ANSWER):
                self.responses.not_made(refused.code)
        return [refused]

    def _on_speech_started(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        self.responses.caller_began(now)
        at_ms = self.audio_origin_ms + number(message, "audio_start_ms")
        return [ev.SpeechStarted(identifier(message, "item_id"), at_ms)]

    def _on_speech_stopped(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        self.responses.caller_ceased(now)
        at_ms = self.audio_origin_ms + number(message, "audio_end_ms")
        return [ev.SpeechStopped(identifier(message, "item_id"), at_ms)]

    def _on_committed(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        item_id = identifier(message, "item_id")
        previous = identifier(message, "previous_item_id") if message.get("previous_item_id") else None
        self._untold = item_id if self.profile.agent.transcription is not None else ""
        self.responses.turn_committed(item_id, now)
        return [ev.CallerTurnEnded(item_id, previous)]

    def _on_transcribed(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        return [self._told(message, words(message, "transcript"))]

    def _on_transcription_failed(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        return [self._told(message, None)]

    def _told(self, message: dict[str, Any], said: str | None) -> ev.Event:
        item_id = identifier(message, "item_id")
        if item_id == self._untold:
            self._untold = ""
        return ev.CallerTranscribed(item_id, said)

    def _on_truncated(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        item_id = identifier(message, "item_id")
        self._items.truncated(item_id)
        return [ev.ItemTruncated(item_id, int(number(message, "audio_end_ms")))]

    def _on_response_created(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        response = mapping(message, "response")
        response_id = identifier(response, "id")
        if response.get("conversation_id", "") is None:
            return []  # out of band: it does not write to the conversation
        answers = self.responses.started(response_id, now)
        self._mcp.answered()
        self._bills.began(response_id)
        return [ev.ResponseStarted(response_id, answers)]

    def _on_audio(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        response_id = self._response_of(message)
        delta = text(message, "delta")
        self._bills.brought(response_id, len(delta) * 3 / 4 / self.profile.bytes_per_ms / 1000)
        if self.responses.muted(response_id):
            return []
        audio = decoding.audio(delta)
        if audio:
            self.responses.brings(response_id, now)
            self._mcp.answered()
        item_id = identifier(message, "item_id")
        self._items.sounds(item_id, response_id, len(audio) / self.profile.bytes_per_ms)
        if len(audio) <= PIECE_BYTES:
            return [ev.AudioArrived(item_id, audio, response_id)]
        pieces = range(0, len(audio), PIECE_BYTES)
        return [ev.AudioArrived(item_id, audio[at : at + PIECE_BYTES], response_id) for at in pieces]

    def _on_audio_done(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        return [ev.AudioEnded(identifier(message, "item_id"), _named_response(message))]

    def _on_agent_transcript(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        response_id = _named_response(message)
        if self.responses.discarded(response_id or self.responses.active or ""):
            return []
        item_id, transcript = identifier(message, "item_id"), words(message, "transcript")
        self._items.words(item_id, response_id, transcript, all_of_them=True)
        return [ev.AgentTranscribed(item_id, transcript, response_id)]

    def _on_agent_words(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        item_id, delta = identifier(message, "item_id"), piece(message, "delta")[:LONGEST_WORDS]
        self._items.words(item_id, _named_response(message), delta, all_of_them=False)
        return []

    def _on_item_added(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        response_id, item = self._response_of(message), mapping(message, "item")
        self.responses.item_added(response_id, identifier(item, "id"))
        if item.get("type") not in SILENT_ITEMS:
            self.responses.brings(response_id, now)
        return [] if self.responses.muted(response_id) else self._mcp.take("response.output_item.added", message, now)

    def _on_mcp(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        return self._mcp.take(message["type"], message, now)

    def _on_item_done(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        item = mapping(message, "item")
        if item.get("type") == "function_call" and item.get("status", "completed") == "completed":
            call = ev.ToolCall(identifier(item, "call_id"), identifier(item, "name"), text(item, "arguments"))
            if len(call.arguments) > LONGEST_ARGUMENTS:
                raise MalformedError
            self.responses.called(self._response_of(message), call)
            return []
        return self._mcp.take("response.output_item.done", message, now)

    def _on_response_done(self, message: dict[str, Any], now: float) -> list[ev.Event]:
        response = mapping(message, "response")
        response_id, status = identifier(response, "id"), text(response, "status")[:LONGEST_CODE]
        happened: list[ev.Event] = []
        used = ev.Usage()
        try:
            used = self._bills.ended(response_id, response.get("usage"), now)
        except MalformedError as bad:
            happened.append(ev.InputMalformed(bad.what, 0))  # the response is over all the same
        self.usage += used
        reason, why = _cause(response)
        outcome = self.responses.ended(response_id, status, reason, now)
        ended = ev.ResponseEnded(
            response_id,
            status,
            ev.SILENT if outcome.nothing else reason,
            why,
            used,
            outcome.calls,
            unwanted=outcome.muted,
            superseded=outcome.superseded,
        )
        happened += self._mcp.ended(response_id, wanted=status == "completed" and not outcome.muted)
        if outcome.given_up:
            happened += self._fail(faults.exhausted(ended))
        return [ended, *happened]

    def _response_of(self, message: dict[str, Any]) -> str:
        """The response that an event belongs to; where a server leaves it out, the one that runs."""
        return identifier(message, "response_id") if "response_id" in message else self.responses.active or ""


def _named_response(message: dict[str, Any]) -> str:
    """The response that an event says it belongs to; some servers leave it out."""
    return label(message.get("response_id"), LONGEST_ID)


def _cause(response: dict[str, Any]) -> tuple[str, str]:
    """Why a response is not completed: a code, and a message."""
    details = response.get("status_details")
    details = details if isinstance(details, dict) else {}
    error = details.get("error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code") or error.get("type") or details.get("reason")
    return label(code, LONGEST_CODE), label(error.get("message"), LONGEST_MESSAGE)


# Not the instance's own: bound methods would keep every session until the garbage collector comes.
_HANDLERS: dict[str, Callable[[RealtimeSession, dict[str, Any], float], list[ev.Event]]] = {
    "session.created": RealtimeSession._on_created,
    "session.updated": RealtimeSession._on_updated,
    "error": RealtimeSession._on_error,
    "input_audio_buffer.speech_started": RealtimeSession._on_speech_started,
    "input_audio_buffer.speech_stopped": RealtimeSession._on_speech_stopped,
    "input_audio_buffer.committed": RealtimeSession._on_committed,
    "conversation.item.input_audio_transcription.completed": RealtimeSession._on_transcribed,
    "conversation.item.input_audio_transcription.failed": RealtimeSession._on_transcription_failed,
    "conversation.item.truncated": RealtimeSession._on_truncated,
    "response.created": RealtimeSession._on_response_created,
    "response.output_audio.delta": RealtimeSession._on_audio,
    "response.output_audio.done": RealtimeSession._on_audio_done,
    "response.output_audio_transcript.done": RealtimeSession._on_agent_transcript,
    "response.output_audio_transcript.delta": RealtimeSession._on_agent_words,
    "response.output_item.added": RealtimeSession._on_item_added,
    "response.output_item.done": RealtimeSession._on_item_done,
    "conversation.item.added": RealtimeSession._on_mcp,
    "conversation.item.done": RealtimeSession._on_mcp,
    "mcp_list_tools.failed": RealtimeSession._on_mcp,
    "response.mcp_call.completed": RealtimeSession._on_mcp,
    "response.mcp_call.failed": RealtimeSession._on_mcp,
    "response.done": RealtimeSession._on_response_done,
}
