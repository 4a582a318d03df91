"""Where agents may transfer callers, and how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ariagent.config.base import Form, LocalPath, Section, Text

Alternative = Literal["wait", "message", "callback", "stay"]
"""An offer to a caller who cannot be transferred now, or only after a long wait."""
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


class AnnouncementSettings(Section):
    """Spoken summaries for the human agent who takes a call. Asterisk plays them from files, which ariagent deletes
    afterwards."""

    directory: LocalPath | None = None
    """The service writes the files there, and Asterisk reads them. null: ``announcements`` in ``state_directory``.
    Every user of the machine may enter that folder, but not list it. ``ariagent check`` makes Asterisk play a file
    there."""


class DestinationSettings(Section):
    """Where an agent may transfer a caller: a queue or an extension. The model sees only name and description."""

    description: Annotated[str, Field(min_length=1, max_length=300)]
    """Tells the model who answers there, and for which requests."""
    queue: Queue | None = None
    """An Asterisk queue. The caller waits in it."""
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
    """An extension of the dialplan, in place of a queue. It may lead to an outside number."""
    context: Place = "ariagent-internal"
    """The dialplan context of the extension."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long the caller waits for a human agent. After that the caller returns to the AI."""
    kind: Literal["blind", "briefed", "warm"] = "briefed"
    """``blind``: the caller is transferred at once. ``briefed`` (announced): the human agent hears a summary first,
    while the caller hears music. ``warm``: the caller talks with the AI until a human agent has heard the summary."""
    accept: Annotated[Text, Form(r"^[0-9*#]$", 'must be one key of 0 to 9, * and #, as "1" in quotes')] | None = None
    """The key, for example "1", with which the human agent takes the call. An answering machine or a fax never presses
    it. A human agent who answers hears the summary and the key. If they do not press it within about 12 s, their leg is
    hung up, and the caller stays in the queue or with the AI. null: the first leg that answers gets the caller. Not for
    ``kind: blind``."""
    machines: Literal["end", "ignore"] = "end"
    """Reaction to a fax, a modem or the beep of an answering machine after a warm transfer was answered. ``end``: that
    leg is hung up, and the caller stays with the AI."""
    name_prefix: Annotated[str, Field(max_length=32)] = ""
    """Shown before the caller's name on the human agent's phone."""
    fields: dict[FieldName, Annotated[str, Field(min_length=1, max_length=200)]] = {}
    """Data that the agent passes on with the summary: name, and a description for the model."""
    hours: str | None = None
    """When human agents are there: a name from ``hours``. null: always."""
    ask_above_s: Annotated[int, Field(ge=0)] | None = 120
    """If the wait would be longer than this, the agent asks whether the caller wants to wait. If nobody is logged in,
    the caller is not transferred. null: callers are transferred in any case. Needs ``ami``."""
    alternatives: Alternatives | None = None
    """The agent's offers instead of the transfer. null: the agent's own ``alternatives``."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.queue is None) == (self.extension is None):
            raise ValueError("needs a queue or an extension, and not both")
        if self.accept is not None and self.kind == "blind":
            raise ValueError("accept needs kind: briefed or kind: warm")
        return self
