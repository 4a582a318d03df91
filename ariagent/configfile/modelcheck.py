"""Checks of the settings that go to the model's server: what it would refuse is refused here, with file and line.

A refused setting would refuse the whole session, and with it every call of the agent. The values that OpenAI and Azure
accept are known (sources: OpenAI's specification of ``RealtimeTurnDetection`` and the error messages of its servers);
what other servers accept is not, and is found out by ``ariagent check``.
"""

from collections.abc import Iterator

from ariagent.complaints import KeyPath
from ariagent.config.agents import AgentSettings, ServerVad, TranscriptionSettings
from ariagent.config.peers import RealtimeSettings
from ariagent.config.tree import Settings
from ariagent.text import did_you_mean
from ariagent.values import languages

VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
"""The voices of OpenAI's Realtime models."""
TRANSCRIBERS = (
    *("gpt-transcribe", "gpt-live-transcribe", "gpt-realtime-whisper"),
    *("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize", "whisper-1"),
)
"""OpenAI's transcription models; there are dated ones, too."""
IDLE_TIMEOUT_MS = (5_000, 30_000)
MOST_TOOLS = 128
NO_G711 = ("localai", "speech-to-speech")
"""Dialects of servers that acknowledge G.711, or ignore it, and speak PCM (``ariagent.realtime.dialect``)."""

Problem = tuple[KeyPath, str]
"""The place, and the error."""


def problems(settings: Settings) -> Iterator[Problem]:
    """Every setting that the model's server is known to refuse, or to accept without doing it."""
    realtime = settings.realtime
    yield from _server(realtime)
    if realtime.is_openai:
        for name, agent in settings.agents.items():
            yield from _agent(("agents", name), agent, realtime)


def _server(realtime: RealtimeSettings) -> Iterator[Problem]:
    if realtime.encoding != "pcm" and realtime.dialect in NO_G711:
        yield ("realtime", "encoding"), f"{realtime.dialect} does not speak G.711; set it to pcm"
    other = realtime.fallback
    if realtime.encoding != "pcm" and other is not None and other.dialect in NO_G711:
        yield ("realtime", "encoding"), f"the fallback ({other.dialect}) does not speak G.711; set it to pcm"
    if not realtime.model.strip() and realtime.is_openai:
        yield ("realtime", "model"), "must name a model, as gpt-realtime-2.1"


def _agent(path: KeyPath, agent: AgentSettings, realtime: RealtimeSettings) -> Iterator[Problem]:
    if agent.voice not in VOICES and not agent.voice.startswith("voice_"):
        near = did_you_mean(agent.voice, VOICES)
        known = f"known: {', '.join(VOICES)}, or voice_... of your own"
        yield (*path, "voice"), f"there is no voice {agent.voice}{near}; {known}"
    model = agent.model or realtime.model
    older = model.startswith(("gpt-realtime", "gpt-4o")) and not model.startswith("gpt-realtime-2.")
    if agent.reasoning and older and model != "gpt-realtime-2":
        text = f"{model} does not reason; it would refuse the session. Leave it out, or use gpt-realtime-2.1"
        yield (*path, "reasoning"), text
    if isinstance(agent.turn_detection, ServerVad) and (idle_ms := agent.turn_detection.idle_timeout_ms) is not None:
        least, most = IDLE_TIMEOUT_MS
        if not least <= idle_ms <= most:
            yield (
                (*path, "turn_detection", "idle_timeout_ms"),
                f"must be from {least} to {most}: the model's server refuses {idle_ms}",
            )
    if len(agent.tools) > MOST_TOOLS:
        yield (*path, "tools"), f"has {len(agent.tools)} tools; the model's server takes {MOST_TOOLS}"
    if agent.transcription is not None:
        yield from _transcription((*path, "transcription"), agent.transcription, realtime)


def _transcription(path: KeyPath, wanted: TranscriptionSettings, realtime: RealtimeSettings) -> Iterator[Problem]:
    # On Azure the model is the name of a deployment.
    named = realtime.host_is("azure.com") or "transcribe" in wanted.model or "whisper" in wanted.model
    if not named:
        near = did_you_mean(wanted.model, TRANSCRIBERS)
        yield (*path, "model"), f"{wanted.model} is not a transcription model{near}; known: {', '.join(TRANSCRIBERS)}"
    if wanted.language is not None and wanted.language not in languages.TRANSCRIBED:
        yield (
            (*path, "language"),
            f"the transcription does not know {wanted.language}; leave it out, and the server detects the language. "
            f"Known: {', '.join(sorted(languages.TRANSCRIBED))}",
        )
