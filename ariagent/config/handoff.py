"""Where agents may hand callers to."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ariagent.config.base import Section

Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")]


class DestinationSettings(Section):
    """People that an agent may hand a caller to: a queue, or an extension. The model sees name and description only."""

    description: Annotated[str, Field(min_length=1, max_length=300)]
    """Tells the model who is there, and for what."""
    queue: Place | None = None
    """A queue of Asterisk's; the caller waits in it."""
    extension: Annotated[str, Field(pattern=r"^[A-Za-z0-9+*#_-]{1,64}$")] | None = None
    """Instead of a queue: an extension of the dialplan, which may also be a way to an outside number."""
    context: Place = "ariagent-internal"
    """Of the extension."""
    timeout_s: Annotated[int, Field(ge=5, le=3600)] = 60
    """How long the caller waits for somebody; then they come back to the agent."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.queue is None) == (self.extension is None):
            raise ValueError("needs a queue or an extension, and not both")
        return self
