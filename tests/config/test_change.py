"""What a running service takes over of changed settings."""

from ariagent.config import Settings
from ariagent.config.change import AT_RUN_TIME, changed


def test_what_differs_is_told_apart() -> None:
    old = Settings.model_validate({})
    assert changed(old, old) == ([], [])
    new = {"agents": {"default": {"voice": "cedar"}, "sales": {}}, "caps": {"minutes_per_day": 5}, "max_calls": 3}
    assert changed(old, Settings.model_validate(new)) == (["agents", "caps"], ["max_calls"])


def test_each_section_there_is() -> None:
    assert set(Settings.model_fields) > AT_RUN_TIME
