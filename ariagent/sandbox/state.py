"""The state that the parts of one session share (CORE)."""

from dataclasses import dataclass, field
from typing import Any

from ariagent.sandbox.items import Conversation
from ariagent.sandbox.line import Line
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.scenario import Paraphrases, Scenario

Json = dict[str, Any]


@dataclass(slots=True)
class State:
    """The session object of the protocol, the conversation, and how this sandbox was set up."""

    settings: Json
    options: SandboxOptions
    scenario: Scenario
    line: Line
    conversation_id: str
    paraphrases: Paraphrases
    conversation: Conversation = field(default_factory=Conversation)
    heard: dict[str, str | None] = field(default_factory=dict)
    """The words of each spoken item; ``None`` while the recogniser works on it."""
    together: dict[str, str | None] = field(default_factory=dict)
    """By the last item of a sentence that pauses have cut into several items: the words of all of them, heard as one.
    ``None`` while the recogniser works on them."""
    voice_locked: bool = False
    voiced_silence: set[str] = field(default_factory=set)
    """Items that an idle timeout committed."""

    @property
    def input(self) -> Json:
        """``session.audio.input``."""
        part: Json = self.settings["audio"]["input"]
        return part

    @property
    def turn_detection(self) -> Json | None:
        """``session.audio.input.turn_detection``; ``None`` is manual."""
        detection: Json | None = self.input["turn_detection"]
        return detection

    def is_heard(self, item_id: str) -> bool:
        """Whether the recogniser is done with an item; true also for items that nobody spoke."""
        return self.heard.get(item_id, "") is not None and self.together.get(item_id, "") is not None

    @property
    def is_transcription(self) -> bool:
        """A session that only transcribes."""
        return bool(self.settings["type"] == "transcription")
