"""What ``/healthz`` answers."""

from dataclasses import replace

import pytest

from ariagent.health import Health

WELL = Health(
    application="ariagent",
    version="1",
    started=True,
    listening=True,
    waiting_for="",
    audio_failed=False,
    audio="ok",
    model="ok",
    manager="connected",
    seats={"open": True, "reason": None},
    calls=2,
    draining=False,
    control_port=9094,
)


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
    assert (health.status, health.json()["status"]) == (status, word)


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
