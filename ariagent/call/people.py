"""CORE: what the model knows of the people whom it may put callers through to, and what else it can do for a caller.

Before it offers somebody it may look how it stands (``people_status``). A transfer to where nobody can take the call is
refused with that and with the alternatives that the site has; one that means a long wait is refused once, so that the
caller is asked. Times are seconds since the epoch, for the opening hours.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ariagent.call.handoff import Handoff, clean
from ariagent.pool.queues import QueueView, describe

if TYPE_CHECKING:
    from ariagent.config import AgentSettings, HoursSettings
    from ariagent.config.handoff import DestinationSettings

PEOPLE_STATUS, TAKE_MESSAGE = "people_status", "take_message"
OWN = (PEOPLE_STATUS, TAKE_MESSAGE)
LONGEST_MESSAGE = 2000
"""Characters."""
MOST_MESSAGES = 5
"""Of one call."""

_OFFERS = {
    "wait": "wait: then call transfer_call again with caller_will_wait true",
    "message": "leave a message: take_message, kind message",
    "callback": "be called back later: take_message, kind callback",
    "stay": "stay with you: help them yourself as far as you can",
}
_NOT_THROUGH = (
    "The caller was not put through and is still with you. Tell them how it stands, in the language that you have been "
    "speaking, and ask which of these they want"
)


def declarations(agent: "AgentSettings", destinations: "Mapping[str, DestinationSettings]") -> list[dict[str, Any]]:
    """The functions that an agent with these destinations has, in the form that ``session.update`` takes."""
    return [
        *([_STATUS] if destinations else []),
        *([_take_message(kinds)] if (kinds := _kinds(agent, destinations)) else []),
    ]


def _kinds(agent: "AgentSettings", destinations: "Mapping[str, DestinationSettings]") -> list[str]:
    """What can be noted down: message, callback."""
    offered = {*agent.alternatives}.union(*(place.alternatives or () for place in destinations.values()))
    return [kind for kind in ("message", "callback") if kind in offered]


_STATUS: dict[str, Any] = {
    "type": "function",
    "name": PEOPLE_STATUS,
    "description": "Whether people can take the caller now: closed, nobody there, how long the wait is. Look before "
    "you offer to put the caller through.",
    "parameters": {"type": "object", "properties": {}, "required": []},
}


def _take_message(kinds: list[str]) -> dict[str, Any]:
    return {
        "type": "function",
        "name": TAKE_MESSAGE,
        "description": "Note down for the people what a caller wants to leave who cannot be put through. First repeat "
        "it and have the caller agree.",
        "parameters": {
            "type": "object",
            "properties": {
                "kind": {
                    "type": "string",
                    "enum": kinds,
                    "description": "message: they only leave word. callback: they want to be called.",
                },
                "text": {"type": "string", "description": "In full sentences: who it is, and what it is about."},
                "number": {"type": "string", "description": "To call back, where it is not the one they call from."},
                "when": {"type": "string", "description": "When they want to be called, as they said it."},
            },
            "required": ["kind", "text"],
        },
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a destination's people can take a caller now."""

    words: str
    there: bool
    """False: nobody will, so it is of no use to wait."""
    quick: bool
    """False: only after a wait that the caller is to be asked about."""
    wrong: bool = False
    """The settings or Asterisk are wrong: nobody will ever be there."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a caller left for people."""

    kind: str
    """message or callback."""
    text: str
    number: str
    """To call back; empty: not known."""
    when: str
    """As the caller said it, or empty."""

    @property
    def private(self) -> dict[str, object]:
        """What is for the call's record only."""
        return {"text": self.text, "number": self.number, "when": self.when}


class People:
    """One call's. ``view`` tells how a queue looks now, None where that is not known."""

    def __init__(
        self,
        agent: "AgentSettings",
        destinations: "Mapping[str, DestinationSettings]",
        hours: "Mapping[str, HoursSettings]",
        view: Callable[[str], QueueView | None],
        caller_number: str = "",
        has_queue: Callable[[str], bool | None] = lambda name: None,
    ) -> None:
        """``has_queue``: whether there is a queue of this name; None where that is not known."""
        self._agent = agent
        self._destinations = destinations
        self._hours = hours
        self._view = view
        self.caller_number = caller_number
        self._has_queue = has_queue
        self._asked: set[str] = set()
        self._taken = 0

    def standing(self, name: str, at: float) -> Standing:
        """How a destination stands."""
        place = self._destinations[name]
        calendar = self._hours[place.hours].calendar if place.hours is not None else None
        if calendar is not None and not calendar.open_at(at):
            return Standing(calendar.in_words(at), there=False, quick=False)
        if place.queue is None:
            return Standing("can be called; whether somebody is there is not known", there=True, quick=True)
        view = self._view(place.queue)
        if view is None and self._has_queue(place.queue) is False:
            return Standing("cannot be reached: there is no such queue", there=False, quick=False, wrong=True)
        if view is None:
            return Standing("can be tried; whether somebody is free is not known", there=True, quick=True)
        if place.ask_above_s is None:
            return Standing(describe(view), there=True, quick=True)
        wait_s = view.next_wait_s if view.working else float("inf")
        slow = wait_s is not None and wait_s > place.ask_above_s
        return Standing(describe(view), there=bool(view.logged_in), quick=not slow)

    def answer(self, name: str, arguments: str, at: float) -> tuple[str, Message | None]:
        """The result of a function of ours (``OWN``), JSON text, and what is to be kept."""
        if name == PEOPLE_STATUS:
            return self._status(at), None
        message = self._message(arguments)
        if isinstance(message, str):
            return json.dumps({"error": message}), None
        self._taken += 1
        return json.dumps({"ok": True, "noted": message.kind}), message

    def refusal(self, wanted: Handoff, at: float) -> dict[str, object] | None:
        """Why the model's wish is not carried out now, for the model; None: it is."""
        now = self.standing(wanted.name, at)
        if now.there and (now.quick or wanted.will_wait or wanted.name in self._asked):
            return None
        if now.there:
            self._asked.add(wanted.name)
        return {"error": _NOT_THROUGH, "state": now.words, "caller_can": self._offers(wanted.name, now)}

    def _status(self, at: float) -> str:
        found: dict[str, dict[str, object]] = {}
        for name in self._destinations:
            now = self.standing(name, at)
            found[name] = {"state": now.words}
            if not (now.there and now.quick):
                found[name]["caller_can"] = self._offers(name, now)
        return json.dumps(found, ensure_ascii=False)

    def _offers(self, name: str, now: Standing) -> list[str]:
        own = self._destinations[name].alternatives
        offered = self._agent.alternatives if own is None else own
        return [_OFFERS[each] for each in offered if each != "wait" or now.there]

    def _message(self, arguments: str) -> Message | str:
        """What the caller leaves, or what is wrong with it, for the model."""
        try:
            asked = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return "the arguments are not JSON"
        kinds = _kinds(self._agent, self._destinations)
        if not isinstance(asked, dict) or asked.get("kind") not in kinds:
            return f"kind must be one of: {', '.join(kinds)}"
        text = clean(asked.get("text"), LONGEST_MESSAGE)
        if not text:
            return "text is missing"
        kind, number = str(asked["kind"]), clean(asked.get("number"), 64) or self.caller_number
        if kind == "callback" and not any(c.isdigit() for c in number):
            return "the caller's number is not known: ask for it"
        if self._taken >= MOST_MESSAGES:
            return "enough was noted in this call"
        return Message(kind, text, number, clean(asked.get("when"), 200))
