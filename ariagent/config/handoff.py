"""Where agents may hand callers to, and how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ariagent.config.base import Form, LocalPath, Section, Text

Alternative = Literal["wait", "message", "callback", "stay"]
"""What a caller can be offered who cannot be put through now, or only after a long wait."""
Alternatives = Annotated[tuple[Alternative, ...], Field(max_length=4)]

Place = Annotated[
    Text,
    Form(
        r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$",
        "must be a name in Asterisk of letters, digits, _ and -, at most 64 of them, as support",
    ),
]
QUEUE_NAME = r"[A-Za-z0-9_+](?:[A-Za-z0-9_+. -]{0,62}[A-Za-z0-9_+.-])?"
Queue = Annotated[
    Text,
    Form(
        f"^{QUEUE_NAME}$",
        "must be a name in Asterisk of letters, digits, spaces and _ + - ., at most 64 of them, as support",
    ),
]
FieldName = Annotated[
    str,
    Form(
        r"^[a-z][a-z0-9_]{0,31}$",
        "must be a name of small letters, digits and _, at most 32 of them, as order_number",
    ),
]


class BriefSettings(Section):
    """Summaries, spoken for whoever takes a call: files that Asterisk plays, removed after use."""

    directory: LocalPath | None = None
    """The service writes there and Asterisk reads; null: ``briefs`` in ``state_directory``, which every user of the
    machine may enter and nobody may list. ``ariagent check`` asks Asterisk whether it can play a file there."""


class DestinationSettings(Section):
    """People that an agent may hand a caller to: a queue, or an extension. The model sees name and description only."""

    description: Annotated[str, Field(min_length=1, max_length=300)]
    """Tells the model who is there, and for what."""
    queue: Queue | None = None
    """A queue of Asterisk's; the caller waits in it."""
    extension: (
        Annotated[
            Text,
            Form(
                r"^[A-Za-z0-9+*#_-]{1,64}$",
                'must be an extension of letters, digits and + * # _ -, at most 64 of them, as "1001" in quotes',
            ),
        ]
        | None
    ) = None
    """Instead of a queue: an extension of the dialplan, which may also be a way to an outside number."""
    context: Place = "ariagent-internal"
    """Of the extension."""
    timeout_s: Annotated[int, Field(ge=5, le=3600)] = 60
    """How long the caller waits for somebody; then they come back to the agent."""
    kind: Literal["blind", "briefed", "warm"] = "briefed"
    """``blind``: like a transfer. ``briefed``: who takes the call hears a summary first, while the caller hears music.
    ``warm``: the caller goes on talking with the agent until somebody takes the call and has heard the summary."""
    name_prefix: Annotated[str, Field(max_length=32)] = ""
    """Set before the caller's name on the display of who takes the call."""
    fields: dict[FieldName, Annotated[str, Field(min_length=1, max_length=200)]] = {}
    """What the agent passes on besides the summary, by name, with a description for the model."""
    hours: str | None = None
    """When people are there: a name from ``hours``; null: always."""
    ask_above_s: Annotated[int, Field(ge=0)] | None = 120
    """A caller who would wait longer than this is asked whether they will, and one for whom nobody is logged in is not
    put through; null: everybody is, whatever the queue looks like. Needs ``ami``, which tells that."""
    alternatives: Alternatives | None = None
    """What a caller is offered instead; null: what the agent says."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.queue is None) == (self.extension is None):
            raise ValueError("needs a queue or an extension, and not both")
        return self
