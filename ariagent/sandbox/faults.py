"""Misbehaviour on demand: what a sandbox session can be made to do wrong (CORE).

Written ``name``, ``name:value``, ``name@n`` (from the n-th response of the session on, otherwise all of them) or both,
several joined by commas: ``late_created:2000,stall:600@2``.

Those from ``no_truncated`` on imitate servers that speak the protocol otherwise than OpenAI's. Most were seen in
Hugging Face speech-to-speech 1.1.0.
"""

from dataclasses import dataclass, field

from ariagent.errors import ConfigurationError

FAULTS = {
    "stall": "a response stops for good after VALUE ms of audio (500)",
    "silent": "the server never begins a response, neither after a turn nor after response.create",
    "empty": "a response completes without any content",
    "abort": "the server resets the TCP connection in the middle of a frame, after VALUE ms of a response's audio "
    "(500)",
    "close": "the server closes with code VALUE (1011) after 500 ms of a response's audio",
    "close_1011": "the same as close:1011",
    "rate_limit": "a response fails with rate_limit_exceeded",
    "content_filter": "the provider's filter ends a response before it says anything",
    "late_created": "session.created comes VALUE ms late (2000)",
    "late_updated": "session.updated comes VALUE ms late (2000)",
    "no_updated": "session.updated never comes",
    "slow_reader": "the server waits VALUE ms between two reads (200)",
    "duplicate_delta": "every third audio delta is sent twice",
    "format_mismatch": "the client requests G.711; session.updated shows PCM at 24 kHz, and the server sends it",
    "null_event_id": "errors never carry the client's event_id",
    "transcription_late": "transcripts come VALUE ms late (5000)",
    "transcription_fail": "transcriptions fail",
    "transcription_order": "the transcripts of two turns come in the wrong order",
    "http": "the server refuses the upgrade with HTTP status VALUE (403)",
    "hang": "the server never answers the upgrade",
    "refuse": "the server accepts the connection, then refuses the session with the error code VALUE "
    "(insufficient_quota)",
    "no_truncated": "the server accepts conversation.item.truncate, also for unknown items, but does nothing and does "
    "not answer",
    "g711_lies": "the server acknowledges audio/pcmu and audio/pcma, but sends and expects PCM16 at 16 kHz",
    "hold_stop": "the server sends speech_stopped, the commit, the transcript and response.created only with the "
    "answer's first output, or when a running response is done. Together with the fault stall a "
    "response stops before its first output",
    "pending_calls": "while a function call has no output, response.create is refused "
    "(function_call_output_pending) and a turn's answer fails (response_failed)",
    "one_system": "the model knows only the last system message",
    "no_parallel": "only one response runs at a time; another one, also out of band, is refused "
    "(conversation_already_has_active_response)",
    "slots": "at most VALUE sessions at a time (1); another session is refused (session_limit_reached, close 1008)",
    "beta_items": "events have the names and shapes of the beta: conversation.item.created, response.audio.delta ...",
    "binary_frames": "events are sent as JSON in binary frames",
    "no_rate": "session.created and session.updated show audio/pcm without its rate",
    "code_in_type": "errors have their code in type, and code is null",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``value`` is what follows the colon, ``first_response`` what follows the at sign."""

    name: str
    value: str | None = None
    first_response: int = 1

    def number(self, default: float) -> float:
        """The value as a number."""
        return default if self.value is None else float(self.value)


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of a session."""

    all: tuple[Fault, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Parse the notation in this module's docstring. Raises :class:`ConfigurationError`."""
        found = []
        for word in filter(None, (part.strip() for part in text.split(","))):
            head, _, nth = word.partition("@")
            name, _, value = head.partition(":")
            if name not in FAULTS:
                raise ConfigurationError(f"no such fault: {name}", remedy=f"Known: {', '.join(FAULTS)}")
            try:
                fault = Fault(name, value or None, int(nth) if nth else 1)
                if name != "refuse":
                    fault.number(0)
            except ValueError as error:
                raise ConfigurationError(f"fault {word!r}: not a number") from error
            found.append(fault)
        return cls(tuple(found))

    def get(self, name: str, response: int | None = None) -> Fault | None:
        """The fault of this name, if it is on (at the ``response``-th response)."""
        for fault in self.all:
            if fault.name == name and (response is None or response >= fault.first_response):
                return fault
        return None

    def __add__(self, other: "Faults") -> "Faults":
        return Faults(self.all + other.all)

    def __bool__(self) -> bool:
        return bool(self.all)
