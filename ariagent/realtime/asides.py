"""Speech that the model makes beside the conversation, and that the caller does not hear. CORE.

A response with ``conversation: none`` runs beside the one that the caller hears and leaves no trace in the conversation
(source: OpenAI's Realtime guide, out-of-band responses). It is known by its metadata.
"""

import base64
from dataclasses import dataclass, field
from typing import Any

from ariagent.realtime import events as ev
from ariagent.realtime.fields import LONGEST_ID, MalformedError, identifier, label, text, usage, words

METADATA_KEY = "ariagent"
MOST_AUDIO_BYTES = 60 * 48_000
"""Of one: a minute."""


@dataclass(slots=True)
class _Aside:
    key: str
    audio: bytearray = field(default_factory=bytearray)
    transcript: str = ""


class Asides:
    """Those of one session. ``request`` makes the request, ``take`` swallows what the server sends about one."""

    def __init__(self) -> None:
        self._asked: dict[str, str] = {}  # event id -> key
        self._running: dict[str, _Aside] = {}  # by response id

    @property
    def idle(self) -> bool:
        return not self._asked and not self._running

    @staticmethod
    def request(key: str, instructions: str, *, alone: bool) -> dict[str, Any]:
        """The ``response`` of a ``response.create``; ``alone``: the model is not to know the conversation."""
        response: dict[str, Any] = {
            "conversation": "none",
            "metadata": {METADATA_KEY: key},
            "instructions": instructions,
            "output_modalities": ["audio"],
            "tools": [],
        }
        return {**response, "input": []} if alone else response

    def asked(self, key: str, event_id: str) -> None:
        """A request for ``key`` was sent in this event."""
        self._asked[event_id] = key

    def take(self, kind: str, message: dict[str, Any]) -> list[ev.Event] | None:
        """What a message means for an aside; None: it is about something else. Raises MalformedError, ValueError."""
        if kind == "error":
            return self._refused(message.get("error"))
        if not kind.startswith("response."):
            return None
        response = message.get("response")
        if isinstance(response, dict):
            return self._began_or_ended(kind, response)
        aside = self._running.get(label(message.get("response_id"), LONGEST_ID))
        if aside is None:
            return None
        if kind == "response.output_audio.delta" and len(aside.audio) < MOST_AUDIO_BYTES:
            aside.audio += base64.b64decode(text(message, "delta"), validate=True)
        elif kind == "response.output_audio_transcript.done":
            aside.transcript = words(message, "transcript")
        return []

    def _began_or_ended(self, kind: str, response: dict[str, Any]) -> list[ev.Event] | None:
        response_id = identifier(response, "id")
        if kind == "response.created":
            metadata = response.get("metadata")
            key = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
            event_id = next((event_id for event_id, asked in self._asked.items() if asked == key), None)
            if event_id is None:
                return None
            self._running[response_id] = _Aside(self._asked.pop(event_id))
            return []
        if kind != "response.done" or (aside := self._running.pop(response_id, None)) is None:
            return None
        complete = response.get("status") == "completed"
        audio = bytes(aside.audio) if complete else b""
        try:
            used = usage(response.get("usage"))
        except MalformedError as error:
            return [ev.AsideEnded(aside.key, audio, aside.transcript, ev.Usage()), ev.InputMalformed(error.what, 0)]
        return [ev.AsideEnded(aside.key, audio, aside.transcript, used)]

    def _refused(self, error: object) -> list[ev.Event] | None:
        event_id = error.get("event_id") if isinstance(error, dict) else None
        key = self._asked.pop(event_id, None) if isinstance(event_id, str) else None
        return None if key is None else [ev.AsideEnded(key, b"", "", ev.Usage())]
