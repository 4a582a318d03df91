"""Settings of ``ariagent rescue``: callers whose service has died."""

from ariagent.config.base import Seconds, Section


class RescueSettings(Section):
    """``ariagent rescue`` runs beside the service. It sends the callers of a dead service to the human queue."""

    after_s: Seconds = 10.0
    """If the service does not answer for this long, rescue moves its callers. A restart with takeover takes 1 to 2 s.
    If rescue cannot see the service's Unix socket in ``state_directory``, and ``http.port`` is only busy, rescue waits
    for 30 s."""
