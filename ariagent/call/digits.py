"""``collect_digits``: the tool by which the model asks for digits that it gets as text, not by ear. No I/O."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from ariagent.call.keypad import LONGEST_NUMBER, AskAgain, Collect, Collected, CollectFailed

COLLECT_DIGITS: dict[str, Any] = {
    "type": "function",
    "name": "collect_digits",
    "description": "Get a number that the caller types on the telephone's keypad, exactly as typed. First ask the "
    "caller to type it (and to press the terminator at the end, if there is one), then call this. Use it for "
    "order, customer and account numbers, dates and PINs, rather than listening to spoken digits.",
    "parameters": {
        "type": "object",
        "properties": {
            "length": {
                "type": "integer",
                "minimum": 1,
                "maximum": LONGEST_NUMBER,
                "description": "How many digits, when it is known exactly.",
            },
            "min_length": {"type": "integer", "minimum": 1, "maximum": LONGEST_NUMBER, "description": "Default 1."},
            "max_length": {
                "type": "integer",
                "minimum": 1,
                "maximum": LONGEST_NUMBER,
                "description": f"Default {LONGEST_NUMBER}.",
            },
            "terminator": {
                "type": "string",
                "enum": ["#", "*", ""],
                "description": "The key that ends the number; default #. Empty: none, a pause does.",
            },
            "timeout_s": {
                "type": "number",
                "minimum": 1,
                "maximum": 120,
                "description": "Seconds to wait for the first key; default 10.",
            },
            "retries": {
                "type": "integer",
                "minimum": 0,
                "maximum": 5,
                "description": "How often the caller is asked again when too few digits come; default 2.",
            },
            "read_back": {
                "type": "boolean",
                "description": "The caller is to confirm the digits before they are used; default false.",
            },
        },
        "required": [],
    },
}
"""In the form that ``session.update`` takes."""


class _Arguments(BaseModel):
    length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    min_length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    max_length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    terminator: Literal["#", "*", "", None] = None
    timeout_s: Annotated[float, Field(ge=1, le=120)] | None = None
    retries: Annotated[int, Field(ge=0, le=5)] | None = None
    read_back: bool | None = None

    @model_validator(mode="after")
    def _lengths_agree(self) -> "_Arguments":
        if self.length is not None and (self.min_length or self.max_length):
            raise ValueError("give either length, or min_length and max_length")
        if (self.min_length or 1) > (self.max_length or LONGEST_NUMBER):
            raise ValueError("min_length is more than max_length")
        return self


def parse_collect(arguments: str) -> Collect | str:
    """The tool's arguments (JSON text, as the model wrote it), or what is wrong with them, for the model."""
    try:
        asked = _Arguments.model_validate_json(arguments.strip() or "{}")
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
        return "; ".join(wrong)[:500]
    default = Collect()
    return Collect(
        min_length=asked.length or asked.min_length or default.min_length,
        max_length=asked.length or asked.max_length or default.max_length,
        terminator=default.terminator if asked.terminator is None else asked.terminator,
        first_timeout_s=asked.timeout_s or default.first_timeout_s,
        tries=default.tries if asked.retries is None else asked.retries + 1,
        read_back=bool(asked.read_back),
    )


def ask_again_note(event: AskAgain, wanted: Collect) -> str:
    """For the model, while its call of the tool still runs: what to say to the caller now."""
    what = "typed nothing" if event.reason == "timeout" else "typed too few digits"
    end = f", and to press {wanted.terminator} at the end" if wanted.terminator else ""
    return (
        f"[system] The caller {what}. In one short sentence, in the caller's language, ask them to type the whole "
        f"number again{end}. The number is still being collected: call no tool."
    )


def collect_output(event: Collected | CollectFailed, wanted: Collect) -> str:
    """The tool's result as JSON text for the model."""
    if isinstance(event, CollectFailed):
        return json.dumps({"error": _FAILED[event.reason]})
    result: dict[str, Any] = {"digits": event.digits}
    steps = []
    if not event.complete:
        steps.append(f"The caller stopped without pressing {wanted.terminator}.")
    if wanted.read_back or not event.complete:
        steps.append("Read the digits back one by one and ask whether they are right, before you use them.")
    if steps:
        result["next"] = " ".join(steps)
    return json.dumps(result)


def refusal(wrong: str) -> str:
    """The tool's result for arguments that are wrong, as JSON text for the model."""
    return json.dumps({"error": wrong})


_FAILED = {
    "timeout": "the caller typed nothing; ask for the number to be spoken, or go on without it",
    "too_short": "the caller typed too few digits each time; ask for the number to be spoken, or go on without it",
    "replaced": "another collect_digits was called before this one was over",
}
