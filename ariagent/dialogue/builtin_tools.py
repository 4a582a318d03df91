"""The tools that ariagent itself offers a model: one table of names, declarations, arguments and handlers. CORE.

The model chooses among the site's destinations by name; nothing that a caller talks it into leads anywhere else.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from ariagent.config import AgentSettings
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.digits import COLLECT_DIGITS, DigitsArguments
from ariagent.dialogue.effects import (
    Effect,
    EndRequested,
    TransferRequested,
    WarmTransferCancelled,
    WarmTransferRequested,
)
from ariagent.dialogue.events import DialogueEvent, MessageTaken, TransferDeclined
from ariagent.dialogue.handoff import Handoff, clean
from ariagent.dialogue.keypad import Collect
from ariagent.dialogue.notes import DONE_RESULT, error_result
from ariagent.realtime.events import ToolCall

LONGEST_MESSAGE = 2000
"""Characters of a message that a caller leaves."""
MOST_MESSAGES = 5
"""Messages of one call."""
LONGEST_ERROR = 500
"""Characters of what is wrong with a tool's arguments."""


@dataclass(frozen=True, slots=True)
class CollectDigits:
    """The keypad is to collect a number; the call's result is that number."""

    call_id: str
    wanted: Collect


@dataclass(frozen=True, slots=True)
class HoldOn:
    """The caller asked the agent to wait."""


@dataclass(frozen=True, slots=True)
class Handled:
    """The outcome of one call of a built-in tool."""

    result: str | None
    """JSON text; None: it comes later."""
    needs_response: bool = True
    """The model has something to say about the result."""
    effects: tuple[Effect | DialogueEvent | CollectDigits | HoldOn, ...] = ()


# -- arguments --------------------------------------------------------------------------------------

Words = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")]
"""A text; anything else that a model writes there is none."""
Flag = Annotated[bool, BeforeValidator(lambda value: value is True)]
Texts = Annotated[dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})]


class TransferArguments(BaseModel):
    """Arguments of ``transfer_call``."""

    destination: str
    reason: Words = ""
    summary: Words = ""
    fields: Texts = {}
    caller_will_wait: Flag = False


class MessageArguments(BaseModel):
    """Arguments of ``take_message``."""

    kind: str
    text: Words = ""
    number: Words = ""
    when: Words = ""


Arguments = TypeVar("Arguments", bound=BaseModel)


def validated(model: type[Arguments], arguments: str) -> Arguments | str:
    """A call's arguments (JSON text, as the model wrote it), or what is wrong with them, for the model."""
    try:
        return model.model_validate_json(arguments.strip() or "{}")
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
        return "; ".join(wrong)[:LONGEST_ERROR]


# -- the table --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuiltinTool:
    """One row of the table."""

    name: str
    arguments: type[BaseModel] | None
    """None: it takes none, and whatever a model writes there is ignored."""
    declaration: "Callable[[BuiltinTools], dict[str, Any] | None]"
    """The tool in the form that ``session.update`` takes; None: this agent does not have it."""
    handler: "Callable[[BuiltinTools, ToolCall, Any, float], Handled]"


