"""The use and cost of the calls of this process, as they run."""

import time
from collections.abc import Callable
from datetime import tzinfo

from ariagent.config import CostSettings
from ariagent.localtime import day as local_day
from ariagent.realtime.events import Usage
from ariagent.records.cost import DailySpending, PriceTable


class Spending:
    """Prices, and today's sum. ``on_use`` is told (agent, model, usage, money or None) of every use."""

    def __init__(
        self,
        settings: CostSettings,
        spent_today: float = 0.0,
        on_use: Callable[[str, str, Usage, float | None], None] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        """``zone``: the time zone whose days count; None: the machine's."""
        self._zone = zone
        self._prices = PriceTable(settings)
        self._today = DailySpending(settings.daily_cap, self._day(), spent_today)
        self._on_use = on_use

    def configure(self, settings: CostSettings, zone: tzinfo | None = None) -> None:
        """Other prices, another cap and another zone hold from now on."""
        self._zone = zone
        self._prices = PriceTable(settings)
        self._today.cap = settings.daily_cap

    def money(self, model: str, usage: Usage) -> float | None:
        """The price of a use, which is not counted here; None: the model has no price."""
        return self._prices.money(model, usage)

    def used(self, agent: str, model: str, usage: Usage, transcribed_s: float = 0.0) -> float | None:
        """Count a use; returns what it costs, None where the model has no price."""
        money = self._prices.money(model, usage, transcribed_s)
        if money is not None:
            self._today.add(money, self._day())
        if self._on_use is not None:
            self._on_use(agent, model, usage, money)
        return money

    @property
    def over_cap(self) -> bool:
        """Today's calls have cost as much as they may."""
        return self._today.over_cap(self._day())

    def _day(self) -> str:
        return local_day(time.time(), self._zone)
