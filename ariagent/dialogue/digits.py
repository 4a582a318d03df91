"""``collect_digits``: the tool by which the model asks for digits that it gets as text, not by ear. No I/O."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from ariagent.dialogue.keypad import LONGEST_NUMBER, Collect

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
"""The tool's declaration, as ``session.update`` takes it."""


class DigitsArguments(BaseModel):
    """Arguments of ``collect_digits``."""

    length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    min_length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    max_length: Annotated[int, Field(ge=1, le=LONGEST_NUMBER)] | None = None
    terminator: Literal["#", "*", "", None] = None
    timeout_s: Annotated[float, Field(ge=1, le=120)] | None = None
    retries: Annotated[int, Field(ge=0, le=5)] | None = None
    read_back: bool | None = None

    @model_validator(mode="after")
    def _lengths_agree(self) -> "DigitsArguments":
        if self.length is not None and (self.min_length or self.max_length):
            raise ValueError("give either length, or min_length and max_length")
        if (self.min_length or 1) > (self.max_length or LONGEST_NUMBER):
            raise ValueError("min_length is more than max_length")
        return self

    @property
    def wanted(self) -> Collect:
        """The number to collect; what the model left out has its default."""
        default = Collect()
        return Collect(
            min_length=self.length or self.min_length or default.min_length,
            max_length=self.length or self.max_length or default.max_length,
            terminator=default.terminator if self.terminator is None else self.terminator,
            first_timeout_s=self.timeout_s or default.first_timeout_s,
            tries=default.tries if self.retries is None else self.retries + 1,
            read_back=bool(self.read_back),
        )
