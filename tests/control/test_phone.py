"""Requests of supervisors' phones; the answers are tested in tests/integration/test_supervisor_phone.py, on a real
Asterisk."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import UserEvent
from ariagent.call.calls import Calls
from ariagent.call.context import Context
from ariagent.config import Settings
from ariagent.config.tree import DrainTo
from ariagent.control.phone import SupervisorPhones
from ariagent.control.supervision import Supervision
from ariagent.errors import InternalError


@pytest.fixture
async def tell(caplog: pytest.LogCaptureFixture) -> Any:
    """``await tell(do="next")``: the warnings that came of it, without calls and without a connection."""
    caplog.set_level(logging.INFO)
    settings = Settings.model_validate({"ami": {"password": "x"}, "agents": {"default": {}}})
    assert settings.ami is not None
    ami = AmiClient(settings.ami)
    phones = SupervisorPhones(
        Supervision(Calls(no_context), None, settings.destinations, drain=no_drain), ami, "ariagent"
    )
    phones._key.found(KEY)

    async def say(name: str = "AriagentSupervisor", key: str = KEY, **fields: str) -> list[str]:
        ami._tell(UserEvent(name, {**fields, "key": key}))
        await phones.close()
        return [record.getMessage() for record in caplog.records]

    return say


KEY = "0123456789abcdef" * 2


def no_drain(to: DrainTo | None, after_s: float | None) -> NoReturn:
    raise InternalError("a phone does not drain the service")


def no_context() -> Context:
    raise AssertionError("no call is made")


Say = Callable[..., Any]


@pytest.mark.parametrize("do", ["", "next", "queue", "take", "destination", "nonsense"])
async def test_whatever_is_asked_is_answered_and_harms_nobody(tell: Say, do: str) -> None:
    refused = [] if do == "next" else ["supervisor.request_failed"]
    assert await tell(do=do, to="\x00&,;", after="x", call="1.2") == [*refused, "supervisor.answer_failed"]


@pytest.mark.parametrize("do", ["listen", "whisper", "barge", "leave"])
async def test_a_call_that_is_over_needs_to_be_told_nothing(tell: Say, do: str) -> None:
    assert await tell(do=do, was="whisper", call="1.2") == []


async def test_who_was_refused_is_in_the_log(tell: Say) -> None:
    assert await tell(do="refused", by="1003", channel="PJSIP/1003-1") == ["supervisor.refused"]


async def test_other_programs_events_are_theirs(tell: Say) -> None:
    assert await tell("Something", do="take", to="1004", call="1.2") == []


@pytest.mark.parametrize("do", ["listen", "take", "refused", "next"])
@pytest.mark.parametrize("key", ["", "0" * 32, KEY[:-1], KEY + "0", KEY.upper(), "ü" * 32])
async def test_without_the_key_nothing_is_done(tell: Say, do: str, key: str) -> None:
    *cannot_ask, refused = await tell(key=key, do=do, to="1004", call="1.2")
    assert refused == ("supervisor.wrong_key" if key else "supervisor.key_missing")
    assert set(cannot_ask) <= {"supervisor.key_not_set"}, "there is no connection to read the key with"


async def test_a_flood_of_forged_events_is_logged_in_part(tell: Say) -> None:
    names: list[str] = []
    for _ in range(200):
        names = await tell(key="x", do="take")
    assert names.count("supervisor.wrong_key") < 100
    assert names.count("supervisor.key_not_set") <= 10
