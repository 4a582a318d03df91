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
    """Keep the words of caller and agent, and the arguments and answers of tools."""
    until_the_end: bool = True
    """With ``transcripts: false``: keep the transcript until the call ends, so that the call survives a restart of the
    service."""
    withheld_numbers: bool = False
    """If a caller withholds the number, keep it in the call's record (event ``call.number_withheld``, field
    ``number``). No other place has it: neither the log nor the API, the prompt or a lookup."""
    keep_days: Annotated[float, Field(gt=0)] = 30.0
    """Days after which records are deleted."""


class PriceSettings(Section):
    """Prices of one model. A price is money for a million tokens."""

    input_text: Money
    """Input that is text: instructions, functions, digits."""
    cached_text: Money
    """Text input that the server still has in its cache from an earlier response."""
    output_text: Money
    """Output that is text: transcripts of the agent's speech, arguments of functions."""
    input_audio: Money
    """Input that is audio: the caller's speech, and the earlier speech in the conversation."""
    cached_audio: Money
    """Audio input that the server still has in its cache from an earlier response."""
    output_audio: Money
    """Output that is audio: the agent's speech."""
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
    """Prices by model. For other models ariagent counts only tokens."""
    daily_cap: Money | None = None
    """When the day's calls have cost this much, new callers are sent to the human queue. null: no cap. The day begins
    at midnight in ``timezone``."""


class CapsSettings(Section):
    """Caps. If a cap is reached, new callers are sent to the human queue. (``max_calls`` limits the calls at the same
    time, ``agents.NAME.max_calls`` those of one agent.)"""

    calls_per_caller_per_hour: Annotated[int, Field(ge=1)] | None = None
    """The largest number of calls from one number within any 60 minutes. ariagent does not count callers without a
    number and callers who return from the human queue. null: no cap."""
    minutes_per_day: Annotated[float, Field(gt=0)] | None = 1440.0
    """The largest number of minutes of conversation a day, in all calls together. Running calls continue. null: no
    cap. The day begins at midnight in ``timezone``."""
    minutes_per_day_unknown: Annotated[float, Field(gt=0)] | None = 60.0
    """The largest number of minutes of conversation a day with callers without a number (withheld or unknown). These
    minutes also count in ``minutes_per_day``. null: no separate cap."""
