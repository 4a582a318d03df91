"""Languages by their codes."""

import pytest

from ariagent.values.languages import NAMES, WEEKDAYS, weekday


def test_every_language_has_seven_days() -> None:
    assert set(WEEKDAYS) == set(NAMES)
    assert {len(set(days)) for days in WEEKDAYS.values()} == {7}


@pytest.mark.parametrize(
    ("code", "number", "name"),
    [("en", 0, "Monday"), ("de", 6, "Sonntag"), ("pt-BR", 1, "terça-feira"), ("xx", 2, "Wednesday")],
)
def test_the_name_of_a_day(code: str, number: int, name: str) -> None:
    assert weekday(code, number) == name
