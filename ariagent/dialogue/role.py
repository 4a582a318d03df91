"""The agent's role in one call: its settings, its instructions and the caller's facts. CORE."""

from dataclasses import dataclass

from ariagent.config import AgentSettings
from ariagent.dialogue.introduction import Introduction
from ariagent.dialogue.memory import Memory
from ariagent.tools.plugins import CallFacts


@dataclass(frozen=True, slots=True)
class Role:
    """The agent of one call."""

    agent: AgentSettings
    instructions: str
    """The agent's instructions with the caller's data filled in."""
    facts: CallFacts
    memory: Memory | None = None
    """The conversation before a transfer or a restart, for a caller who comes back."""
    why_back: str = ""
    """QUEUESTATUS or DIALSTATUS of the transfer that the caller comes back from."""
    introduced_by: Introduction | None = None
    """The human agent who transferred the caller, where one did."""

    @property
    def name(self) -> str:
        """The agent's name in the settings."""
        return self.facts.agent

    @property
    def language(self) -> str:
        """The language that the call begins in."""
        return self.facts.language
