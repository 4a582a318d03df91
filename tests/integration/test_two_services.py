"""Two services on one Asterisk: each has its own application, seats, queue and numbers, and leaves the other alone."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.check.checks import Need, quick, run_checks
from ariagent.check.site import opened
from ariagent.config import AmiSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.pool.owner import applications
from ariagent.service.service import Service
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
DOCS = Path(__file__).parents[2] / "docs" / "queues.md"


def documented() -> dict[str, str]:
    """File name -> text, as docs/queues.md tells an administrator to write it."""
    section = DOCS.read_text().partition("## Two services on one Asterisk")[2].partition("\n## ")[0]
    blocks = re.findall(r"```ini\n; (\w+\.conf)\n(.*?)```", section, re.DOTALL)
    assert {name for name, _ in blocks} == {"extensions.conf", "queues.conf"}
    return {name: f"\n{text}" for name, text in blocks}


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """One with what the page says, and with seats of a context that nothing says whose they are."""
    texts = documented()
    texts["extensions.conf"] = texts["extensions.conf"].replace("[from-internal](+)", "[ariagent-internal](+)")
    program = ensure_asterisk(default_lab_dir())
    instance = AsteriskInstance(program, tmp_path_factory.mktemp("asterisk"), seats=3, additions=texts)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


def app(name: str) -> dict[str, str]:
    return {"app": name}


def agent(name: str) -> dict[str, Any]:
    return {"opening": "Hello.", "instructions": f"You are {name}."}


def pauses(queue_log: Any) -> list[list[str]]:
    return [row for row in queue_log.rows() if row[3] in ("PAUSE", "UNPAUSE", "PAUSEALL", "UNPAUSEALL")]


def instructions(session: Any) -> str:
    return str(session.received_events("session.update")[0]["session"]["instructions"])


def numbers(service: Service) -> set[tuple[str, str]]:
    """Queue and context of the service's seats."""
    assert service.pool is not None
    return {(seat.queue, seat.interface.partition("@")[2]) for seat in service.pool.seats.view()}


async def test_each_has_its_own_seats_and_callers(
    sandbox: Any, service: Any, dial: Any, log: Any, asterisk: Any
) -> None:
    first_model, second_model = await sandbox(), await sandbox()
    first = await service(first_model, agent=agent("first"))
    second = await service(second_model, agent=agent("second"), asterisk=app("staging"))
    assert numbers(first) == {("frontline", "ariagent-seat/nm")}
    assert numbers(second) == {("staging-ai", "ariagent-staging-seat/nm")}
    for number, model, name in (
        ("7000", first_model, "first"),
        ("7001", first_model, "first"),
        ("7500", second_model, "second"),
        ("7501", second_model, "second"),
    ):
        before = len(model.sessions)
        call, ear = await dial(number)
        await ear.utterance()
        assert f"You are {name}." in instructions(model.sessions[-1])
        assert len(model.sessions) == before + 1
        await call.hangup()
        await log.wait("call.ended", count=len(log.named("call.started")))


async def test_one_that_takes_no_calls_pauses_only_its_own(
    sandbox: Any, service: Any, dial: Any, log: Any, queue_log: Any, asterisk: Any
) -> None:
    first = await service(await sandbox(), agent=agent("first"))
    # One without a usable model, as in the report: it sets its own device state.
    second = await service("ws://127.0.0.1:9/v1/realtime", asterisk=app("staging"), usable=False)
    await log.wait("model.unusable")
    assert first.pool is not None
    assert second.pool is not None
    second.pool.pause()
    await asyncio.wait_for(second.pool.settled.wait(), LIMIT_S)
    assert {row[1] for row in pauses(queue_log)} == {"staging-ai"}
    assert not any(seat.paused for seat in first.pool.seats.view())
    assert await asterisk.cli("devstate list")
    assert first.device_state.open
    call, ear = await dial("7000")
    await ear.utterance()
    await call.hangup()
    second.pool.resume()
    await asyncio.wait_for(second.pool.settled.wait(), LIMIT_S)
    assert {row[1] for row in pauses(queue_log)} == {"staging-ai"}


async def test_a_caller_may_go_from_one_to_the_other(
    sandbox: Any, service: Any, dial: Any, log: Any, asterisk: Any
) -> None:
    first_model, second_model = await sandbox(), await sandbox()
    await service(first_model, agent=agent("first"))
    await service(second_model, agent=agent("second"), asterisk=app("staging"))
    # A caller of the second one's dialplan who dials the first one's numbers, and the other way round.
    for number, to, model in (("7601", "7000", first_model), ("7602", "7001", first_model)):
        command = f'dialplan add extension "{number},1,Set(__ARIAGENT_APP=staging)" into ariagent-internal replace'
        await asterisk.cli(command)
        await asterisk.cli(f'dialplan add extension "{number},2,Goto({to},1)" into ariagent-internal replace')
        call, ear = await dial(number)
        await ear.utterance()
        assert "You are first." in instructions(model.sessions[-1])
        await call.hangup()
        await log.wait("call.ended", count=len(log.named("call.started")))
        await asterisk.cli(f"dialplan remove extension {number}@ariagent-internal")


