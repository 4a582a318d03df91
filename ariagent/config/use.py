"""What is kept of calls, and what they may cost."""

from typing import Annotated

from pydantic import Field

from ariagent.config.base import Section

Money = Annotated[float, Field(ge=0)]


class RecordsSettings(Section):
    """What is kept of each call, in ``state_directory``; ``ariagent calls`` reads it."""

    enabled: bool = True
    """Keep records at all."""
    transcripts: bool = True
    """Keep what caller and agent said, and what tools were told and answered."""
    until_the_end: bool = True
    """Where transcripts are not kept: keep them while the call lasts, so that it can go on when the service dies."""
    keep_days: Annotated[float, Field(gt=0)] = 30.0
    """Older calls are deleted."""


class PriceSettings(Section):
    """Money per million tokens of one model."""

    input_text: Money
    """Instructions, functions, digits."""
    cached_text: Money
    """The same, seen before in the call."""
    output_text: Money
    """Transcripts of the agent, arguments of functions."""
    input_audio: Money
    """What the caller says, and what was said before."""
    cached_audio: Money
    """The same, seen before in the call."""
    output_audio: Money
    """What the agent says."""
    transcription_minute: Money = 0.0045
    """Per minute of caller speech, where transcription is on."""


PRICES = {
    "gpt-realtime-2.1": PriceSettings(
        input_text=4, cached_text=0.4, output_text=24, input_audio=32, cached_audio=0.4, output_audio=64
    ),
    "gpt-realtime-2.1-mini": PriceSettings(
        input_text=0.6, cached_text=0.06, output_text=2.4, input_audio=10, cached_audio=0.3, output_audio=20
    ),
}
"""Source: OpenAI's model pages, November 2026."""


class CostSettings(Section):
    """Prices, and what is too much."""

    currency: str = "USD"
    """Of all amounts."""
    prices: dict[str, PriceSettings] = PRICES
    """By model; calls of a model that is not here are counted in tokens only."""
    daily_cap: Money | None = None
    """Once a day's calls have cost this, new ones are refused as busy, so that they go to people; null: no cap. Days
    are the machine's local ones."""


class CapsSettings(Section):
    """How much is too much; over a cap callers go to people. Calls at once: ``max_calls``, here and of each agent."""

    calls_per_caller_per_hour: Annotated[int, Field(ge=1)] | None = None
    """Of one number within any 60 minutes; callers without a number are not counted, nor are those who come back from
    people. null: no cap."""
    minutes_per_day: Annotated[float, Field(gt=0)] | None = None
    """Of conversation, all calls together; null: no cap. Running calls go on. Days are the machine's local ones."""
