"""Speech that the model makes beside the conversation, and that the caller does not hear. CORE.

A response with ``conversation: none`` runs beside the one that the caller hears and leaves no trace in the conversation
(source: OpenAI's Realtime guide, out-of-band responses). It is known by its metadata. Some servers run one response at
a time: there it waits until nothing else runs, and is asked for again if the server refused it or ended it for another.
"""

from dataclasses import dataclass, field
from typing import Any

from ariagent.realtime import decoding
from ariagent.realtime import events as ev
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.fields import LONGEST_ID, MalformedError, identifier, label, refused, text, usage, words

METADATA_KEY = "ariagent"
MOST_AUDIO_BYTES = 60 * 48_000
"""The longest audio of one response that is kept: a minute of it."""
CONFLICT = "conversation_already_has_active_response"
TRIES = 4
AGAIN_S = 0.5
"""Seconds before a response is asked for again: the response that it met may be one that nobody told us of."""


@dataclass(slots=True)
class _Response:
    key: str
    response: dict[str, Any]
    """The response's part of ``response.create``."""
    tries: int = 0
    not_before: float = 0.0
    alone: bool = False
    """The response met another one: it waits until nothing else runs."""
    used: ev.Usage = field(default_factory=ev.Usage)
    """The use of former tries."""
    audio: bytearray = field(default_factory=bytearray)
    transcript: str = ""


class OutOfBandResponses:
    """The out-of-band responses of one session. ``want`` orders one, ``take_due`` returns what is to be asked for now,
    ``take`` consumes the server's messages about one."""

    def __init__(self, understanding: Understanding | None = None) -> None:
        self._understanding = understanding or Understanding.openai()
        self._wanted: list[_Response] = []
        self._asked: dict[str, _Response] = {}  # asked for and not begun, by event id
        self._running: dict[str, _Response] = {}  # begun, by response id

    @property
    def idle(self) -> bool:
        """None is on its way."""
        return not self._asked and not self._running

    @property
    def waiting(self) -> bool:
        """One is wanted that was not asked for yet, or is to be asked for again."""
        return bool(self._wanted)

    def want(self, key: str, instructions: str, *, alone: bool) -> None:
        """Have one made; ``alone``: the model is not to know the conversation."""
        response: dict[str, Any] = {
            "conversation": "none",
            "metadata": {METADATA_KEY: key},
            "instructions": instructions,
            "output_modalities": ["audio"],
            "tools": [],
        }
        self._wanted.append(_Response(key, {**response, "input": []} if alone else response))

    def next_deadline(self) -> float | None:
        """The time of the next ``take_due``, should nothing happen before."""
        return min((wanted.not_before for wanted in self._wanted), default=None)

    def take_due(self, now: float | None, *, free: bool) -> list[tuple[dict[str, Any], _Response]]:
        """The responses to ask for now (None: at the first moment), each with what ``asked`` is to be told; ``free``:
        no other response runs, or is about to."""
        due: list[tuple[dict[str, Any], _Response]] = []
        for wanted in tuple(self._wanted):
            waits = wanted.alone or not self._understanding.now.parallel
            if (now is None or now >= wanted.not_before) and (not waits or (free and self.idle and not due)):
                self._wanted.remove(wanted)
                due.append((wanted.response, wanted))
        return due

    def asked(self, wanted: _Response, event_id: str) -> None:
        """Note that the response was asked for in this event."""
        wanted.tries += 1
        self._asked[event_id] = wanted

    def take(self, kind: str, message: dict[str, Any], now: float, *, only: bool) -> list[ev.Event] | None:
        """Return what a message means for an out-of-band response; None: it is about something else. ``only``: nothing
        else was asked for. Raises MalformedError, ValueError."""
        if kind == "error":
            return self._refused(message.get("error"), now, only=only)
        if not kind.startswith("response."):
            return None
        response = message.get("response")
        if isinstance(response, dict):
            return self._began_or_ended(kind, response, now)
        wanted = self._running.get(label(message.get("response_id"), LONGEST_ID))
        if wanted is None:
            return None
        if kind == "response.output_audio.delta" and len(wanted.audio) < MOST_AUDIO_BYTES:
            wanted.audio += decoding.audio(text(message, "delta"))
        elif kind == "response.output_audio_transcript.done":
            wanted.transcript = words(message, "transcript")
        return []

    def _began_or_ended(self, kind: str, response: dict[str, Any], now: float) -> list[ev.Event] | None:
        response_id = identifier(response, "id")
        if kind == "response.created":
            metadata = response.get("metadata")
            key = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
            event_id = next((event_id for event_id, asked in self._asked.items() if asked.key == key), None)
            if event_id is None:
                return None
            self._running[response_id] = self._asked.pop(event_id)
            return []
        if kind != "response.done" or (wanted := self._running.pop(response_id, None)) is None:
            return None
        happened: list[ev.Event] = []
        try:
            wanted.used += usage(response.get("usage"))
        except MalformedError as error:
            happened = [ev.InputMalformed(error.what, 0)]
        if response.get("status") == "cancelled" and not self._understanding.now.parallel and self._again(wanted, now):
            return happened
        audio = bytes(wanted.audio) if response.get("status") == "completed" else b""
        return [ev.OutOfBandEnded(wanted.key, audio, wanted.transcript, wanted.used), *happened]

    def _again(self, wanted: _Response, now: float) -> bool:
        if wanted.tries >= TRIES:
            return False
        again = _Response(wanted.key, wanted.response, wanted.tries, now + AGAIN_S, alone=True, used=wanted.used)
        self._wanted.append(again)
        return True

    def _refused(self, error: object, now: float, *, only: bool) -> list[ev.Event] | None:
        if not isinstance(error, dict):
            return None
        told, event_id = refused(error), error.get("event_id")
        if event_id is None and told.code == CONFLICT and only and len(self._asked) == 1:
            event_id = next(iter(self._asked))
        wanted = self._asked.pop(event_id, None) if isinstance(event_id, str) else None
        if wanted is None:
            return None
        if told.code == CONFLICT:
            self._understanding.found("parallel", "a response outside the conversation was refused beside another one")
            if self._again(wanted, now):
                return [told]
        return [told, ev.OutOfBandEnded(wanted.key, b"", "", wanted.used)]