class BuiltinTools:
    """The built-in tools of one call's agent."""

    def __init__(self, agent: AgentSettings, destinations: Destinations, caller_number: str = "") -> None:
        self.destinations = destinations
        self.caller_number = caller_number
        """The number to call back, unless the caller gives another one."""
        self._chosen = agent.builtin_tools
        self._messages = 0
        declared = [(tool, tool.declaration(self)) for tool in _TABLE]
        self._tools = {tool.name: tool for tool, declaration in declared if declaration is not None}
        self.declarations: tuple[dict[str, Any], ...] = tuple(each for _, each in declared if each is not None)

    def run(self, call: ToolCall, at: float) -> Handled | None:
        """Carry out a call ``at`` (seconds since the epoch); None: it is not one of these tools."""
        tool = self._tools.get(call.name)
        if tool is None:
            return None
        arguments = None if tool.arguments is None else validated(tool.arguments, call.arguments)
        if isinstance(arguments, str):
            return Handled(error_result(arguments))
        return tool.handler(self, call, arguments, at)

    def _if_chosen(self, declaration: dict[str, Any]) -> dict[str, Any] | None:
        return declaration if declaration["name"] in self._chosen else None

    # -- handlers -------------------------------------------------------------------------------------

    def _end_call(self, call: ToolCall, arguments: None, at: float) -> Handled:
        return Handled(DONE_RESULT, False, (EndRequested("agent_ended"),))

    def _collect_digits(self, call: ToolCall, arguments: DigitsArguments, at: float) -> Handled:
        return Handled(None, effects=(CollectDigits(call.call_id, arguments.wanted),))

    def _hold_on(self, call: ToolCall, arguments: None, at: float) -> Handled:
        return Handled(DONE_RESULT, False, (HoldOn(),))

    def _transfer_call(self, call: ToolCall, arguments: TransferArguments, at: float) -> Handled:
        name, places = arguments.destination, self.destinations.places
        if name not in places:
            return Handled(error_result(f"there is no destination {name[:64]}; known: {', '.join(places)}"))
        given = {known: value for known, value in arguments.fields.items() if value is not None}
        fields = {known: value for known in places[name].fields if (value := clean(str(given.get(known, ""))))}
        wanted = Handoff(
            name,
            places[name],
            "model",
            clean(arguments.reason),
            clean(arguments.summary),
            fields,
            will_wait=arguments.caller_will_wait,
        )
        if (refusal := self.destinations.refusal(wanted, at)) is None:
            warm = wanted.kind == "warm"
            effect = WarmTransferRequested(wanted) if warm else TransferRequested(wanted)
            return Handled(DONE_RESULT, False, (effect,))
        wrong = self.destinations.state(name, at).wrong
        declined = TransferDeclined(name, wanted.kind, str(refusal["state"]), wrong)
        return Handled(json.dumps(refusal, ensure_ascii=False), effects=(declined,))

    def _cancel_transfer(self, call: ToolCall, arguments: None, at: float) -> Handled:
        return Handled(DONE_RESULT, False, (WarmTransferCancelled(),))

    def _transfer_status(self, call: ToolCall, arguments: None, at: float) -> Handled:
        return Handled(json.dumps(self.destinations.status(at), ensure_ascii=False))

    def _take_message(self, call: ToolCall, arguments: MessageArguments, at: float) -> Handled:
        kinds = self.destinations.message_kinds
        if arguments.kind not in kinds:
            return Handled(error_result(f"kind must be one of: {', '.join(kinds)}"))
        text = clean(arguments.text, LONGEST_MESSAGE)
        if not text:
            return Handled(error_result("text is missing"))
        number = clean(arguments.number, 64) or self.caller_number
        if arguments.kind == "callback" and not any(c.isdigit() for c in number):
            return Handled(error_result("the caller's number is not known: ask for it"))
        if self._messages >= MOST_MESSAGES:
            return Handled(error_result("enough was noted in this call"))
        self._messages += 1
        kind: Literal["message", "callback"] = "callback" if arguments.kind == "callback" else "message"
        taken = MessageTaken(kind, text, number, clean(arguments.when, 200))
        return Handled(json.dumps({"ok": True, "noted": kind}), effects=(taken,))

    # -- declarations ---------------------------------------------------------------------------------

    def _transfer_declaration(self) -> dict[str, Any] | None:
        places = self.destinations.places
        if not places:
            return None
        listed = "; ".join(f"{name}: {place.description}" for name, place in places.items())
        fields = {name: what for place in places.values() for name, what in place.fields.items()}
        told = {
            "fields": {
                "type": "object",
                "description": "The values that you know; leave out the others.",
                "properties": {name: {"type": "string", "description": what} for name, what in fields.items()},
            }
        }
        named = ", ".join(name for name, place in places.items() if place.kind == "warm")
        warm = (
            f" With {named}, say that you are calling a human agent: the caller stays with you meanwhile."
            if named
            else ""
        )
        return {
            "type": "function",
            "name": "transfer_call",
            "description": "Transfer the caller to a human agent. First say in one short sentence that you do so, "
            f"then call this in the same turn, and say nothing after it.{warm} Destinations: {listed}",
            "parameters": {
                "type": "object",
                "properties": {
                    "destination": {"type": "string", "enum": list(places)},
                    "reason": {"type": "string", "description": "Why, in a few words."},
                    "summary": {
                        "type": "string",
                        "description": "Two or three sentences for the human agent who takes the call: who is calling, "
                        "what they want, what was said and done so far.",
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

    def _cancel_declaration(self) -> dict[str, Any] | None:
        warm = any(place.kind == "warm" for place in self.destinations.places.values())
        return _CANCEL_TRANSFER if warm else None

    def _status_declaration(self) -> dict[str, Any] | None:
        return _TRANSFER_STATUS if self.destinations.places else None

    def _message_declaration(self) -> dict[str, Any] | None:
        if not (kinds := self.destinations.message_kinds):
            return None
        return {
            "type": "function",
            "name": "take_message",
            "description": "Take a message for the human agents from a caller who cannot be transferred. First "
            "repeat it and have the caller agree.",
            "parameters": {
                "type": "object",
                "properties": {
                    "kind": {
                        "type": "string",
                        "enum": kinds,
                        "description": "message: they only leave word. callback: they want to be called.",
                    },
                    "text": {"type": "string", "description": "In full sentences: who it is, and what it is about."},
                    "number": {
                        "type": "string",
                        "description": "To call back, where it is not the one they call from.",
                    },
                    "when": {"type": "string", "description": "When they want to be called, as they said it."},
                },
                "required": ["kind", "text"],
            },
        }


def _without_arguments(name: str, description: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, "required": []}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


_END_CALL = _without_arguments("end_call", "Hang up. Use it only when the caller is done, after you have said goodbye.")
_HOLD_ON = _without_arguments(
    "hold_on",
    "The caller asked you to wait or is talking to someone else, or you hear a television or music. You stay silent "
    "until they speak to you again. Acknowledge in a word or two at most before you call it, and say nothing after it.",
)
_CANCEL_TRANSFER = _without_arguments(
    "cancel_transfer", "Stop calling a human agent, if the caller no longer wants one."
)
_TRANSFER_STATUS = _without_arguments(
    "transfer_status",
    "Tells whether human agents can take the caller now: closed, nobody there, how long the wait is. Call it before "
    "you offer a transfer.",
)

_TABLE = (
    BuiltinTool("end_call", None, lambda of: of._if_chosen(_END_CALL), BuiltinTools._end_call),
    BuiltinTool(
        "collect_digits", DigitsArguments, lambda of: of._if_chosen(COLLECT_DIGITS), BuiltinTools._collect_digits
    ),
    BuiltinTool("hold_on", None, lambda of: of._if_chosen(_HOLD_ON), BuiltinTools._hold_on),
    BuiltinTool("transfer_call", TransferArguments, BuiltinTools._transfer_declaration, BuiltinTools._transfer_call),
    BuiltinTool("cancel_transfer", None, BuiltinTools._cancel_declaration, BuiltinTools._cancel_transfer),
    BuiltinTool("transfer_status", None, BuiltinTools._status_declaration, BuiltinTools._transfer_status),
    BuiltinTool("take_message", MessageArguments, BuiltinTools._message_declaration, BuiltinTools._take_message),
)
NAMES = tuple(tool.name for tool in _TABLE)
"""The names of all built-in tools: no tool of a site's may have one of them."""
