"""What is done when a call or the machine is in trouble that nothing else reports."""

from typing import Annotated

from pydantic import Field

from ariagent.config.base import Seconds, Section


class WatchdogSettings(Section):
    """Calls that cannot be heard, and a machine that is too busy for more calls."""

    no_audio_s: Seconds = 300.0
    """A caller of whom no audio comes for so long goes to people. A phone on hold may send none."""
    lag_ms: Annotated[float, Field(gt=0)] = 100.0
    """New calls go to people, and the AI's seats are paused (``overloaded``), while of the last seconds' looks at the
    clock one in twenty comes so much too late. Callers begin to hear it at about 60."""
