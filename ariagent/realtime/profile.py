"""The profile of a session: its properties, and the ``session.update`` that asks for them."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from ariagent.config import AgentSettings, RealtimeSettings, SemanticVad
from ariagent.realtime import dialect, formats
from ariagent.values import languages

LONGEST_SILENCE_MS = 60_000.0
"""A server that says it waits longer for the end of a turn is not believed: response times are counted with it."""


@dataclass(frozen=True, slots=True)
class SessionProfile:
    """The wished-for session: an agent's settings on a model's encoding."""

    agent: AgentSettings
    model: str
    encoding: Literal["pcm", "pcmu", "pcma"]
    """pcm is 24 kHz, 16 bit; the others are G.711."""
    tools: tuple[dict[str, Any], ...] = ()
    instructions: str = ""
    """The model's instructions."""
    stall_timeout_s: float = 8.0
    """A server that says nothing while a response is pending for this long is given up."""
    own_names: bool = True
    """Transcription models have OpenAI's names (``Dialect.own_names``)."""

    @classmethod
    def of(
        cls,
        agent: AgentSettings,
        realtime: RealtimeSettings,
        tools: tuple[dict[str, Any], ...] = (),
        instructions: str | None = None,
    ) -> "SessionProfile":
        """``instructions``: with the call's data filled in; None: as they are in the settings."""
        model = realtime.model_of(agent.model)
        told = agent.instructions if instructions is None else instructions
        own_names = dialect.of(realtime).own_names
        return cls(agent, model, realtime.encoding, tools, told, realtime.stall_timeout_s, own_names)

    def at(self, realtime: RealtimeSettings) -> "SessionProfile":
        """The profile for another endpoint, with the agent's model there."""
        return replace(self, model=realtime.model_of(self.agent.model), own_names=dialect.of(realtime).own_names)

    @property
    def format(self) -> dict[str, Any]:
        """The wire's format object."""
        return {"type": "audio/pcm", "rate": 24000} if self.encoding == "pcm" else {"type": f"audio/{self.encoding}"}

    @property
    def bytes_per_ms(self) -> int:
        """The bytes of its audio in a millisecond."""
        return 48 if self.encoding == "pcm" else 8

    def session(self) -> dict[str, Any]:
        """The session object of ``session.update``."""
        agent = self.agent
        noise_reduction = {"type": agent.noise_reduction} if agent.noise_reduction else None
        reasoning = {"reasoning": {"effort": agent.reasoning}} if agent.reasoning else {}
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": self.instructions,
            "audio": {
                "input": {
                    "format": self.format,
                    "noise_reduction": noise_reduction,
                    "transcription": self._transcription(),
                    "turn_detection": agent.used_turn_detection.model_dump(exclude_none=True),
                },
                "output": {"format": self.format, "voice": self._voice(), "speed": agent.speed},
            },
            "tools": list(self.tools),
            "tool_choice": "auto",
            "max_output_tokens": agent.max_output_tokens,
            # Only where it is set: a model that does not reason rejects the whole update with it.
            **reasoning,
        }

    def _voice(self) -> str | dict[str, str]:
        voice = self.agent.voice
        return {"id": voice} if voice.startswith("voice_") else voice

    def _transcription(self) -> dict[str, Any] | None:
        """Keys that the transcription model does not have would reject the whole update (source: the descriptions in
        openai.types.realtime.AudioTranscription)."""
        agent, wanted = self.agent, self.agent.transcription
        if wanted is None:
            return None
        given: dict[str, Any] = {"model": wanted.model}
        older = wanted.model.startswith(("whisper", "gpt-4o", "gpt-realtime-whisper"))
        # A name that is not OpenAI's tells nothing: what every transcription model takes is what such a one is given.
        newer = not older if self.own_names else wanted.model.startswith(("gpt-transcribe", "gpt-live-transcribe"))
        # The agent's languages are given in the API's form, without a region.
        codes = list(dict.fromkeys(map(languages.transcribed, (agent.language, *(agent.languages or ())))))
        if not languages.TRANSCRIBED.issuperset(codes):
            codes = []  # a list that leaves a language out would be wrong: the server detects them
        if wanted.language:
            given["language"] = wanted.language
        elif agent.languages is not None and len(codes) == 1:
            given["language"] = codes[0]
        elif agent.languages is not None and codes and newer:
            given["languages"] = codes
        prompt = [wanted.prompt] if wanted.prompt else []
        if newer and wanted.keywords:
            given["keywords"] = list(wanted.keywords)
        elif wanted.keywords:
            prompt.append(", ".join(wanted.keywords))
        if prompt and wanted.model != "gpt-realtime-whisper":
            given["prompt"] = " ".join(prompt)
        return given

    @property
    def server_answers(self) -> bool:
        """Whether the server starts a response by itself when the caller's turn ends."""
        return self.agent.turn_detection.create_response

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its own response when the caller starts to speak."""
        return self.agent.turn_detection.interrupt_response

    def mismatch(self, session: dict[str, Any]) -> str:
        """Return the property of an acknowledged ``session`` that would break the audio, or an empty string.

        Servers have been seen to answer PCM where G.711 was asked for; played as it came it would be noise. Others name
        no format (LocalAI in 2026); PCM is what they speak then.
        """
        for direction in ("input", "output"):
            if (got := formats.acknowledged(session, direction)) != self.format:
                return f"{direction} format {self.format} was asked for and {got} acknowledged"
        return ""

    def silence_wait_ms(self, session: dict[str, Any]) -> float:
        """``silence_duration_ms`` as acknowledged; 0 with semantic detection, which waits no fixed time."""
        detection = self.agent.used_turn_detection
        if isinstance(detection, SemanticVad):
            return 0.0
        try:
            acknowledged = float(session["audio"]["input"]["turn_detection"]["silence_duration_ms"])
        except (KeyError, TypeError, ValueError, OverflowError):
            acknowledged = -1.0
        asked = float(detection.silence_duration_ms)
        return acknowledged if 0.0 <= acknowledged <= LONGEST_SILENCE_MS else asked
