"""How a Realtime server differs from OpenAI's, as data. CORE.

Each switch is one deviation that a call would notice. The code path is the same for all servers. Sources, by server:

* Azure: Microsoft's "Realtime API reference" (learn.microsoft.com, foundry/openai/realtime-audio-reference): it follows
  OpenAI's specification, but the transcription model is the name of a deployment.
* LocalAI: ``core/http/endpoints/openai/realtime.go`` and ``realtime_respcoord.go`` (August 2026), see each switch.
* huggingface/speech-to-speech 1.1.0: measured with whole calls through its own pipeline (November 2026).
"""

import logging
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ariagent.config import RealtimeSettings

log = logging.getLogger(__name__)

Switch = Literal["notes", "places", "truncates", "parallel", "open_calls", "g711"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's ways. The defaults are OpenAI's."""

    name: str
    notes: Literal["system", "user"] = "system"
    """The role of what ariagent tells the model in the middle of a call. speech-to-speech has one system prompt: each
    system item replaces the one before, and stays at the end of the prompt for the rest of the call."""
    places: bool = True
    """``previous_item_id`` decides where an item goes. speech-to-speech ignores it; LocalAI appends, too
    (``realtime.go``, ConversationItemCreateEvent)."""
    truncates: bool = True
    """A truncated item is remembered as far as it was heard. speech-to-speech neither does nor answers it
    (``websocket_router.py``). LocalAI answers, and drops the whole text of the item."""
    parallel: bool = True
    """A response outside the conversation runs beside another one. speech-to-speech refuses it
    (``conversation_already_has_active_response``). In LocalAI it would end the response that the caller hears
    (``realtime_respcoord.go``: at most one live response, a new one supersedes it)."""
    open_calls: bool = True
    """The model responds although a function call has no output yet. speech-to-speech refuses
    (``function_call_output_pending``)."""
    g711: bool = True
    """``audio/pcmu`` and ``audio/pcma`` are spoken. speech-to-speech acknowledges them and sends PCM at 16 kHz; LocalAI
    reads the rate of PCM only (``updateSession``)."""
    own_names: bool = True
    """Transcription models have OpenAI's names, which tell what they accept. On Azure they are names of deployments."""

    @property
    def deviations(self) -> tuple[str, ...]:
        """The switches that are not OpenAI's."""
        return tuple(
            each.name for each in fields(self) if each.name != "name" and getattr(self, each.name) != each.default
        )


OPENAI = Dialect("openai")
AZURE = Dialect("azure", own_names=False)
LOCALAI = Dialect("localai", places=False, truncates=False, parallel=False, g711=False, own_names=False)
SPEECH_TO_SPEECH = Dialect(
    "speech-to-speech",
    notes="user",
    places=False,
    truncates=False,
    parallel=False,
    open_calls=False,
    g711=False,
    own_names=False,
)
UNKNOWN = Dialect("auto", own_names=False)
"""A server that nothing is known of: as OpenAI's, until a call finds a deviation."""

DIALECTS = {each.name: each for each in (OPENAI, AZURE, LOCALAI, SPEECH_TO_SPEECH)}
_DEVIATES = {"notes": "user"}
"""The value that a switch takes when the server deviates; other switches become False."""


def of(realtime: RealtimeSettings) -> Dialect:
    """The dialect of a server, as far as its settings and its host name tell."""
    if realtime.dialect != "auto":
        return DIALECTS[realtime.dialect]
    return OPENAI if realtime.host_is("openai.com") else AZURE if realtime.host_is("azure.com") else UNKNOWN


class Understanding:
    """The knowledge of one server's dialect. All calls of the process share it, and what one of them finds out.

    Only a server whose dialect nobody named is learnt from: OpenAI's and Azure's are known, and what the settings say
    counts.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.now = dialect
        self.learns = dialect is UNKNOWN

    @classmethod
    def of(cls, realtime: RealtimeSettings) -> "Understanding":
        """The understanding at the start of a process."""
        return cls(of(realtime))

    @classmethod
    def openai(cls) -> "Understanding":
        """OpenAI's own, which is known."""
        return cls(OPENAI)

    def found(self, switch: Switch, seen: str) -> bool:
        """A server was ``seen`` to deviate; returns whether that counts from now on. Logged once."""
        if not self.learns:
            return False
        thrown: dict[str, Any] = {switch: _DEVIATES.get(switch, False)}
        if (now := replace(self.now, **thrown)) != self.now:
            self.now = now
            log.warning("model.dialect_found", extra={"fields": {"switch": switch, "seen": seen, "remedy": REMEDY}})
        return True


REMEDY = "Run `ariagent check --probe`, and set realtime.dialect to its result"
