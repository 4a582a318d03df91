"""The answers of ``/healthz``."""

from dataclasses import replace

import pytest

from ariagent.service.health import NOT_TRIED
from tests.service.well import WELL


def test_a_service_that_takes_calls() -> None:
    assert WELL.status == 200
    assert WELL.json() == {
        "status": "ok",
        "asterisk": "connected",
        "application": "ariagent",
        "version": "1",
        "started": True,
        "audio": "ok",
        "model": "ok",
        "manager": "connected",
        "seats": {"open": True, "reason": None},
        "calls": 2,
        "draining": False,
        "control_port": 9094,
        "refused_agents": [],
        "failed_checks": [],
    }


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"draining": True}, 503, "draining"),
        ({"listening": False}, 503, "unavailable"),
        ({"audio_failed": True, "audio": "no route"}, 503, "unavailable"),
        # It sends callers to the human queue, as every other node would.
        ({"model": "no key"}, 200, "ok"),
        ({"failed_checks": ["dialplan: no call can come in"]}, 200, "ok"),
    ],
)
def test_one_that_does_not(changes: dict[str, object], status: int, word: str) -> None:
    health = replace(WELL, **changes)  # type: ignore[arg-type]
    assert (health.status, health.json(everything=False)["status"]) == (status, word)


def test_causes_are_told() -> None:
    told = replace(
        WELL,
        listening=False,
        waiting_for="refused. Compare asterisk.user",
        audio_failed=True,
        audio="no route",
        failed_checks=("dialplan: no call can come in",),
    ).json()
    assert told["asterisk"] == "not connected: refused. Compare asterisk.user"
    assert told["audio"] == "failed: no route"
    assert told["failed_checks"] == ["dialplan: no call can come in"]


def test_strangers_are_told_which_part_has_failed_and_no_more() -> None:
    told = replace(
        WELL,
        listening=False,
        waiting_for="refused user ariagent. Compare asterisk.user",
        audio_failed=True,
        audio="no route to 10.0.0.7",
        model="HTTP 401: your key sk-...",
        manager="not connected: 10.0.0.5 refused",
        failed_checks=("dialplan: no call can come in", "queues: no queue frontline", "queues: no member"),
    ).json(everything=False)
    assert told == {
        "status": "unavailable",
        "asterisk": "not connected",
        "application": "ariagent",
        "started": True,
        "audio": "failed",
        "model": "failed",
        "manager": "not connected",
        "seats": {"open": True, "reason": None},
        "calls": 2,
        "draining": False,
        "control_port": 9094,
        "failed_checks": ["dialplan", "queues"],
    }
    well = WELL.json(everything=False)
    assert {well[part] for part in ("model", "audio")} == {"ok"}
    assert replace(WELL, model=NOT_TRIED, audio=NOT_TRIED).json(everything=False)["model"] == NOT_TRIED
