"""Limits for trouble that nothing else reports: a call without audio, an overloaded machine."""

from typing import Annotated

from pydantic import Field

from ariagent.config.base import Seconds, Section


class WatchdogSettings(Section):
    """Calls without audio, and a machine that is too busy for more calls."""

    no_audio_s: Seconds = 300.0
    """If the caller's phone sends no audio for this long, the caller is sent to the human queue. A phone on
    hold may send none."""
    lag_ms: Annotated[float, Field(gt=0)] = 100.0
    """Overload limit in ms (event loop delay). If more than 5 % of timer ticks in the last 5 s are later than this, new
    callers are sent to the human queue, and the seats are paused (``overloaded``). Callers hear gaps from about
    60 ms."""
