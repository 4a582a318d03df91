"""Check for models that the model's server is going to shut down, if it announces that."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.config import Settings
from ariagent.realtime.lifetimes import SOON_DAYS, Shutdown, shutdowns, used_models
from ariagent.realtime.models import announced

NAME = "model lifetime"


async def check_shutdowns(settings: Settings, say: Say) -> None:
    """Report which of the used models end soon. No result if the server has no such list."""
    for realtime in settings.realtime.endpoints:
        dates = await announced(realtime)
        if dates:
            host = urlsplit(realtime.url).hostname or ""
            ends = shutdowns(used_models(settings.agents, realtime), dates)
            for result in judge_shutdowns(ends, host, time.time()):
                say(result)


def judge_shutdowns(ends: list[Shutdown], host: str, now: float) -> Iterator[Result]:
    """``ends``: the announced ends of used models; ``now``: seconds since the epoch. No I/O."""
    near = [end for end in ends if end.days_left(now) <= SOON_DAYS]
    for end in near:
        key = "agents.NAME.transcription.model" if end.model.transcribes else "realtime.model or agents.NAME.model"
        remedy = f"Choose another model ({key}), and rehearse with it"
        if end.at <= now:
            yield failed(NAME, f"{end.model.what}: {host} shut it down on {end.date}", remedy)
        else:
            days = end.days_left(now)
            found = f"{end.model.what}: {host} shuts it down on {end.date}, in {days} day{'' if days == 1 else 's'}"
            yield warning(NAME, found, remedy, days=days)
    if not near:
        later = f"; the first to end is {ends[0].model.name}, on {ends[0].date}" if ends else ""
        yield ok(NAME, f"{host} shuts down none of the models in use within {SOON_DAYS} days{later}")
