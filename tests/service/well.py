"""The health of a service that takes calls, to change in part by ``dataclasses.replace``."""

from ariagent.service.health import Health

WELL = Health(
    application="ariagent",
    version="1",
    started=True,
    listening=True,
    waiting_for="",
    audio_failed=False,
    audio="ok",
    model="ok",
    manager="connected",
    seats={"open": True, "reason": None},
    calls=2,
    draining=False,
    control_port=9094,
)
