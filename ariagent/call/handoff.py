"""Handing callers to people: what the model is told of it, and how its wish is read. No I/O.

The model chooses among the site's destinations by name; nothing that a caller talks it into leads anywhere else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ariagent.config.handoff import DestinationSettings

TRANSFER_CALL = "transfer_call"
CANCEL_TRANSFER = "cancel_transfer"
LONGEST_TEXT = 500
"""Bytes, as UTF-8, of a text that goes into a channel variable: a line of the manager interface has 1024."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """A caller is to go to people."""

    name: str
    """Of the destination, in the settings."""
    destination: "DestinationSettings"
    by: str
    """Who wants it: ``model``, ``caller``, or a supervisor's name."""
    reason: str = ""
    summary: str = ""
    """Of the conversation, for who takes the call."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What else the agent passes on."""
    joins: str = ""
    """The name of a channel on which somebody waits for the caller already: a warm hand-off, or a supervisor who takes
    over."""
    will_wait: bool = False
    """The caller knows that it takes long."""

    @property
    def kind(self) -> str:
        return self.destination.kind

    @property
    def final(self) -> bool:
        """Whether it is done whatever the caller says meanwhile: only the model's own wish waits for them."""
        return self.by != "model" or bool(self.joins)

    def screen_pop(self, call_id: str, language: str, brief: str = "") -> dict[str, str]:
        """The caller's channel variables that tell people, and their programs, what it is about; ``brief``: where the
        spoken summary is, or will be."""
        fields = {f"__ARIAGENT_FIELD_{name.upper()}": value for name, value in self.fields.items()}
        return {
            "__ARIAGENT_CALL": call_id,
            "__ARIAGENT_REASON": self.reason,
            "__ARIAGENT_SUMMARY": self.summary,
            "__ARIAGENT_LANGUAGE": language,
            "__ARIAGENT_FIELDS": clean("; ".join(f"{name}={value}" for name, value in self.fields.items())),
            "__ARIAGENT_PREFIX": self.destination.name_prefix,
            **fields,
            "ARIAGENT_BRIEF": brief,
            "ARIAGENT_JOIN": self.joins,
            "ARIAGENT_TIMEOUT": str(self.destination.timeout_s),
            "ARIAGENT_DIAL_CONTEXT": self.destination.context,
        }

    @property
    def place(self) -> tuple[str, str]:
        """Context and extension of the shipped dialplan that carry it out."""
        if self.joins:
            return "ariagent-join", self.destination.queue or self.destination.extension or ""
        if self.destination.queue is not None:
            return "ariagent-handoff", self.destination.queue
        return "ariagent-dial", self.destination.extension or ""


def declaration(destinations: "Mapping[str, DestinationSettings]") -> dict[str, Any]:
    """The function by which the model hands the caller on, in the form that ``session.update`` takes."""
    listed = "; ".join(f"{name}: {destination.description}" for name, destination in destinations.items())
    fields = {name: what for destination in destinations.values() for name, what in destination.fields.items()}
    told = {
        "fields": {
            "type": "object",
            "description": "What is known of these; leave out what is not.",
            "properties": {name: {"type": "string", "description": what} for name, what in fields.items()},
        }
    }
    named = ", ".join(name for name, destination in destinations.items() if destination.kind == "warm")
    warm = (
        f" With {named}, say that you are looking for somebody: the caller stays with you meanwhile." if named else ""
    )
    return {
        "type": "function",
        "name": TRANSFER_CALL,
        "description": "Put the caller through to people. First say in one short sentence that you are doing so, then "
        f"call this in the same turn, and say nothing after it.{warm} Destinations: {listed}",
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
                "caller_will_wait": {
                    "type": "boolean",
                    "description": "True once you have told the caller how long it takes and they want to wait.",
                },
                **(told if fields else {}),
            },
            "required": ["destination", "reason", "summary"],
        },
    }


CANCEL: dict[str, Any] = {
    "type": "function",
    "name": CANCEL_TRANSFER,
    "description": "Stop looking for a colleague, when the caller does not want one any more.",
    "parameters": {"type": "object", "properties": {}, "required": []},
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
    destination, given = destinations[name], asked.get("fields")
    fields = {
        known: value
        for known in destination.fields
        if isinstance(given, dict) and (value := clean(str(given.get(known, ""))))
    }
    reason, summary = clean(asked.get("reason")), clean(asked.get("summary"))
    will_wait = asked.get("caller_will_wait") is True
    return Handoff(name, destination, "model", reason, summary, fields, will_wait=will_wait)


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text on one line, as for a channel variable: no control characters, at most ``longest`` bytes; "" for what is no
    text."""
    if not isinstance(text, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.encode(errors="replace")[:longest].decode(errors="ignore")


def caller_id(name: str, number: str) -> str:
    """``"Name" <number>``, as Asterisk takes it. Who calls has chosen both: neither can end where it stands."""
    name, number = (clean("".join(c for c in text if c not in '"<>\\'), 80) for text in (name, number))
    return f'"{name}" <{number}>'


def brief_request(wanted: Handoff, language: str) -> tuple[str, bool]:
    """What the model is asked to say to who takes the call, and whether without knowing the conversation."""
    if words := wanted.summary or wanted.reason:
        return f"Say exactly: {words}", True
    return (
        f"You speak to a colleague now who is about to take this call over, not to the caller. In language {language}, "
        "in two or three short sentences, tell them who is calling, what they want, and what was said and done so far. "
        "Say nothing else.",
        False,
    )


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
    "GONE": "the colleague has hung up again",
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


def waiting_note(waited_s: float) -> str:
    """What the model is told while a colleague is being looked for."""
    return (
        f"[system] You have been looking for a colleague for {round(waited_s)} seconds, and nobody has taken the call "
        f"yet. {_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, tell the caller in one short sentence that you are still trying."
    )


def found_note() -> str:
    """What the model is told when a colleague has answered."""
    return (
        "[system] A colleague has answered and is being told what it is about; the caller is put through in a moment. "
        f"{_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, say so in one short sentence, and nothing else."
    )


def not_found_note(destination: str, status: str) -> str:
    """What the model is told when no colleague could be found; the caller has been with it all the time."""
    why = WHY_BACK.get(status, "they could not be reached")
    return (
        f"[system] Nobody could be found for the caller ({destination}): {why}. The caller is still with you. "
        f"{_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, say so in one or two sentences and ask how they want to go on."
    )


def failed_note(destination: str) -> str:
    """What the model is told when a transfer could not be made at all."""
    return (
        f"[system] The caller could not be put through ({destination}): the telephone system refused. The caller is "
        f"still with you. {_LANGUAGE[0].upper()}{_LANGUAGE[1:]}, say so in one sentence and ask how they want to go on."
    )


def whisper_note(text: str) -> str:
    """What the model is told by a supervisor while the call goes on."""
    quoted = json.dumps(clean(text), ensure_ascii=False)
    return (
        f"[system] Your supervisor listens and tells you this, unheard by the caller: {quoted}. Take "
        "it into account from now on as far as your instructions allow; do not mention that you were told."
    )
