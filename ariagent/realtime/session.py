"""A Realtime session without I/O: texts from the server in, events out; requests in, texts for the server out.

    session = RealtimeSession(profile)
    for event in session.receive(text, now): ...      # what happened
    for message in session.take_outgoing(): ...       # what to send

Times are monotonic seconds, passed in. Protocol facts: OpenAI's Realtime (GA) reference and guides.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ariagent.realtime import decoding, faults, fields, formats
from ariagent.realtime import events as ev
from ariagent.realtime.answers import Answers
from ariagent.realtime.bills import Bills
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.fields import (
    LARGEST,
    LONGEST_ARGUMENTS,
    LONGEST_CODE,
    LONGEST_ID,
    LONGEST_MESSAGE,
    MalformedError,
    forget_oldest,
    identifier,
    label,
    mapping,
    number,
    text,
    words,
)
from ariagent.realtime.gate import ResponseGate
from ariagent.realtime.items import Items, Outbox
from ariagent.realtime.mcp import McpCalls
from ariagent.realtime.out_of_band import OutOfBandResponses
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.response_timeout import ResponseTimeout, TimeoutStep

MUTED_KEPT = 32
CALLS_KEPT = 8
"""Responses whose function calls are kept until they are over."""
MOST_CALLS = 32
"""Function calls of one response."""
LONGEST_TURN_S = 30.0
"""A server that does not say that the caller fell silent is not waited for any longer."""
FAILURES_BORNE = 1
"""Responses that may fail, or bring nothing, one after another before the model is given up."""
BROKEN_OFF_BORNE = 2
"""Responses that may break off before they bring anything, one after another."""
OPEN_CALL = "function_call_output_pending"
"""speech-to-speech's code for a response that it does not make while a function call has no output ..."""
NO_ANSWER = "response_failed"
"""... and for an answer of its own that it does not make, for that reason among others."""
UNPAID = "insufficient_quota"
INTERRUPTED = '{"error": "the caller interrupted; this was not done"}'
BROKEN_OFF = '{"error": "the response broke off before it was complete; this was not done"}'
"""Results of function calls that are not run."""
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
_BYTES_PER_S = {"pcm": 48_000, "pcmu": 8_000, "pcma": 8_000}


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
        self._understanding = understanding or Understanding.openai()
        self.state = State.CONNECTED
        self.gate = ResponseGate()
        self.usage = ev.Usage()
        self.audio_origin_ms = 0.0
        """The caller's audio that was appended to former sessions: positions are told as if this one had had it."""
        self._outbox = Outbox()
        self._items = Items(self._outbox, self._understanding)
        self._last_error: ev.RequestRefused | None = None
        self._answers = Answers()
        self._out_of_band = OutOfBandResponses(self._understanding)
        self._response_timeout = ResponseTimeout(profile.stall_timeout_s)
        self._mcp = McpCalls()
        self._bills = Bills()
        self._ready_at = 0.0
        self._calls: dict[str, list[ev.ToolCall]] = {}
        self._muted: dict[str, None] = {}
        self._failures = 0  # responses that failed, or were nothing, one after another
        self._gave_up = False  # the model, which responded and said nothing
        self._untold = ""  # the caller's turn whose words are still to come
        self._sounding = ""  # the response that has brought something: sound, or a function call
        self._unwanted = False  # the response that we asked for and that has not begun
        self._conflicted = False  # the server could not answer the caller's turn by itself
        self._lost_answer = False  # the server's own, to a dismissed turn: refused, as another response runs
        self._caller_until = 0.0  # a turn of the caller's goes on, until then at most
        self._fulfilled: dict[str, None] = {}  # responses that made one of ours unnecessary

    # -- what goes out ---------------------------------------------------------------------------

    def take_outgoing(self) -> list[bytes]:
        """The messages to send now, in order; each is one WebSocket text frame in UTF-8."""
        return self._outbox.take()

    def request_response(self, now: float, instructions: str | None = None, *, tools: bool = True) -> None:
        """Have the model speak, as soon as nothing else of it is running; without ``tools`` it may call no function."""
        wanted: dict[str, Any] = {} if instructions is None else {"instructions": instructions}
        self.gate.request(wanted if tools else {**wanted, "tool_choice": "none"})
        self._pump(now)

    def say_out_of_band(self, key: str, instructions: str, *, alone: bool) -> None:
        """Have the model speak beside the conversation, unheard by the caller; OutOfBandEnded has the audio. ``alone``:
        it is not to know the conversation. What the caller hears does not wait for it, nor it for that."""
        self._out_of_band.want(key, instructions, alone=alone)
        self._pump_out_of_band(None)

    def _pump_out_of_band(self, now: float | None) -> None:
        free = self._free and max(self._caller_until, self.gate.closed_until) <= (now or 0.0)
        for response, out_of_band in self._out_of_band.take_due(now, free=free):
            self._out_of_band.asked(out_of_band, self._send({"type": "response.create", "response": response}))

    @property
    def _free(self) -> bool:
        """No response runs, or is about to, as far as it is known."""
        return self.gate.idle and not self._response_timeout.answer_pending

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
        return not self.gate.idle or self._response_timeout.answer_pending or self._caller_until > 0 or self._gave_up

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
        return self._answers.awaits(item_id)

    def caller_silent(self, now: float) -> None:
        """The caller has been silent for so long that the server should have ended their turn: an answer is pending."""
        self._caller_until = 0.0
        self._response_timeout.answer_awaited(now)
        self._pump(now)

    def dismiss(self, item_id: str, now: float) -> None:
        """The caller's turn with this item, which may not have ended yet, was none: cough, noise, a hum of agreement.

        The model forgets it, and what it answers to it, or will.
        """
        self._caller_until = 0.0
        awaited = self._answers.awaits(item_id)
        committed, response_id = self._answers.dismiss(item_id)
        if committed:
            self.forget(item_id)
        if awaited:
            self._answer_not_wanted(now)
        if response_id is not None:
            self._discard(response_id)
        self._pump(now)

    def _answer_not_wanted(self, now: float) -> None:
        self._response_timeout.answer_waived(now)
        if self._conflicted:
            # The server could not answer because something else was running, and we would have asked it to.
            self._conflicted = False
            self.gate.withdraw()

    def _discard(self, response_id: str) -> None:
        if self._fulfilled.pop(response_id, "") is None:
            self.gate.request({})
        self._mute(response_id)
        if self.gate.active == response_id:
            self._send({"type": "response.cancel", "response_id": response_id})
            return  # its items go when it is done
        for item_id in self._answers.items(response_id):
            self.forget(item_id)

    def answer_tool(self, call_id: str, output: str) -> bool:
        """Give the model the result of one of its function calls. False: the server would not wait for it, and the
        call has another output already; the result is to be told as a note."""
        return self._items.answer_call(call_id, output)

    def answer_tools_for_now(self) -> None:
        """Calls that still run get an output that says so."""
        self._items.answer_for_now()

    def interrupt(self, heard: Iterable[Heard], now: float, *, turn_over: bool = False, answer: str = "") -> None:
        """The caller interrupted: nothing more of the running response is wanted, and of what was
        generated only ``heard`` was heard.

        The server cancels by itself where the session says so; a cancel from us would be an error then. With
        ``turn_over`` the caller's turn has ended already: what is wanted, or runs as ``answer``, answers it and stays.
        """
        if not turn_over:
            self._unwanted = self.gate.withdraw()
            if self._unwanted:
                self._response_timeout.settled(now)
        active = self.gate.active
        if active is not None and active != answer:
            self._mute(active)
            if not self.profile.server_interrupts:
                self._send({"type": "response.cancel", "response_id": active})
        for item in heard:
            # Whole milliseconds, rounded down: past the end of the item is an error.
            self._items.cut(item.item_id, int(item.heard_ms), now)
        self._pump(now)

    def cancel(self, heard: Iterable[Heard], now: float) -> None:
        """As ``interrupt``, for a reason the server cannot know of (a digit, an operator)."""
        active = self.gate.active
        self.interrupt(heard, now)
        if active is not None and self.profile.server_interrupts:
            self._send({"type": "response.cancel", "response_id": active})

    def _mute(self, response_id: str) -> None:
        self._muted[response_id] = None
        forget_oldest(self._muted, MUTED_KEPT)

    def _send(self, message: dict[str, Any]) -> str:
        return self._outbox.send(message)

    def _pump(self, now: float) -> None:
        # What is asked for while the caller speaks waits for their turn; its answer may make it unnecessary.
        if self.state is not State.READY or now < self._caller_until:
            return
        self._pump_out_of_band(now)
        if (response := self.gate.take(now)) is not None:
            self._items.before_response()
            self.gate.asked(self._send({"type": "response.create", "response": response}))
            self._unwanted = False
            self._response_timeout.response_asked(now)

    # -- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do although no text arrives."""
        if self.state is not State.READY:
            return None
        wanted = self.gate.next_deadline()
        wanted = None if wanted is None else max(wanted, self._caller_until)
        out_of_band = self._out_of_band.next_deadline() if self._free and self._out_of_band.idle else None
        out_of_band = None if out_of_band is None else max(out_of_band, self._caller_until, self.gate.closed_until)
        times = (
            wanted,
            self._response_timeout.next_deadline(),
            self._items.next_deadline(),
            self._mcp.next_deadline() if self._mcp.running or self.gate.idle else None,
            out_of_band,
        )
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> list[ev.Event]:
        """Do what is due. SessionFailed: a response is pending, and the server says nothing."""
        happened = self._tick_mcp(now)
        match self._response_timeout.judge(now):
            case TimeoutStep.GIVE_UP if self._mcp.running:
                self._response_timeout.progress(now)
            case TimeoutStep.GIVE_UP:
                cause = f"the model fell silent for {self._response_timeout.limit_s:g} s in its turn"
                return self._fail(ev.SessionFailed(ev.Fault.SILENT, cause))
            case TimeoutStep.ASK:
                self._response_timeout.response_asked(now)
                self.gate.request({})
        self._items.tick(now)
        self._pump(now)
        return happened

    def _tick_mcp(self, now: float) -> list[ev.Event]:
        if not (self._mcp.running or self.gate.idle):
            return []
        happened, goes_on = self._mcp.tick(now)
        if goes_on:
            self.gate.request({})
        return happened

    # -- what comes in ----------------------------------------------------------------------------

    def receive(self, data: str | bytes, now: float) -> list[ev.Event]:
        """What one message of the server means. Never raises for anything a server can send."""
        if self.state is State.CLOSED:
            return []
        try:
            message = decoding.read(data)
        except MalformedError as error:
            return [ev.InputMalformed(error.what, len(data))]
        kind: str = ALIASES.get(message["type"], message["type"])
        if kind.startswith("response.") and kind != "response.done":
            self._response_timeout.progress(now)
        self._items.alive(now)
        handler = _HANDLERS.get(kind)
        if handler is None:
            return []
        try:
            only = not (self.gate.in_flight or self._response_timeout.answer_pending)
            if (
                not self._out_of_band.idle
                and (happened := self._out_of_band.take(kind, message, now, only=only)) is not None
            ):
                self._pump(now)
                return [each for event in happened for each in self._counted(event, now)]
            happened = list(handler(self, message, now))
        except (MalformedError, ValueError):
            return [ev.InputMalformed(kind[:LONGEST_CODE], len(data))]
        self._pump(now)
        return happened

    def _counted(self, event: ev.Event, now: float) -> Iterable[ev.Event]:
        """Count the use of an out-of-band response that ended."""
        if not isinstance(event, ev.OutOfBandEnded):
            return (event,)
        try:
            audio_s = len(event.audio) / _BYTES_PER_S[self.profile.encoding]
            self.usage += self._bills.believed(event.usage, now - self._ready_at, audio_s)
        except MalformedError as error:
            return (replace(event, usage=ev.Usage()), ev.InputMalformed(error.what, 0))
        return (event,)

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

    def _on_created(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        mapping(message, "session")
        if self.state is State.CONNECTED:
            self.state = State.CONFIGURING
            self._send({"type": "session.update", "session": self.profile.session()})
        return ()

    def _on_updated(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        session = mapping(message, "session")
        if self.state is not State.CONFIGURING:
            return ()
        mismatch, remedy = self.profile.mismatch(session), formats.remedy(session)
        if not mismatch and self.profile.encoding != "pcm" and not self._understanding.now.g711:
            mismatch = f"the server acknowledges audio/{self.profile.encoding} and does not speak it"
            remedy = "Set realtime.encoding to pcm"
        if mismatch:
            return self._fail(
                ev.SessionFailed(ev.Fault.REQUEST, f"the model's audio would be noise: {mismatch}", remedy)
            )
        self.state = State.READY
        self._ready_at = now
        expires_at = session.get("expires_at")
        ready = ev.SessionReady(
            label(session.get("id"), LONGEST_CODE),
            float(expires_at) if isinstance(expires_at, int | float) and 0 <= expires_at <= LARGEST else 0.0,
            self.profile.silence_wait_ms(session),
        )
        return (ready,)

    def _on_error(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        error = mapping(message, "error")
        refused = fields.refused(error)
        self._last_error = refused
        event_id = error.get("event_id")
        event_id = event_id if isinstance(event_id, str) else None
        if refused.code == "conversation_already_has_active_response" and event_id is None and self._lost_answer:
            self._lost_answer = False  # nobody wants it
        elif refused.code == "conversation_already_has_active_response":
            self._conflicted = event_id is None and self._response_timeout.answer_pending
            self.gate.active_response_conflict(now, event_id, answer_pending=self._response_timeout.answer_pending)
        elif self.state is State.CONFIGURING:
            # A rejected session.update is discarded whole: going on would mean talking as somebody else.
            where = f" ({refused.param})" if refused.param else ""
            return self._fail(faults.refusal(refused.code, refused.message + where))
        elif self._unwanted and self.gate.asked_in(event_id):
            self._unwanted = False
            self.gate.dropped()
        elif self.gate.asked_in(event_id):
            ended = ev.ResponseEnded("", "failed", refused.code, refused.message, ev.Usage())
            return (refused, *self._response_failed(ended))
        else:
            # Whatever it is about, it is no reason to wait less: what is pending stays pending.
            self._items.refused(refused, event_id, now)
            if refused.code in (OPEN_CALL, NO_ANSWER) and self._answered_open_calls(refused.code):
                self.gate.failed()
        return (refused,)

    def _answered_open_calls(self, code: str) -> bool:
        """Whether a response may have failed because functions still run; they have an output now."""
        if code == OPEN_CALL:
            self._understanding.found("open_calls", "no response while a function call had no output")
        elif not self._understanding.learns and self._understanding.now.open_calls:
            return False
        return self._items.answer_for_now()

    def _response_failed(self, ended: ev.ResponseEnded) -> list[ev.Event]:
        """A failed response is silence to the caller: ask once more, then give the model up."""
        if ended.status == "failed" and ended.reason != UNPAID and self._answered_open_calls(ended.reason):
            self.gate.failed()
            return []
        self._failures += 1
        if self._failures > FAILURES_BORNE or ended.reason == UNPAID:
            self._gave_up = True
            return self._fail(faults.exhausted(ended))
        self.gate.failed()
        return []

    def _on_speech_started(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        self._response_timeout.answer_waived(now)
        self._items.before_response()
        self._caller_until = now + LONGEST_TURN_S
        at_ms = self.audio_origin_ms + number(message, "audio_start_ms")
        return (ev.SpeechStarted(identifier(message, "item_id"), at_ms),)

    def _on_speech_stopped(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        self._caller_until = 0.0
        if self.profile.server_answers:
            # Already here: asked for between this and the commit, a response would come beside the server's own.
            self.gate.turn_ended(now)
        at_ms = self.audio_origin_ms + number(message, "audio_end_ms")
        return (ev.SpeechStopped(identifier(message, "item_id"), at_ms),)

    def _on_committed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        self._unwanted = False  # what begins from now on answers this turn
        self._conflicted = False
        item_id = identifier(message, "item_id")
        self._untold = item_id if self.profile.agent.transcription is not None else ""
        previous = message.get("previous_item_id")
        ended = ev.CallerTurnEnded(item_id, identifier(message, "previous_item_id") if previous else None)
        if self._answers.turn_ended(item_id):
            self.forget(item_id)
            if self.profile.server_answers:
                self.gate.turn_ended(now)
                self._lost_answer = self.gate.active is not None and not self.gate.in_flight
            return (ended,)
        if self.profile.server_answers:
            self.gate.turn_ended(now)
            self._response_timeout.answer_awaited(now)
        else:
            self.gate.request({})
        return (ended,)

    def _on_transcribed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (self._told(message, words(message, "transcript")),)

    def _on_transcription_failed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (self._told(message, None),)

    def _told(self, message: dict[str, Any], said: str | None) -> ev.Event:
        item_id = identifier(message, "item_id")
        if item_id == self._untold:
            self._untold = ""
        return ev.CallerTranscribed(item_id, said)

    def _on_truncated(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        item_id = identifier(message, "item_id")
        self._items.truncated(item_id)
        return (ev.ItemTruncated(item_id, int(number(message, "audio_end_ms"))),)

    def _on_response_created(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response = mapping(message, "response")
        response_id = identifier(response, "id")
        if response.get("conversation_id", "") is None:
            return ()  # out of band: it does not write to the conversation
        asked = self.gate.in_flight and self.profile.server_answers and not self._conflicted
        answers = self._answers.response_started(response_id, asked_otherwise=asked)
        self._conflicted = self._lost_answer = False
        self.gate.started(response_id)
        self._mcp.answered()
        self._bills.began(response_id)
        self._response_timeout.response_begun(now)
        if self._answers.discarded(response_id):
            self._discard(response_id)
        elif answers is not None and self.gate.fulfilled() is not None:
            self._fulfilled[response_id] = None
            forget_oldest(self._fulfilled, MUTED_KEPT)
        elif self._unwanted:
            self._unwanted = False
            self._mute(response_id)
            self._send({"type": "response.cancel", "response_id": response_id})
        return (ev.ResponseStarted(response_id, answers),)

    def _on_audio(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response_id = self._response_of(message)
        delta = text(message, "delta")
        self._bills.brought(response_id, len(delta) * 3 / 4 / _BYTES_PER_S[self.profile.encoding])
        if response_id in self._muted:
            return ()
        audio = base64.b64decode(delta, validate=True)
        if audio:
            self._brings(response_id, now)
            self._mcp.answered()
        item_id = identifier(message, "item_id")
        self._items.sounds(item_id, response_id, len(audio) / self.profile.bytes_per_ms)
        return [ev.AudioArrived(item_id, audio[at : at + PIECE_BYTES], response_id) for at in _pieces(audio)]

    def _on_audio_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.AudioEnded(identifier(message, "item_id"), _response_of(message)),)

    def _on_agent_transcript(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        if (response_id := _response_of(message)) and self._answers.discarded(response_id):
            return ()
        item_id, transcript = identifier(message, "item_id"), words(message, "transcript")
        self._items.words(item_id, response_id, transcript, all_of_them=True)
        return (ev.AgentTranscribed(item_id, transcript, response_id),)

    def _on_agent_words(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        item_id, delta = identifier(message, "item_id"), words(message, "delta")
        self._items.words(item_id, _response_of(message), delta, all_of_them=False)
        return ()

    def _on_item_added(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response_id, item = self._response_of(message), mapping(message, "item")
        self._answers.item_added(response_id, identifier(item, "id"))
        if item.get("type") not in SILENT_ITEMS:
            self._brings(response_id, now)
        return () if response_id in self._muted else self._mcp.take("response.output_item.added", message, now)

    def _on_mcp(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return self._mcp.take(message["type"], message, now)

    def _brings(self, response_id: str, now: float) -> None:
        """The response has something that is heard, or done."""
        self._sounding = response_id
        self._response_timeout.heard(now)

    def _on_item_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        item = mapping(message, "item")
        if item.get("type") == "function_call" and item.get("status", "completed") == "completed":
            call = ev.ToolCall(identifier(item, "call_id"), identifier(item, "name"), text(item, "arguments"))
            calls = self._calls.setdefault(self._response_of(message), [])
            forget_oldest(self._calls, CALLS_KEPT)
            if len(call.arguments) > LONGEST_ARGUMENTS or len(calls) >= MOST_CALLS:
                raise MalformedError
            calls.append(call)
            return ()
        return self._mcp.take("response.output_item.done", message, now)

    def _on_response_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response = mapping(message, "response")
        response_id, status = identifier(response, "id"), text(response, "status")[:LONGEST_CODE]
        used, failed = ev.Usage(), list[ev.Event]()
        try:
            used = self._bills.ended(response_id, response.get("usage"), now - self._ready_at)
        except MalformedError as bad:
            failed.append(ev.InputMalformed(bad.what, 0))  # the response is over all the same
        self.usage += used
        # Calls of a response that did not complete, or that the caller interrupted, are never run, least of all a
        # hang-up; but each wants exactly one answer.
        calls = self._calls.pop(response_id, [])
        muted = response_id in self._muted
        if self._answers.discarded(response_id):
            for item_id in self._answers.items(response_id):
                self.forget(item_id)
            calls = []
        elif status != "completed" or muted:
            why = BROKEN_OFF if status in ("incomplete", "failed") and not muted else INTERRUPTED
            for call in calls:
                self.answer_tool(call.call_id, why)
            calls = []
        self._items.called(tuple(calls))
        silent = not (muted or calls) and self._was_nothing(response_id)
        nothing = silent and status == "completed"
        failed += self._mcp.ended(response_id, wanted=status == "completed" and not muted)
        details = response.get("status_details")
        details = details if isinstance(details, dict) else {}
        error = details.get("error")
        error = error if isinstance(error, dict) else {}
        reason = error.get("code") or error.get("type") or details.get("reason")
        ended = ev.ResponseEnded(
            response_id,
            status,
            ev.SILENT if nothing else label(reason, LONGEST_CODE),
            label(error.get("message"), LONGEST_MESSAGE),
            used,
            tuple(calls),
            unwanted=muted,
        )
        # Muted: the caller is speaking, and what they say is answered, not what they interrupted.
        if nothing or (status == "failed" and not muted):
            failed += self._response_failed(ended)
        elif silent and status == "incomplete":
            self._failures += 1
            if self._failures > BROKEN_OFF_BORNE:
                self._gave_up = True
                failed += self._fail(faults.exhausted(ended))
        elif status != "failed":
            self._failures = 0
        self._fulfilled.pop(response_id, None)
        self.gate.ended(response_id)
        self._items.response_ended(response_id, completed=status == "completed")
        if self.gate.active is None:
            self._response_timeout.settled(now)
        return (ended, *failed)

    def _response_of(self, message: dict[str, Any]) -> str:
        """The response that an event belongs to; where a server leaves it out, the one that runs."""
        return identifier(message, "response_id") if "response_id" in message else self.gate.active or ""

    def _was_nothing(self, response_id: str) -> bool:
        """Nothing came of the response that the caller waited for."""
        return response_id not in ("", self._sounding) and response_id == self.gate.active


def _response_of(message: dict[str, Any]) -> str:
    """The response that an event belongs to; some servers leave it out."""
    return label(message.get("response_id"), LONGEST_ID)


def _pieces(audio: bytes) -> range:
    """The places where its pieces begin; one piece also if it is empty."""
    return range(0, max(len(audio), 1), PIECE_BYTES)


# Not the instance's own: bound methods would keep every session until the garbage collector comes.
_HANDLERS: dict[str, Callable[[RealtimeSession, dict[str, Any], float], Iterable[ev.Event]]] = {
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
