"""What the calls of this process use and cost, as it is used."""

import time
from collections.abc import Callable

from ariagent.config import CostSettings
from ariagent.realtime.events import Usage
from ariagent.records.cost import DailySpending, PriceTable
from ariagent.records.store import local_day


class Spending:
    """Prices, and today's sum. ``on_use`` is told (agent, model, usage, money or None) of every use."""

    def __init__(
        self,
        settings: CostSettings,
        spent_today: float = 0.0,
        on_use: Callable[[str, str, Usage, float | None], None] | None = None,
    ) -> None:
        self._prices = PriceTable(settings)
        self._today = DailySpending(settings.daily_cap, _today(), spent_today)
        self._on_use = on_use

    def configure(self, settings: CostSettings) -> None:
        """Other prices and another cap hold from now on."""
        self._prices = PriceTable(settings)
        self._today.cap = settings.daily_cap

    def used(self, agent: str, model: str, usage: Usage, transcribed_s: float = 0.0) -> float | None:
        """Count a use; returns what it costs, None where the model has no price."""
        money = self._prices.money(model, usage, transcribed_s)
        if money is not None:
            self._today.add(money, _today())
        if self._on_use is not None:
            self._on_use(agent, model, usage, money)
        return money

    @property
    def over_cap(self) -> bool:
        """Today's calls have cost as much as they may."""
        return self._today.over_cap(_today())


def _today() -> str:
    return local_day(time.time())
