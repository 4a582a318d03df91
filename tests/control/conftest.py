"""The control API as the service has it, on loopback, without any call: a real server, a real client."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberState, MemberStatus, QueuesListed, QueueState
from ariagent.call.calls import Calls
from ariagent.config import AmiSettings, ControlSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.config.tree import DrainTo
from ariagent.control import localfile
from ariagent.control.server import ControlServer
from ariagent.control.supervision import Supervision
from ariagent.errors import InternalError
from ariagent.pool.pool import Pool
from ariagent.service.draining import Draining, Plan
from tests.call.incall import Office

TOKENS = {role: f"the-token-of-the-{role}" for role in ("viewer", "supervisor", "admin")}
DESTINATIONS = {"desk": DestinationSettings(queue="support", description="the service desk")}


@dataclass
class Site:
    """A server that runs, and who asks it."""

    url: str
    server: ControlServer
    desk: Supervision
    directory: Path
    session: aiohttp.ClientSession
    drained: list[Plan]
    """An element for each time that the service was told to end."""

    @property
    def local_token(self) -> str:
        access = localfile.read(self.directory)
        assert access is not None
        return access.token

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = TOKENS["admin"],
        *,
        more_headers: Mapping[str, str] = {},
        **more: Any,
    ) -> tuple[int, dict[str, Any], Any]:
        """Status, body and headers."""
        headers = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **more_headers}
        async with self.session.request(method, f"{self.url}{path}", headers=headers, **more) as answer:
            return answer.status, await answer.json(), answer.headers


def parsed(text: str) -> list[tuple[str, Any]]:
    """Names and data of the events in a piece of a stream; comments are skipped."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[MakeSite]:
    """``await make_site(manager=True)``: with a manager connection that is not made; its events are the test's."""

    def no_calls() -> Any:
        raise InternalError("there is no call in these tests")

    async with AsyncExitStack() as stack:
        drained: list[Plan] = []
        draining = Draining()

        def drain(to: DrainTo | None, after_s: float | None) -> Plan:
            plan = draining.begin(Plan("human_queue", 9.0), to, after_s)
            drained.append(Plan(plan.to, round(plan.after_s)))
            return drained[-1]

        async def make(*, manager: bool = False, **settings: Any) -> Site:
            pool = Pool(AmiClient(AmiSettings(password="x")), "ariagent") if manager else None  # type: ignore[arg-type]
            desk = Supervision(Calls(no_calls), pool, DESTINATIONS, drain=drain)
            tokens = [{"name": f"the-{role}", "role": role, "token": token} for role, token in TOKENS.items()]
            chosen = ControlSettings.model_validate({"port": 0, "tokens": tokens, **settings})
            server = ControlServer(chosen, tmp_path / "state", desk)
            await server.start()
            stack.push_async_callback(server.close)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
            return Site(f"http://127.0.0.1:{server.port}", server, desk, tmp_path / "state", session, drained)

        yield make


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site()


@pytest.fixture
def listed() -> Callable[..., None]:
    """``listed(pool, "support", seats=("07",))``: as a connection would that has just been made."""

    def tell(pool: Pool, *queues: str, seats: tuple[str, ...] = ()) -> None:
        state = {"strategy": "rrmemory", "holdtime_s": 0, "talktime_s": 0, "completed": 0, "abandoned": 0}
        seat = {"name": "AI Agent", "penalty": 0, "status": MemberStatus.NOT_IN_USE, "in_call": False, "paused": False}
        seat |= {"reason": "", "last_call": 0, "wrapup_s": 0, "calls_taken": 0}
        events: list[Any] = [QueueState(queue=queue, **state) for queue in queues]
        events += [
            MemberState(
                queue=queues[0],
                interface=f"Local/{n}@ariagent-seat/nm",
                state_interface=f"hint:{n}@ariagent-seat",
                **seat,
            )
            for n in seats
        ]
        for event in (*events, QueuesListed()):
            pool.seats.place("ariagent-seat", ours=True, now=0)
            pool.queues.handle(event, 0.0)
            pool.seats.handle(event, 0.0)
            for watcher in pool.watchers:
                watcher()

    return tell


@pytest.fixture
def token() -> dict[str, str]:
    """By role."""
    return TOKENS


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """The calls of the service behind ``busy_site``; their time is the machine's."""
    (tmp_path / "office").mkdir()
    async with Office(tmp_path / "office") as office:
        yield office


@pytest.fixture
async def busy_site(make_site: MakeSite, office: Office) -> Site:
    """A site with a call in conversation: ``c1``."""
    site = await make_site()
    await office.answered("c1")
    site.desk.registry, site.desk.destinations = office.registry, office.settings.destinations
    return site
