"""A Realtime session as the server sees it: client events in, server events and commands out (CORE).

Time is an argument (seconds, monotonic). The driver feeds :meth:`Session.receive`, calls :meth:`Session.tick` at
:meth:`Session.next_deadline`, does what :meth:`Session.take` gives it, and brings back speech and recognition.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ariagent.sandbox.accepted import Limits
from ariagent.sandbox.faults import Fault
from ariagent.sandbox.hearing import TOGETHER, Hearing
from ariagent.sandbox.ids import Ids
from ariagent.sandbox.items import Conversation, Item, parse_item, spoken_part, truncate
from ariagent.sandbox.line import Close, Command, Line
from ariagent.sandbox.mcp import McpServers
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.responding import Responding
from ariagent.sandbox.scenario import Paraphrases, Scenario
from ariagent.sandbox.schema import ApiError, integer, nullable, text
from ariagent.sandbox.settings import PCM, Locks, default_session, merge
from ariagent.sandbox.state import State
from ariagent.sandbox.transcripts import Transcripts
from ariagent.sandbox.turns import Detector

Json = dict[str, Any]

_APPEND = '{"type":"input_audio_buffer.append","audio":"'
_CLAMP_AFTER = 0.04
"""Seconds from the refusal of a truncate past the end to its clamped confirmation, as seen in a live trace."""


class Observer(Protocol):
    """Sees what the client sends, and what responses are made from."""

    def note_received(self, event: Json) -> None:
        """Any event but an append, or something that is not an event."""
        ...

    def note_append(self, data: bytes) -> None:
        """An append, decoded."""
        ...

    def note_conversation(self, conversation: Json) -> None:
        """The conversation that a response is made from."""
        ...


class Session:
    """One connection's session. ``wall_time`` (Unix seconds) is only used for ``expires_at``."""

    def __init__(
        self,
        *,
        model: str,
        options: SandboxOptions,
        scenario: Scenario,
        detector: Detector | None,
        salt: str,
        wall_time: float,
        transcription: bool = False,
        observer: Observer | None = None,
        paraphrases: Paraphrases | None = None,
    ) -> None:
        faults = options.faults
        self._observer = observer
        self.line = Line(
            Ids(salt),
            echo_event_id=not faults.get("null_event_id"),
            beta_names=faults.get("beta_items") is not None,
            code_in_type=faults.get("code_in_type") is not None,
        )
        session_id = self.line.ids.next("sess")
        expires_at = int(wall_time + options.session_seconds)
        settings = default_session(session_id, model, expires_at, transcription=transcription)
        paraphrases = paraphrases or Paraphrases(options.paraphrase)
        self.state = State(settings, options, scenario, self.line, self.line.ids.next("conv"), paraphrases)
        self._limits = Limits(options.idle_timeout_min_ms)
        self._transcripts = Transcripts(self.state)
        self._mcp = McpServers(scenario, self.line, self._add_item, self._item_done)
        made_from = observer.note_conversation if observer is not None else lambda _: None
        self.responding = Responding(self.state, self._mcp, self._response_done, made_from)
        reflex = self.responding.reflex if options.detector == "reflex" and not transcription else None
        self.hearing = Hearing(
            self.state, detector, self._transcripts, self._turn_started, self.responding.answer, reflex
        )
        self._held: list[str] | None = []
        self._handlers: dict[str, Callable[[Json, float], None]] = {
            "session.update": self._session_update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": lambda _, now: self.hearing.commit(now),
            "input_audio_buffer.clear": lambda _, now: self.hearing.clear(),
            "conversation.item.create": self._item_create,
            "conversation.item.truncate": self._item_truncate,
            "conversation.item.delete": self._item_delete,
            "conversation.item.retrieve": self._item_retrieve,
            "response.create": self._response_create,
            "response.cancel": self._response_cancel,
            "output_audio_buffer.clear": self._not_here,
        }

    @property
    def conversation(self) -> Conversation:
        """The default conversation."""
        return self.state.conversation

    # -- the driver's side --

    def start(self, now: float) -> None:
        """The connection is up and the client may in."""
        late = self._fault("late_created")
        self.line.at(now + (late.number(2000) / 1000 if late else 0), self._created)
        self.line.at(now + self.state.options.session_seconds, self._expire)
        self.line.tick(now)

    def take(self) -> Iterator[Command]:
        """Take the events to send and the commands to run, in order."""
        while self.line.commands:
            yield self.line.commands.popleft()

    def next_deadline(self) -> float | None:
        """When to call :meth:`tick`."""
        return self.line.next_deadline()

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.line.tick(now)

    def speech_ready(self, key: str, audio: bytes, now: float) -> None:
        """The answer to a :class:`Synthesize` command."""
        self.responding.speech_ready(key, audio, now)

    def recognised(self, key: str, words: str, now: float) -> None:
        """The answer to a :class:`Recognise` command."""
        item_id = key.removesuffix(TOGETHER)
        known = self.state.heard if item_id == key else self.state.together
        if known.get(item_id, "") is not None:
            return  # given up
        known[item_id] = words
        if known is self.state.heard:
            self._transcripts.recognised(item_id, now)
        if self.state.is_heard(item_id):
            self.responding.recognised(item_id, now)

    def receive(self, message: str, now: float) -> None:
        """A text message of the client."""
        if self._held is not None:
            self._held.append(message)
            return
        if message.startswith(_APPEND):  # what a phone bridge sends fifty times a second
            end = message.find('"', len(_APPEND))
            if message[end:] == '"}':
                try:
                    self._append_base64(message[len(_APPEND) : end], now)
                except ApiError as error:
                    self.line.refuse(error, None)
                return
        event_id: str | None = None
        try:
            event = _parse(message)
            given = event.get("event_id")
            event_id = given if isinstance(given, str) else None
            if self._observer is not None and event.get("type") != "input_audio_buffer.append":
                self._observer.note_received(event)
            self._handler(event)(event, now)
        except ApiError as error:
            self.line.refuse(error, event_id)

    def receive_binary(self) -> None:
        """A binary message of the client: refused."""
        message = "Expected a text WebSocket message; binary frames are not supported."
        self.line.refuse(ApiError("invalid_event", message), None)

    # -- session --

    def _fault(self, name: str) -> Fault | None:
        return self.state.options.faults.get(name)

    def _created(self, now: float) -> None:
        self.line.emit("session.created", session=self._shown(self.state.settings))
        held, self._held = self._held or [], None
        for message in held:
            self.receive(message, now)

    def _expire(self, _: float) -> None:
        minutes = self.state.options.session_seconds / 60
        message = f"Your session hit the maximum duration of {minutes:g} minutes."
        self.line.refuse(ApiError("session_expired", message), None)
        self.line.commands.append(Close(1001, message))

    def _handler(self, event: Json) -> Callable[[Json, float], None]:
        kind = event.get("type")
        if kind is None:
            raise ApiError("missing_required_parameter", "Missing required parameter: 'type'.", "type")
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            names = ", ".join(f"'{name}'" for name in self._handlers)
            raise ApiError("invalid_value", f"Invalid value: '{kind}'. Supported values are: {names}.", "type")
        return handler

    def _session_update(self, event: Json, now: float) -> None:
        if "session" not in event:
            raise ApiError("missing_required_parameter", "Missing required parameter: 'session'.", "session")
        locks = Locks(voice=self.state.voice_locked, speed=self.responding.busy)
        settings = merge(self.state.settings, event["session"], locks, self._limits)
        if self._fault("format_mismatch"):
            for side in settings["audio"].values():
                side["format"] = dict(PCM)
        self.state.settings = settings
        self.hearing.configure()
        late = self._fault("late_updated")
        if late:
            self.line.at(now + late.number(2000) / 1000, lambda _: self._updated(settings))
        elif not self._fault("no_updated"):
            self._updated(settings)
        self._mcp.list_tools(settings.get("tools") or [], now)

    def _updated(self, settings: Json) -> None:
        self.line.emit("session.updated", session=self._shown(settings))

    def _shown(self, settings: Json) -> Json:
        if not self._fault("no_rate"):
            return settings
        sides = {side: {**part, "format": {"type": part["format"]["type"]}} for side, part in settings["audio"].items()}
        return {**settings, "audio": sides}

    def _not_here(self, event: Json, now: float) -> None:
        raise ApiError("invalid_value", f"'{event['type']}' is only for WebRTC and SIP.", "type")

    # -- audio --

    def _append(self, event: Json, now: float) -> None:
        if "audio" not in event:
            raise ApiError("missing_required_parameter", "Missing required parameter: 'audio'.", "audio")
        self._append_base64(text(event["audio"], "audio"), now)

    def _append_base64(self, encoded: str, now: float) -> None:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            message = "Invalid 'audio'. Expected base64-encoded audio bytes but got an invalid value."
            raise ApiError("invalid_value", message, "audio") from None
        if self._observer is not None:
            self._observer.note_append(data)
        self.hearing.append(data, now)

    def _turn_started(self, now: float) -> None:
        detection = self.state.turn_detection or {}
        if detection.get("interrupt_response"):
            self.responding.interrupt(now)

    def _response_done(self, playback_ends: float) -> None:
        self.hearing.arm_idle(playback_ends)

    def _response_create(self, event: Json, now: float) -> None:
        if self.state.is_transcription:
            raise ApiError("invalid_value", "A transcription session makes no responses.", "type")
        self.hearing.cancel_idle()
        self.responding.create(event.get("response"), now)

    def _response_cancel(self, event: Json, now: float) -> None:
        self.responding.cancel(nullable(text)(event.get("response_id"), "response_id"), now)

    # -- items --

    def _item_create(self, event: Json, now: float) -> None:
        ids = self.line.ids
        if "item" not in event:
            raise ApiError("missing_required_parameter", "Missing required parameter: 'item'.", "item")
        item = parse_item(event["item"], ids.next("item"), ids.next("call"))
        if item.type == "mcp_approval_response":
            self._mcp.answered(item, now)
        self.conversation.insert(item, nullable(text)(event.get("previous_item_id"), "previous_item_id"))
        self._announce(item, "conversation.item.added", "conversation.item.done")

    def _add_item(self, item: Item) -> None:
        self.conversation.append(item)
        self._announce(item, "conversation.item.added")

    def _item_done(self, item: Item) -> None:
        self._announce(item, "conversation.item.done")

    def _announce(self, item: Item, *kinds: str) -> None:
        if self.conversation.get(item.id) is not item:
            return  # deleted meanwhile
        previous = self.conversation.previous_id(item)
        for kind in kinds:
            self.line.emit(kind, previous_item_id=previous, item=item.public())

    def _item_truncate(self, event: Json, now: float) -> None:
        if self._fault("no_truncated"):
            return
        item = self.conversation.find(event.get("item_id"), "truncate")
        audio_end_ms = integer(0)(event.get("audio_end_ms"), "audio_end_ms")
        generated_ms = int(spoken_part(item, event.get("content_index")).audio_ms)
        if audio_end_ms > generated_ms:
            if self.state.options.clamp_truncation:
                self.line.at(now + _CLAMP_AFTER, lambda _: self._cut(item.id, generated_ms))
            message = f"Audio content of {generated_ms}ms is already shorter than {audio_end_ms}ms"
            raise ApiError("invalid_value", message, "audio_end_ms")
        self._cut(item.id, audio_end_ms)

    def _cut(self, item_id: str, audio_end_ms: int) -> None:
        item = self.conversation.get(item_id)
        if item is not None:  # it may have been deleted while the clamped cut waited
            truncate(item, audio_end_ms)
            self.line.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=audio_end_ms)

    def _item_delete(self, event: Json, now: float) -> None:
        item = self.conversation.find(event.get("item_id"), "delete")
        self.conversation.delete(item)
        self.line.emit("conversation.item.deleted", item_id=item.id)

    def _item_retrieve(self, event: Json, now: float) -> None:
        item = self.conversation.find(event.get("item_id"), "retrieve")
        self.line.emit("conversation.item.retrieved", item=item.public(with_audio=True))


def _parse(message: str) -> Json:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise ApiError("invalid_json", "The message is not valid JSON.") from None
    if not isinstance(event, dict):
        raise ApiError("invalid_event", "The message must be a JSON object.")
    return event
