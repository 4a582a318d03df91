"""Questions to Asterisk and to the site before a call is answered."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ariagent.agents.choose import ArrivalFacts
from ariagent.ari.client import AriClient
from ariagent.ari.events import Channel
from ariagent.ari.listener import Router
from ariagent.audio.format import SLIN24
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.admission import Admission
from ariagent.call.announcement import Announcements
from ariagent.call.arrival import Arrival, Identity, choose_agent, identify, recognised
from ariagent.call.context import Context
from ariagent.config import RecordsSettings, Settings
from ariagent.dialogue.memory import Memory
from ariagent.dialogue.role import Role
from ariagent.errors import AriError, UnknownAgentError
from ariagent.logs import CallLog
from ariagent.metrics import Metrics
from ariagent.phrases.store import PhraseStore
from ariagent.realtime.health import ModelHealth
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.tools.toolbox import Toolbox

LOG = CallLog(logging.getLogger("ariagent.test"), "c1")
AGENTS: dict[str, Any] = {
    "default": {"instructions": "Default for {caller.number}."},
    "sales": {
        "instructions": "{agent.name}: {caller.name|nobody}, {variable.TIER|no tier}, {queue}, {called.number|none}",
        "variables": ["TIER"],
        "language": "nl",
    },
}
ROUTES = [{"agent": "sales", "queue": "front*"}, {"agent": "sales", "variables": {"TIER": "gold"}}]


def arrival(agent: str | None = None, *, seat: str | None = None, extension: str = "7001", **channel: Any) -> Arrival:
    return Arrival(Channel("c1", "PJSIP/c1", "Ring", extension=extension, **channel), agent=agent, seat=seat)


Cast = Callable[..., Awaitable[tuple[Identity, Role]]]
MakeContext = Callable[..., Context]


@pytest.fixture
async def make_context(ari_server: Any, tmp_path: Path) -> AsyncIterator[MakeContext]:
    """``make_context(agents={...})``: what calls share, on the small ARI."""
    boxes: list[Toolbox] = []
    async with AriClient(ari_server.settings()) as ari:
        await ari.connect()
        ari_server.requests.clear()
        ari_server.queries.clear()
        ari_server.channels["c1"] = "PJSIP/c1"

        def make(**tree: Any) -> Context:
            settings = Settings.model_validate({"agents": AGENTS, "routes": ROUTES, **tree})
            boxes.append(Toolbox(settings))
            return Context(
                settings=settings,
                ari=ari,
                router=Router(lambda event: None),
                media=AudioSocketServer(),
                media_address="127.0.0.1:1",
                format=SLIN24,
                metrics=Metrics(),
                phrases=PhraseStore(tmp_path, settings.realtime, SLIN24),
                announcements=Announcements(tmp_path / "announcements", SLIN24),
                model_health=ModelHealth(settings.realtime),
                toolbox=boxes[-1],
                journal=Journal.open(tmp_path, RecordsSettings(enabled=False)),
                spending=Spending(settings.cost),
                admission=Admission(settings),
            )

        yield make
        for box in boxes:
            await box.close()


async def arrive(context: Context, who: Arrival) -> tuple[Identity, Role]:
    identity = await identify(context, who, LOG)
    return identity, await choose_agent(context, who, identity, LOG)


ALWAYS = {
    "CHANNEL(linkedid)",
    "ARIAGENT_FROM",
    "ARIAGENT_CALL",
    "ARIAGENT_DIALLED",
    "ARIAGENT_QUEUE",
    "ARIAGENT_RETURNED",
    "CALLERID(num-pres)",
    "CALLERID(name-pres)",
}
"""Variables that are read for every call."""


def asked(server: Any) -> set[str]:
    """The variables that were asked for, each by itself or several with one request."""
    names = [query["variable"] for query in server.queries if "variable" in query]
    return {each for name in names for each in (re.findall(r"\$\{([^{}]*)\}", name) or [name])}


class TestIdentity:
    async def test_the_call_id_is_the_linked_id(self, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.variables["c1", "CHANNEL(linkedid)"] = "1795357064.1"
        assert (await identify(make_context(), arrival(), LOG)).call_id == "1795357064.1"

    async def test_the_channels_own_where_there_is_none(self, make_context: MakeContext) -> None:
        assert (await identify(make_context(), arrival(), LOG)).call_id == "c1"

    async def test_a_named_agent_needs_no_other_question(self, make_context: MakeContext, ari_server: Any) -> None:
        await identify(make_context(), arrival("sales"), LOG)
        assert asked(ari_server) == ALWAYS

    async def test_a_seats_number_is_no_extension(self, make_context: MakeContext) -> None:
        assert (await identify(make_context(), arrival(seat="03", extension="03"), LOG)).facts.extension == ""
        assert (await identify(make_context(), arrival(extension="7001"), LOG)).facts.extension == "7001"

    async def test_asterisk_that_does_not_answer(self, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.answers["GET /channels/c1/variable"] = (500, {"message": "no"})
        with pytest.raises(AriError):
            await identify(make_context(), arrival(), LOG)


class TestACallerWhoIsBack:
    """A Local channel shows another number after a transfer, or none."""

    MEMORY = Memory((), "desk", "5551234", "Ann")

    @pytest.mark.parametrize("call_id", ["c1", "c0"])
    async def test_has_the_number_from_before(self, make_context: MakeContext, call_id: str) -> None:
        context = make_context()
        context.memories.keep(call_id, self.MEMORY, time.monotonic())
        identity = Identity("c1", ArrivalFacts(), handed_over_as="c0")
        channel = recognised(context, arrival(), identity).channel
        assert (channel.caller_number, channel.caller_name) == ("5551234", "Ann")
        assert context.memories.knows(call_id, time.monotonic())

    async def test_whose_channel_shows_one_has_that(self, make_context: MakeContext) -> None:
        context = make_context()
        context.memories.keep("c1", self.MEMORY, time.monotonic())
        shown = arrival(caller_number="5559999")
        assert recognised(context, shown, Identity("c1", ArrivalFacts())) == shown

    @pytest.mark.parametrize(
        ("agent", "variables", "chosen"),
        [
            ("sales", {"ARIAGENT_RETURNED": "TIMEOUT"}, "sales"),
            ("sales", {"ARIAGENT_RETURNED": "TIMEOUT", "ARIAGENT_AGENT": "default"}, "sales"),
            ("gone", {"ARIAGENT_RETURNED": "TIMEOUT"}, "default"),
            ("", {"ARIAGENT_RETURNED": "TIMEOUT"}, "default"),
            ("sales", {"ARIAGENT_RETURNED": "TIMEOUT", "ARIAGENT_FROM": "PJSIP/1001"}, "default"),
            ("sales", {}, "default"),
        ],
    )
    async def test_has_the_agent_who_transferred_them_if_nobody_took_them(
        self, agent: str, variables: dict[str, str], chosen: str, make_context: MakeContext, ari_server: Any
    ) -> None:
        agents = {"default": {"instructions": "Brief."}, "sales": {"instructions": "Brisk."}}
        context = make_context(agents=agents, routes=[])
        context.memories.keep("c1", Memory((), "desk", agent=agent), time.monotonic())
        ari_server.variables |= {("c1", name): value for name, value in variables.items()}
        _, role = await arrive(context, arrival(extension=""))
        assert role.facts.agent == chosen

    async def test_whom_nobody_knows_stays_unknown(self, make_context: MakeContext) -> None:
        assert recognised(make_context(), arrival(), Identity("c1", ArrivalFacts())) == arrival()


class TestChoice:
    async def test_the_dialplans_word(self, make_context: MakeContext) -> None:
        _, role = await arrive(make_context(), arrival("sales"))
        assert (role.name, role.language) == ("sales", "nl")

    async def test_a_channel_variable(self, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.variables["c1", "ARIAGENT_AGENT"] = "sales"
        assert (await arrive(make_context(), arrival(seat="03")))[1].name == "sales"

    @pytest.mark.parametrize(
        ("name", "value", "agent"),
        [("ARIAGENT_QUEUE", "frontline", "sales"), ("TIER", "gold", "sales"), ("TIER", "silver", "default")],
    )
    async def test_routes(self, name: str, value: str, agent: str, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.variables["c1", name] = value
        assert (await arrive(make_context(), arrival()))[1].name == agent

    async def test_a_name_that_nobody_has(self, make_context: MakeContext, ari_server: Any) -> None:
        with pytest.raises(UnknownAgentError, match="nobody"):
            await arrive(make_context(), arrival("nobody"))


class TestBriefing:
    async def test_the_calls_data_is_filled_in(self, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.variables |= {
            ("c1", "TIER"): "gold",
            ("c1", "ARIAGENT_QUEUE"): "frontline",
            ("c1", "ARIAGENT_DIALLED"): "+31205",
        }
        who = arrival(seat="03", extension="03", caller_number="+3161", caller_name="Ann")
        identity, role = await arrive(make_context(), who)
        assert "sales: Ann, gold, frontline, +31205" in role.instructions
        facts = role.facts
        assert (facts.call_id, facts.agent, facts.caller_number, facts.caller_name, facts.language) == (
            identity.call_id,
            "sales",
            "+3161",
            "Ann",
            "nl",
        )

    async def test_what_is_not_known_is_left_out_and_told(
        self, make_context: MakeContext, ari_server: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ariagent")
        ari_server.variables["c1", "ARIAGENT_AGENT"] = "sales"
        _, role = await arrive(make_context(), arrival(extension=""))
        assert "sales: nobody, no tier, , none" in role.instructions
        [entry] = [r for r in caplog.records if r.getMessage() == "agent.values_missing"]
        assert entry.fields == {"call": "c1", "names": "queue"}  # type: ignore[attr-defined]

    async def test_only_variables_that_are_used_are_asked_for(self, make_context: MakeContext, ari_server: Any) -> None:
        await arrive(make_context(routes=[]), arrival())
        assert asked(ari_server) == {*ALWAYS, "ARIAGENT_AGENT"}

    @pytest.mark.parametrize("seat", ["03", None], ids=["seat", "direct"])
    async def test_tools_get_the_dialled_number_and_the_queue_though_the_instructions_do_not_name_them(
        self, seat: str | None, make_context: MakeContext, ari_server: Any
    ) -> None:
        ari_server.variables |= {("c1", "ARIAGENT_QUEUE"): "frontline", ("c1", "ARIAGENT_DIALLED"): "+31205"}
        bound = {"line": "{called.number}", "place": "{queue}"}
        tool = {"url": "https://shop.example/x", "method": "POST", "description": "d", "bound": bound}
        context = make_context(
            agents={"default": {"instructions": "Be brief.", "tools": ["order"]}},
            routes=[],
            tools={"order": tool},
            outbound={"allowed_hosts": ["shop.example"]},
        )
        _, role = await arrive(context, arrival(seat=seat, extension=seat or "7001"))
        assert (role.facts.known["called.number"], role.facts.known["queue"]) == ("+31205", "frontline")

    async def test_a_direct_calls_extension_stands_for_what_was_dialled(self, make_context: MakeContext) -> None:
        _, role = await arrive(make_context(), arrival("sales", extension="7001"))
        assert ", 7001" in role.instructions


class Crm:
    """The site's server."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, {"person": {"name": "Ann Lee"}})
        self.asked: list[str] = []
        """Paths with queries."""
        self.url = ""
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        await self.go_on.wait()
        return web.json_response(self.answer[1], status=self.answer[0])


