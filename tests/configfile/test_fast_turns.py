"""The settings of fast turns: what the server is asked for, and the defaults by language."""

import pytest

from ariagent.config import AgentSettings, ServerVad
from ariagent.config.agents import HOLD_DEFAULTS, OTHER_LANGUAGES, HoldDefaults


def agent(**given: object) -> AgentSettings:
    return AgentSettings.model_validate(given)


def test_by_default_the_server_ends_turns() -> None:
    assert agent().turns == "server"
    assert agent().used_turn_detection == ServerVad()


def test_with_fast_turns_it_is_asked_to_end_them_early_and_for_nothing_else() -> None:
    detection = {"threshold": 0.7, "silence_duration_ms": 900}
    used = agent(turns="fast", turn_detection=detection, fast_turns={"early_silence_ms": 160}).used_turn_detection
    assert used == ServerVad(threshold=0.7, silence_duration_ms=160)


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", HOLD_DEFAULTS["en"]), ("es-MX", HOLD_DEFAULTS["es"]), ("de", OTHER_LANGUAGES)],
)
def test_the_language_decides_about_what_is_not_set(language: str, expected: HoldDefaults) -> None:
    assert agent().hold_in(language) == expected
    assert agent(fast_turns={"hold_ms": 1200}).hold_in(language) == (1200, expected.threshold)
    assert agent(fast_turns={"threshold": 0.0}).hold_in(language) == (expected.hold_ms, 0.0)
