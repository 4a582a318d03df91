"""Watches for announced ends of models that agents use: at the start, once a day, and after a reload."""

import asyncio
import logging
import time
from collections.abc import Callable

from ariagent.config import Settings
from ariagent.metrics import Metrics
from ariagent.realtime.lifetimes import DAY_S, SOON_DAYS, Shutdown, shutdowns, used_models
from ariagent.realtime.models import announced

log = logging.getLogger(__name__)


class ShutdownWatch:
    """``settings``: those that count now."""

    def __init__(self, settings: Callable[[], Settings], metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._again = asyncio.Event()

    def look_again(self) -> None:
        """Ask soon: other models may be in use."""
        self._again.set()

    async def run(self) -> None:
        """Run until cancelled. A server that does not tell is asked again the next day."""
        while True:
            # Before the look: a reload during its requests needs another one.
            self._again.clear()
            await self._look()
            try:
                async with asyncio.timeout(DAY_S):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        settings = self._settings()
        ends: dict[str, Shutdown] = {}
        for realtime in settings.realtime.endpoints:
            for end in shutdowns(used_models(settings.agents, realtime), await announced(realtime)):
                # A model of two endpoints, or one that also transcribes: its first end counts.
                known = ends.setdefault(end.model.name, end)
                if end.at < known.at:
                    ends[end.model.name] = end
        now = time.time()
        for end in ends.values():
            if end.days_left(now) <= SOON_DAYS:
                _tell(end, now)
        self._metrics.model_shutdowns({name: end.at for name, end in ends.items()})


def _tell(end: Shutdown, now: float) -> None:
    fields = {
        "model": end.model.name,
        "transcribes": end.model.transcribes,
        "agents": ",".join(end.model.agents),
        "date": end.date,
        "days_left": end.days_left(now),
    }
    level = logging.ERROR if end.at <= now else logging.WARNING
    log.log(level, "model.shutdown_announced", extra={"fields": fields})
