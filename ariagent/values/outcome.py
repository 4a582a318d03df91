"""The outcome of a tool call, and the words about a failure to the model. No I/O."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ariagent.errors import AriagentError

SORRY = "Tell the caller that this does not work right now; do not guess the answer"
UNSURE = (
    "It may have taken effect all the same: tell the caller that it is not confirmed, and do not call it again without "
    "asking them"
)
NOT_DONE = "It was not done. Tell the caller that this does not work right now"


class Kind(StrEnum):
    """How a call went; the label of its metric."""

    OK = "ok"
    UNKNOWN_TOOL = "unknown_tool"
    """The model called what the agent does not have."""
    BAD_ARGUMENTS = "bad_arguments"
    """Nothing was sent: no JSON, not what the schema asks for, or nothing that may be in the URL."""
    NOT_KNOWN = "not_known"
    """Nothing was sent: the site binds the tool to a value that this call does not have (a withheld number)."""
    BUSY = "busy"
    """Nothing was sent: too many others were under way for as long as the tool may take."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, or it was lost."""
    FORBIDDEN = "forbidden"
    """A host or an address that ``outbound`` does not allow."""
    REDIRECT = "redirect"
    """3xx, but for 303 to what is no GET: that was done."""
    HTTP_STATUS = "http_status"
    """4xx or 5xx."""
    BAD_ANSWER = "bad_answer"
    """An answer to a GET that lacks what ``answer`` asks for, or an answer that is no HTTP."""
    TOO_LARGE = "too_large"
    FAILED = "failed"
    """The site's Python raised or returned what is no JSON; or an internal error."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one call."""

    output: str
    """JSON text for the model."""
    ok: bool
    kind: str
    """A ``Kind``."""


class ToolFailure(AriagentError):  # noqa: N818
    """A call that failed. ``line`` is for the model: what happened and what to do, without secrets and URLs.

    ``detail`` is for the log.
    """

    def __init__(self, kind: Kind, cause: str, *, remedy: str = SORRY, detail: str = "") -> None:
        super().__init__(cause, remedy=remedy)
        self.kind = kind
        self.detail = detail

    @property
    def outcome(self) -> Outcome:
        return Outcome(json_text({"error": self.line}), ok=False, kind=self.kind)


def json_text(value: Any) -> str:
    """Compact JSON. Raises TypeError, ValueError or RecursionError for what is none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
