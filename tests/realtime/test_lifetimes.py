"""When a used model ends, from what a server lists; whatever it lists."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import Settings
from ariagent.realtime.lifetimes import DAY_S, Shutdown, UsedModel, models_url, shutdown_dates, shutdowns, used_models

JAN_20_2027 = 1_800_403_200.0
"""2027-01-20T00:00:00Z."""

MINI = UsedModel("mini", ("default",))


def listed(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://api.openai.com/v1/realtime", "https://api.openai.com/v1/models"),
        ("wss://api.openai.com/v1/realtime/", "https://api.openai.com/v1/models"),
        ("ws://127.0.0.1:8080/v1/realtime?model=x&key=secret", "http://127.0.0.1:8080/v1/models"),
        ("wss://[::1]:8443/proxy/v1/realtime", "https://[::1]:8443/proxy/v1/models"),
        ("wss://site.openai.azure.com/openai/v1/realtime", None),
        ("ws://127.0.0.1:8080/", None),
        ("ws://127.0.0.1:8080/v1/realtime/live", None),
        ("ws://127.0.0.1:8080/v1/realtimes", None),
    ],
)
def test_the_list_is_beside_the_sessions(url: str, expected: str | None) -> None:
    assert models_url(url) == expected


def test_used_models_are_those_of_every_agent_and_of_its_transcription() -> None:
    settings = Settings.model_validate(
        {
            "realtime": {
                "url": "ws://127.0.0.1:1/v1/realtime",
                "model": "big",
                "fallback": {"url": "ws://127.0.0.1:2/v1/realtime", "model": "spare"},
            },
            "agents": {
                "default": {"transcription": {"model": "ears"}},
                "sales": {"transcription": {"model": "ears"}},
                "quick": {"model": "mini", "transcription": None},
            },
        }
    )
    first, second = settings.realtime.endpoints
    ears = UsedModel("ears", ("default", "sales"), transcribes=True)
    mini = UsedModel("mini", ("quick",))
    assert set(used_models(settings.agents, first)) == {UsedModel("big", ("default", "sales")), ears, mini}
    # The fallback names a model of its own: that is every agent's there.
    assert set(used_models(settings.agents, second)) == {UsedModel("spare", ("default", "sales", "quick")), ears}
    assert ears.what == "transcription model ears of agents default, sales"
    assert mini.what == "model mini of agent quick"


def test_dates_are_read_and_models_without_one_are_known() -> None:
    body = listed({"id": "mini", "shutdown_date": "2027-01-20"}, {"id": "big", "shutdown_date": None})
    assert shutdown_dates(body) == {"mini": "2027-01-20", "big": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"data": 7}',
        b'{"data": {"id": "mini"}}',
        b'{"data": [7, null, [], {}, {"id": 7, "shutdown_date": "2027-01-20"}]}',
        listed({"id": "mini"}, {"id": "big", "owned_by": "llama"}),
    ],
)
def test_a_server_that_lists_no_dates_tells_nothing(body: bytes) -> None:
    assert shutdown_dates(body) == {}


@given(st.binary(max_size=60))
def test_any_body_is_read(body: bytes) -> None:
    assert isinstance(shutdown_dates(body), dict)


def test_the_first_to_end_comes_first_and_others_are_left_out() -> None:
    used = [UsedModel(name, ("default",)) for name in ("late", "mini", "never", "unlisted")]
    dates = {"late": "2027-02-26", "mini": "2027-01-20", "never": None, "unused": "2026-12-01"}
    assert [(end.model.name, end.at) for end in shutdowns(iter(used), dates)] == [
        ("mini", JAN_20_2027),
        ("late", JAN_20_2027 + 37 * DAY_S),
    ]


@pytest.mark.parametrize("date", ["", "soon", "01-20", "2027-1-20", "2027-02-30", "2027-01-20T00:00:00Z", "0000-01-01"])
def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    assert shutdowns(iter([MINI]), {"mini": date}) == []


@pytest.mark.parametrize(("before_s", "days"), [(0, 0), (1, 0), (DAY_S, 1), (2 * DAY_S - 1, 1), (-1, -1)])
def test_whole_days_are_left(before_s: float, days: int) -> None:
    assert Shutdown(MINI, "2027-01-20", JAN_20_2027).days_left(JAN_20_2027 - before_s) == days
