"""Identifiers in the API's style (CORE)."""


class Ids:
    """Unique ids of one session, such as ``item_a3f9k2000001``; ``salt`` keeps sessions apart."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._last: dict[str, int] = {}

    def next(self, prefix: str) -> str:
        """A new id that starts with ``prefix`` and an underscore."""
        count = self._last.get(prefix, 0) + 1
        self._last[prefix] = count
        return f"{prefix}_{self._salt}{count:06d}"
