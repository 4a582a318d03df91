"""A caller who is to be transferred: where to, by whom, and what the human agent is told. CORE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ariagent.config.handoff import DestinationSettings

LONGEST_TEXT = 500
"""Bytes, as UTF-8, of a text that goes into a channel variable: a line of the manager interface has 1024."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """One transfer, wanted or made."""

    name: str
    """The destination's name in the settings."""
    destination: "DestinationSettings"
    by: str
    """The one who asked for it: ``model``, ``caller``, or a supervisor's name."""
    reason: str = ""
    summary: str = ""
    """A summary of the conversation, for the human agent."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Further values for the human agent, by name."""
    joins: str = ""
    """The name of a channel on which somebody waits for the caller already: a warm hand-off, or a supervisor who takes
    over."""
    will_wait: bool = False
    """The caller knows that it takes long."""

    @property
    def kind(self) -> str:
        return self.destination.kind

    @property
    def by_key(self) -> bool:
        """The human agent who answers takes the call by pressing a key."""
        return self.destination.accept is not None

    @property
    def final(self) -> bool:
        """The caller cannot prevent it by speaking: only the model's own wish waits for them."""
        return self.by != "model" or bool(self.joins)

    def screen_pop(self, call_id: str, language: str, announcement: str = "") -> dict[str, str]:
        """Return the caller's channel variables: what the human agent, and their programs, need to know of the call.
        ``announcement``: where the file of the announcement is, or will be, without its ending. The variables of an
        earlier arrival are emptied: the next number that the caller reaches has its own agent, and has not returned
        anybody yet."""
        fields = {f"__ARIAGENT_FIELD_{name.upper()}": value for name, value in self.fields.items()}
        return {
            "__ARIAGENT_CALL": call_id,
            "__ARIAGENT_AGENT": "",
            "__ARIAGENT_RETURNED": "",
            "__ARIAGENT_REASON": self.reason,
            "__ARIAGENT_SUMMARY": self.summary,
            "__ARIAGENT_LANGUAGE": language,
            "__ARIAGENT_FIELDS": clean("; ".join(f"{name}={value}" for name, value in self.fields.items())),
            "__ARIAGENT_PREFIX": self.destination.name_prefix,
            **fields,
            "ARIAGENT_ANNOUNCEMENT": announcement,
            "ARIAGENT_JOIN": self.joins,
            "ARIAGENT_ACCEPT": self.destination.accept or "",
            "ARIAGENT_TIMEOUT": str(self.destination.timeout_s),
            "ARIAGENT_DIAL_CONTEXT": self.destination.context,
        }

    @property
    def place(self) -> tuple[str, str]:
        """Context and extension of the shipped dialplan that carry it out."""
        if self.joins:
            return "ariagent-join", self.destination.queue or self.destination.extension or ""
        if self.destination.queue is not None:
            return "ariagent-accept-queue" if self.by_key else "ariagent-handoff", self.destination.queue
        return "ariagent-accept-dial" if self.by_key else "ariagent-dial", self.destination.extension or ""


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text on one line, as for a channel variable: no control characters, at most ``longest`` bytes; "" for what is no
    text."""
    if not isinstance(text, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.encode(errors="replace")[:longest].decode(errors="ignore")


def caller_id(name: str, number: str) -> str:
    """``"Name" <number>``, as Asterisk takes it. The caller has chosen both: neither can end the header."""
    name, number = (clean("".join(c for c in text if c not in '"<>\\'), 80) for text in (name, number))
    return f'"{name}" <{number}>'
