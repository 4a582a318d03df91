"""How long what callers hear may take in these tests."""

BUSY = 3
"""So many times as long it may take where other tests run at the same time: with two calls, in ``make test``."""


def allowed_s(limit_s: float, calls: int) -> float:
    """The limit in seconds with so many calls; ``limit_s`` is that of a machine that does nothing else."""
    return (BUSY if calls == 2 else 1) * limit_s
