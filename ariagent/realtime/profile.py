"""What a session is asked to be, and the ``session.update`` that asks for it."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from ariagent.config import AgentSettings, RealtimeSettings, SemanticVad


@dataclass(frozen=True, slots=True)
class SessionProfile:
    """The wished-for session: an agent's settings on a model's encoding."""

    agent: AgentSettings
    model: str
    encoding: Literal["pcm", "pcmu", "pcma"]
    """pcm is 24 kHz, 16 bit; the others are G.711."""
    tools: tuple[dict[str, Any], ...] = ()
    stall_timeout_s: float = 10.0
    """A server that owes a response and says nothing for this long is given up."""

    @classmethod
    def of(
        cls, agent: AgentSettings, realtime: RealtimeSettings, tools: tuple[dict[str, Any], ...] = ()
    ) -> "SessionProfile":
        model = agent.model or realtime.model
        return cls(agent, model, realtime.encoding, tools, realtime.stall_timeout_s)

    @property
    def format(self) -> dict[str, Any]:
        """The wire's format object."""
        return {"type": "audio/pcm", "rate": 24000} if self.encoding == "pcm" else {"type": f"audio/{self.encoding}"}

    def session(self) -> dict[str, Any]:
        """The session object of ``session.update``."""
        agent = self.agent
        transcription = agent.transcription.model_dump(exclude_none=True) if agent.transcription else None
        noise_reduction = {"type": agent.noise_reduction} if agent.noise_reduction else None
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": agent.instructions,
            "audio": {
                "input": {
                    "format": self.format,
                    "noise_reduction": noise_reduction,
                    "transcription": transcription,
                    "turn_detection": agent.turn_detection.model_dump(exclude_none=True),
                },
                "output": {"format": self.format, "voice": agent.voice, "speed": agent.speed},
            },
            "tools": list(self.tools),
            "tool_choice": "auto",
            "max_output_tokens": agent.max_output_tokens,
        }

    @property
    def server_answers(self) -> bool:
        """Whether the server starts a response by itself when the caller's turn ends."""
        return self.agent.turn_detection.create_response

    @property
    def server_interrupts(self) -> bool:
        """Whether the server cancels its own response when the caller starts to speak."""
        return self.agent.turn_detection.interrupt_response

    def mismatch(self, session: dict[str, Any]) -> str:
        """What in an acknowledged ``session`` would break the audio, or an empty string.

        Servers have been seen to answer PCM where G.711 was asked for; played as it came it would be noise.
        """
        audio = session.get("audio")
        for direction in ("input", "output"):
            part = audio.get(direction) if isinstance(audio, dict) else None
            got = part.get("format") if isinstance(part, dict) else None
            if not isinstance(got, dict) or any(got.get(key) != value for key, value in self.format.items()):
                return f"{direction} format {self.format} was asked for and {got} acknowledged"
        return ""

    def silence_wait_ms(self, session: dict[str, Any]) -> float:
        """``silence_duration_ms`` as acknowledged; 0 with semantic detection, which waits no fixed time."""
        if isinstance(self.agent.turn_detection, SemanticVad):
            return 0.0
        try:
            acknowledged = float(session["audio"]["input"]["turn_detection"]["silence_duration_ms"])
        except (KeyError, TypeError, ValueError, OverflowError):
            acknowledged = -1.0
        asked = float(self.agent.turn_detection.silence_duration_ms)
        return acknowledged if 0.0 <= acknowledged < math.inf else asked
