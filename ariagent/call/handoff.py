"""Handing callers to people: what the model is told of it, and how its wish is read. No I/O.

The model chooses among the site's destinations by name; nothing that a caller talks it into leads anywhere else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ariagent.config.handoff import DestinationSettings

TRANSFER_CALL = "transfer_call"
LONGEST_TEXT = 500
"""Characters of a reason or summary that go into channel variables."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """A caller is to go to people."""

    name: str
    """Of the destination, in the settings."""
    destination: "DestinationSettings"
    by: str
    """Who wants it: model, caller or supervisor."""
    reason: str = ""
    summary: str = ""
    """Of the conversation, for who takes the call."""

    def screen_pop(self, call_id: str, language: str) -> dict[str, str]:
        """The caller's channel variables that tell people, and their programs, what it is about."""
        return {
            "__ARIAGENT_CALL": call_id,
            "__ARIAGENT_REASON": self.reason,
            "__ARIAGENT_SUMMARY": self.summary,
            "__ARIAGENT_LANGUAGE": language,
            "ARIAGENT_TIMEOUT": str(self.destination.timeout_s),
            "ARIAGENT_DIAL_CONTEXT": self.destination.context,
        }

    @property
    def place(self) -> tuple[str, str]:
        """Context and extension of the shipped dialplan that carry it out."""
        if self.destination.queue is not None:
            return "ariagent-handoff", self.destination.queue
        return "ariagent-dial", self.destination.extension or ""


def declaration(destinations: "Mapping[str, DestinationSettings]") -> dict[str, Any]:
    """The function by which the model hands the caller on, in the form that ``session.update`` takes."""
    listed = "; ".join(f"{name}: {destination.description}" for name, destination in destinations.items())
    return {
        "type": "function",
        "name": TRANSFER_CALL,
        "description": "Put the caller through to people. First say in one short sentence that you are doing so, then "
        f"call this in the same turn, and say nothing after it. Destinations: {listed}",
        "parameters": {
            "type": "object",
            "properties": {
                "destination": {"type": "string", "enum": list(destinations)},
                "reason": {"type": "string", "description": "Why, in a few words."},
                "summary": {
                    "type": "string",
                    "description": "Two or three sentences for the person who takes the call: who is calling, what "
                    "they want, what was said and done so far.",
                },
            },
            "required": ["destination", "reason", "summary"],
        },
    }


def parse(arguments: str, destinations: "Mapping[str, DestinationSettings]") -> Handoff | str:
    """The model's wish, or what is wrong with it, for the model."""
    try:
        asked = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return "the arguments are not JSON"
    if not isinstance(asked, dict) or not isinstance(asked.get("destination"), str):
        return "destination is missing"
    name = asked["destination"]
    if name not in destinations:
        return f"there is no destination {name[:64]}; known: {', '.join(destinations)}"
    return Handoff(name, destinations[name], "model", clean(asked.get("reason")), clean(asked.get("summary")))


def clean(text: object) -> str:
    """Text for a channel variable: one line, no control characters, not too long."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_TEXT]


WHY_BACK = {
    "TIMEOUT": "nobody took the call in time",
    "NOANSWER": "nobody answered",
    "BUSY": "the line was busy",
    "JOINEMPTY": "nobody is there at the moment",
    "LEAVEEMPTY": "nobody is there any more",
    "FULL": "too many callers are waiting",
    "JOINUNAVAIL": "nobody is available at the moment",
    "LEAVEUNAVAIL": "nobody is available any more",
    "CHANUNAVAIL": "the line could not be reached",
    "CONGESTION": "the line could not be reached",
    "WITHDRAW": "the call was taken out of the queue",
}
"""By QUEUESTATUS and DIALSTATUS."""

_LANGUAGE = "in the language that you and the caller have been speaking"


def returned_note(destination: str, status: str) -> str:
    """What the model is told when a caller whom it handed on comes back."""
    why = WHY_BACK.get(status, "they could not be put through")
    return (
        f"[system] You had put the caller through ({destination}), but {why}; the caller has come back to you and "
        f"hears you again now. Do not greet again. {_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, say in one or two sentences "
        "that you are sorry, and why, and ask how they want to go on."
    )


def failed_note(destination: str) -> str:
    """What the model is told when a transfer could not be made at all."""
    return (
        f"[system] The caller could not be put through ({destination}): the telephone system refused. The caller is "
        f"still with you. {_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, say so in one sentence and ask how they want to go on."
    )
