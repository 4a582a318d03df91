"""Changed settings that a running service takes over."""

from ariagent.config import Settings
from ariagent.configfile.change import AT_RUN_TIME, changed


def test_what_differs_is_told_apart() -> None:
    old = Settings.model_validate({})
    assert changed(old, old) == ([], [])
    new = {"agents": {"default": {"voice": "cedar"}, "sales": {}}, "caps": {"minutes_per_day": 5}, "max_calls": 3}
    assert changed(old, Settings.model_validate(new)) == (["agents", "caps"], ["max_calls"])


def test_how_much_is_logged_and_kept_can_be_changed() -> None:
    new = {"log": {"level": "debug", "transcripts": True}, "records": {"keep_days": 1, "transcripts": False}}
    assert changed(Settings(), Settings.model_validate(new)) == (["records", "log"], [])


def test_whether_anything_is_kept_cannot() -> None:
    without = Settings.model_validate({"records": {"enabled": False}})
    assert changed(Settings(), without) == (["records"], ["records.enabled"])


def test_each_section_there_is() -> None:
    assert set(Settings.model_fields) > AT_RUN_TIME
