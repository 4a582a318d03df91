"""What happens to callers when the service dies and does not come back."""

from ariagent.config.base import Seconds, Section


class RescueSettings(Section):
    """For ``ariagent rescue``, which runs beside the service and sends its callers to people when it is gone."""

    after_s: Seconds = 10.0
    """How long the service may be silent; it needs a second or two to start again and take its calls over."""