async def test_one_without_seats_of_its_own_says_so_and_touches_none(
    sandbox: Any, service: Any, log: Any, queue_log: Any
) -> None:
    await service(await sandbox(), agent=agent("first"))
    third = await service("ws://127.0.0.1:9/v1/realtime", asterisk=app("third"), usable=False)
    told = await log.wait("seats.none_found")
    assert (told["app"], told["queues"]) == ("third", "frontline,staging-ai")
    assert "docs/queues.md#two-services-on-one-asterisk" in told["remedy"]
    assert third.pool is not None
    assert third.pool.pause() == []
    await asyncio.wait_for(third.pool.settled.wait(), LIMIT_S)
    assert pauses(queue_log) == []


async def test_whose_a_seat_is(asterisk: Any) -> None:
    settings = AmiSettings.model_validate(asterisk.ami)
    async with AmiClient(settings).session() as client:
        assert await applications(client, "01", "ariagent-seat") == {"ariagent"}
        assert await applications(client, "01", "ariagent-staging-seat") == {"staging"}
        # No hint, or no such context: where the shipped dialplan leads.
        assert await applications(client, "01", "ariagent-nobody-seat") == {"ariagent"}


async def test_two_with_the_same_application_end_the_first_for_good(
    sandbox: Any, service: Any, bed: Any, log: Any, dial: Any
) -> None:
    model = await sandbox()
    first = await service(model, agent=agent("first"))
    running = next(task for each, task in bed.services if each is first)
    second = Service(Settings.model_validate({**first.settings.model_dump(), "state_directory": bed.directory / "x"}))
    task = asyncio.create_task(second.run())
    bed.services.append((second, task))
    with pytest.raises(ConfigurationError, match="another program took over the Stasis application ariagent"):
        await asyncio.wait_for(asyncio.shield(running), LIMIT_S)
    bed.services = [(each, done) for each, done in bed.services if each is not first]
    assert "its own" in log.named("service.took_over")[-1]["remedy"]
    await asyncio.wait_for(second.device_state.settled.wait(), LIMIT_S)
    call, ear = await dial("7001")
    await ear.utterance()
    await call.hangup()


async def checked(asterisk: Any, model: Any, folder: Path, name: str) -> list[tuple[str, str, str]]:
    """(check, status, what was found) of the quick checks, as a service of this application does them."""
    tree = {
        "asterisk": {
            "url": asterisk.ari_url,
            "user": asterisk.ari_user,
            "password": asterisk.ari_password,
            "app": name,
        },
        "ami": asterisk.ami,
        "realtime": {"url": model.url, "api_key": "test"},
        "state_directory": folder,
        "human_queue": "support",
        "max_calls": 3,
    }
    told: list[tuple[str, str, str]] = []
    async with opened(Settings.model_validate(tree), "test", serving=False) as site:
        await run_checks(
            quick(Need.ASTERISK, Need.MANAGER),
            site,
            lambda check, result: told.append((result.name, result.status.value, result.found)),
        )
    return [line for line in told if line[0] in ("dialplan", "queues")]


async def test_the_check_of_a_second_service(sandbox: Any, service: Any, asterisk: Any, tmp_path: Path) -> None:
    model = await sandbox()
    first = await checked(asterisk, model, tmp_path, "ariagent")
    assert [(name, status) for name, status, _ in first] == [("dialplan", "ok"), ("queues", "ok")]
    assert first[1][2].startswith("frontline has 3 ")
    second = await checked(asterisk, model, tmp_path, "staging")
    assert [(name, status) for name, status, _ in second] == [("dialplan", "ok"), ("dialplan", "ok"), ("queues", "ok")]
    assert "ariagent-staging-seat" in second[1][2]
    assert second[2][2].startswith("staging-ai has 2 ")
    *_, alone, queues = await checked(asterisk, model, tmp_path, "third")
    assert alone[1] == "failed"
    assert queues[1:] == (
        "warning",
        "no queue has a seat that leads to the application third; the seats of this Asterisk lead to ariagent, staging",
    )
    await service(model, agent=agent("first"))
    *_, beside, _ = await checked(asterisk, model, tmp_path, "third")
    assert beside[1] == "warning"
    assert "another service serves ariagent" in beside[2]
