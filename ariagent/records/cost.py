"""The cost of calls: tokens times prices. CORE.

Rules (OpenAI's pricing and ``response.done`` reference): cached tokens are part of the input's, at a price of their
own; every response bills the whole conversation again; transcription is billed apart, by the minute.
Days are given as text (``2026-11-22``, local), for a core has no calendar.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ariagent.config import CostSettings, PriceSettings
from ariagent.realtime.events import SANDBOX, Usage

KINDS = ("input_text", "cached_text", "output_text", "input_audio", "cached_audio", "output_audio")
"""The kinds of tokens: fields of ``Usage`` and, under the same names, of ``PriceSettings``."""

_FREE = PriceSettings.model_validate(dict.fromkeys(PriceSettings.model_fields, 0))
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Share:
    """One kind's part of a bill. ``input_*`` is without the cached part here, so that the shares add up."""

    kind: str
    amount: int | float
    """Tokens, or seconds of the kind ``transcription``."""
    money: float | None
    """None where the model has no price."""


def shares(usage: Usage, price: PriceSettings | None, transcribed_s: float = 0.0) -> tuple[Share, ...]:
    """The billed amounts of ``usage`` (and ``transcribed_s`` seconds of transcribed speech); kinds without use are left
    out."""
    tokens = {kind: max(0, getattr(usage, kind)) for kind in KINDS}
    for what in ("text", "audio"):
        # A server that counts more cached than there is does not make money.
        tokens[f"cached_{what}"] = min(tokens[f"cached_{what}"], tokens[f"input_{what}"])
        tokens[f"input_{what}"] -= tokens[f"cached_{what}"]
    found = [
        Share(kind, count, None if price is None else count * getattr(price, kind) / 1e6)
        for kind, count in tokens.items()
        if count
    ]
    if transcribed_s > 0:
        money_ = None if price is None else transcribed_s / 60 * price.transcription_minute
        found.append(Share("transcription", transcribed_s, money_))
    return tuple(found)


def money(usage: Usage, price: PriceSettings, transcribed_s: float = 0.0) -> float:
    """The cost of ``usage``, in the currency of the prices."""
    return sum(share.money or 0.0 for share in shares(usage, price, transcribed_s))


class PriceTable:
    """The site's prices, by model."""

    def __init__(self, settings: CostSettings) -> None:
        self.currency = settings.currency
        self._prices: Mapping[str, PriceSettings] = settings.prices

    def of(self, model: str) -> PriceSettings | None:
        """The price of ``model``, or of the model that it is a dated snapshot of; None: not in the table.

        The sandbox's use costs nothing unless the site gives it a price.
        """
        found = self._prices.get(model) or self._prices.get(_SNAPSHOT.sub("", model))
        return _FREE if found is None and model == SANDBOX else found

    def money(self, model: str, usage: Usage, transcribed_s: float = 0.0) -> float | None:
        """The cost of ``usage`` of ``model``; None if the table has no price for it."""
        price = self.of(model)
        return None if price is None else money(usage, price, transcribed_s)


class DailySpending:
    """The cost of today's calls so far, and whether it is above the cap. A new day begins at nothing."""

    def __init__(self, cap: float | None, day: str = "", spent: float = 0.0) -> None:
        """``spent``: what ``day`` had already cost when the process started (from the journal)."""
        self.cap = cap
        self._day = day
        self._spent = spent

    def add(self, amount: float, day: str) -> None:
        """A call of ``day`` cost ``amount`` (more)."""
        # A call over midnight reports its last use late: that must not bring yesterday back.
        if day > self._day:
            self._day, self._spent = day, 0.0
        self._spent += amount

    def spent(self, day: str) -> float:
        """The cost of ``day`` so far, for today or a later day."""
        return self._spent if day <= self._day else 0.0

    def over_cap(self, day: str) -> bool:
        """Whether calls that begin on ``day`` are to be refused."""
        return self.cap is not None and self.spent(day) >= self.cap
