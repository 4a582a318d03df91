"""Options and faults as they are written on a command line or in a query."""

import pytest

from ariagent.errors import ConfigurationError
from ariagent.sandbox.faults import FAULTS, Faults
from ariagent.sandbox.options import SandboxOptions


def test_faults_are_parsed_with_value_and_first_response() -> None:
    faults = Faults.parse("late_created:2000, stall:600@2,abort@3,null_event_id")
    assert faults.get("late_created") is not None
    stall = faults.get("stall", response=2)
    assert stall is not None
    assert stall.number(500) == 600
    assert faults.get("stall", response=1) is None
    abort = faults.get("abort", response=4)
    assert abort is not None
    assert abort.number(500) == 500
    assert not Faults.parse("")
    assert all(Faults.parse(name) for name in FAULTS)


@pytest.mark.parametrize("text", ["nonsense", "stall:soon", "abort@first"])
def test_wrong_faults_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Faults.parse(text)


def test_a_query_changes_the_options_of_one_session() -> None:
    options = SandboxOptions()
    assert options.with_query({"model": ["x"]}) is options
    query = {"fault": ["stall", "late_created:5"], "sandbox_think_ms": ["12.5"], "sandbox_keep_audio": ["on"]}
    changed = options.with_query({**query, "sandbox_detector": ["reflex"], "sandbox_late_deltas": ["3"]})
    assert (changed.think_ms, changed.keep_audio, changed.detector, changed.late_deltas) == (12.5, True, "reflex", 3)
    assert len(changed.faults.all) == 2
    assert not changed.recognises
    for wrong in ({"sandbox_port": ["1"]}, {"sandbox_think_ms": ["much"]}, {"sandbox_detector": ["ears"]}):
        with pytest.raises(ConfigurationError):
            options.with_query(wrong)