class TestLookup:
    @pytest.fixture
    async def crm(self) -> AsyncIterator[Crm]:
        found = Crm()
        app = web.Application()
        app.router.add_get("/who", found.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
        found.go_on.set()
        await runner.cleanup()

    def tree(self, crm: Crm) -> dict[str, Any]:
        agent = {
            "instructions": "You talk to {lookup.name|a stranger}.",
            "lookup": {
                "url": crm.url + "/who?n={caller.number}",
                "answer": {"name": "person.name"},
                "timeout_s": 8,
            },
        }
        outbound = {"allowed_hosts": ["127.0.0.1"], "private": ["127.0.0.0/8"]}
        return {"agents": {"default": agent}, "routes": [], "outbound": outbound}

    async def test_what_it_found_is_filled_in(self, make_context: MakeContext, crm: Crm) -> None:
        _, role = await arrive(make_context(**self.tree(crm)), arrival(caller_number="+31 61"))
        assert "You talk to Ann Lee." in role.instructions
        assert crm.asked == ["/who?n=%2B31%2061"]

    @pytest.mark.parametrize("answer", [(500, {}), (404, {}), (200, {"person": None}), (200, ["x"])])
    async def test_without_an_answer_the_call_goes_on(
        self, answer: tuple[int, Any], make_context: MakeContext, crm: Crm
    ) -> None:
        crm.answer = answer
        _, role = await arrive(make_context(**self.tree(crm)), arrival())
        assert "You talk to a stranger." in role.instructions

    async def test_a_slow_one_is_not_waited_for(self, make_context: MakeContext, crm: Crm) -> None:
        crm.go_on.clear()
        tree = self.tree(crm)
        tree["agents"]["default"]["lookup"]["timeout_s"] = 0.2
        began = time.monotonic()
        _, role = await arrive(make_context(**tree), arrival())
        assert "You talk to a stranger." in role.instructions
        assert time.monotonic() - began < 10
        assert len(crm.asked) == 1


class TestSiteVariables:
    async def test_one_that_cannot_be_read_leaves_the_default(self, make_context: MakeContext, ari_server: Any) -> None:
        agent = {"instructions": "{variable.F(x)|none}, {variable.TIER|none}", "variables": ["F(x)", "TIER"]}
        context = make_context(agents={"default": agent}, routes=[])
        ari_server.answers["GET /channels/caller/variable"] = (500, {"message": "Unable to read provided function"})
        ari_server.channels["caller"] = "PJSIP/x"
        ari_server.variables |= {("c1", "ARIAGENT_CALLER"): "caller", ("c1", "TIER"): "gold"}
        _, role = await arrive(context, arrival(seat="03"))
        assert "none, gold" in role.instructions

    async def test_a_route_by_one_that_cannot_be_read_does_not_match(
        self, make_context: MakeContext, ari_server: Any
    ) -> None:
        routes = [{"agent": "sales", "variables": {"PJSIP_HEADER(read,X-Tier)": "gold"}}]
        context = make_context(routes=routes)
        ari_server.channels["caller"] = "PJSIP/x"
        ari_server.variables["c1", "ARIAGENT_CALLER"] = "caller"
        ari_server.answers["GET /channels/caller/variable"] = (500, {"message": "Unable to read provided function"})
        assert (await arrive(context, arrival(seat="03")))[1].name == "default"

    async def test_a_seat_asks_the_callers_channel(self, make_context: MakeContext, ari_server: Any) -> None:
        ari_server.channels["caller"] = "PJSIP/x"
        ari_server.variables |= {("c1", "ARIAGENT_CALLER"): "caller", ("caller", "TIER"): "gold"}
        assert (await arrive(make_context(), arrival(seat="03")))[1].name == "sales"


class TestTime:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"timezone": "UTC"}, "2026-11-29 10:59 Sunday"),
            ({"timezone": "Pacific/Auckland"}, "2026-11-29 23:59 Sunday"),
            ({"hours": {"a": {"timezone": "Asia/Tokyo", "week": {"mon": "08:00-09:00"}}}}, "2026-11-29 19:59 Sunday"),
            ({"timezone": "Pacific/Kiritimati", "language": "nl"}, "2026-11-30 00:59 maandag"),
        ],
    )
    async def test_it_is_told_in_the_zone_of_the_hours_and_in_the_agents_language(
        self, settings: dict[str, Any], told: str, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = dict(settings)
        agent = {"instructions": "<{now.date} {now.time} {now.weekday}>", "language": tree.pop("language", "en")}
        agent["opening"] = None
        context = make_context(agents={"default": agent}, routes=[], **tree)
        monkeypatch.setattr(time, "time", lambda: datetime.fromisoformat("2026-11-29T10:59:59+00:00").timestamp())
        _, role = await arrive(context, arrival())
        assert f"<{told}>" in role.instructions
