"""CORE: local dates and times, in a time zone of the settings or the machine's.

Moments are seconds since the epoch. ``zone`` None is the machine's own zone (``TZ``, ``/etc/localtime``).
"""

from datetime import datetime, tzinfo

from ariagent.values import languages


def local(at: float, zone: tzinfo | None = None) -> datetime:
    """The wall clock at ``at``, with its zone."""
    return datetime.fromtimestamp(at).astimezone() if zone is None else datetime.fromtimestamp(at, zone)


def day(at: float, zone: tzinfo | None = None) -> str:
    """The date at ``at``, as ``2026-11-22``."""
    return local(at, zone).strftime("%Y-%m-%d")


def midnight(at: float, zone: tzinfo | None = None) -> float:
    """When the day of ``at`` began. Where clocks skip midnight it begins with the change; of two midnights with the
    first one."""
    begins = local(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (begins.replace(tzinfo=None) if zone is None else begins).timestamp()


def weekday(at: float, zone: tzinfo | None, language: str) -> str:
    """The name of the day at ``at``, in the language of a code."""
    return languages.weekday(language, local(at, zone).weekday())


def clock(at: float, zone: tzinfo | None = None) -> str:
    """The time of day at ``at``, as ``23:59``."""
    return local(at, zone).strftime("%H:%M")
