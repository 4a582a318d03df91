"""How many examples a property is tried with."""

from hypothesis import settings

FULL = settings.get_profile("default").max_examples
"""Hypothesis takes so many if nobody says more."""


def examples(count: int) -> int:
    """As many, or the share of them that the chosen profile of hypothesis takes: ``make test`` takes a quarter."""
    return max(1, count * settings().max_examples // FULL)
