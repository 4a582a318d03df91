"""CORE: when a trouble that lasts is logged: when it begins, when it changes, and seldom while it stays.

``now``: seconds of a monotonic clock.
"""

REMIND_S = 300.0
"""A trouble that stays the same is logged again after this."""


class Reminder:
    """The reminder of one kind of trouble. Each ``what`` (the cause, or the thing that is troubled) is logged for
    itself."""

    def __init__(self, every_s: float = REMIND_S) -> None:
        self._every_s = every_s
        self._logged: dict[str, float] = {}

    def due(self, what: str, now: float) -> bool:
        """Whether ``what`` is to be logged now."""
        # An older entry is due again, or over: it need not be remembered.
        self._logged = {key: at for key, at in self._logged.items() if now - at < self._every_s}
        if what in self._logged:
            return False
        self._logged[what] = now
        return True

    def over(self) -> None:
        """The trouble is over: the next one is news."""
        self._logged.clear()
