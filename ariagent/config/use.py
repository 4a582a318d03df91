"""Records of calls, and limits of their cost."""

from typing import Annotated

from pydantic import Field

from ariagent.config.base import Section

Money = Annotated[float, Field(ge=0)]


class RecordsSettings(Section):
    """Records of calls, in ``state_directory``. ``ariagent calls`` shows them."""

    enabled: bool = True
    """Keep records."""
    transcripts: bool = True
    """Keep what caller and agent said, and the arguments and answers of tools."""
    until_the_end: bool = True
    """With ``transcripts: false``: keep the transcript until the call ends, so that the call survives a restart of the
    service."""
    withheld_numbers: bool = False
    """Keep the numbers of callers who withhold them, in the call's record only (event ``call.number_withheld``, field
    ``number``). They are in no other place: not in the log, the API, the prompt, or a lookup."""
    keep_days: Annotated[float, Field(gt=0)] = 30.0
    """Days after which records are deleted."""


class PriceSettings(Section):
    """Money per million tokens of one model."""

    input_text: Money
    """Instructions, functions, digits."""
    cached_text: Money
    """Cached input: sent before in the call."""
    output_text: Money
    """Transcripts of the agent, arguments of functions."""
    input_audio: Money
    """The caller's speech, and the conversation before it."""
    cached_audio: Money
    """Cached input: sent before in the call."""
    output_audio: Money
    """The agent's speech."""
    transcription_minute: Money = 0.0045
    """Price of one minute of the caller's speech, if transcription is on."""


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
    """Prices of the model's tokens, and a daily cap."""

    currency: str = "USD"
    """Currency of all amounts."""
    prices: dict[str, PriceSettings] = PRICES
    """Prices by model. For other models only tokens are counted."""
    daily_cap: Money | None = None
    """Once the day's calls have cost this much, new calls are sent to the human queue. null: no cap. A day is that of
    ``timezone``."""


class CapsSettings(Section):
    """Limits. Above them callers go to the human queue. ``max_calls``, also for each agent, limits calls at once."""

    calls_per_caller_per_hour: Annotated[int, Field(ge=1)] | None = None
    """Calls of one number within any 60 minutes. Callers without a number are not counted, nor callers who return from
    the human queue. null: no cap."""
    minutes_per_day: Annotated[float, Field(gt=0)] | None = 1440.0
    """Minutes of conversation a day, all calls together. Running calls continue. null: no cap. A day is that of
    ``timezone``."""
    minutes_per_day_unknown: Annotated[float, Field(gt=0)] | None = 60.0
    """Minutes of conversation a day with callers without a number (withheld or unknown). These minutes also count in
    ``minutes_per_day``. null: no separate cap."""
