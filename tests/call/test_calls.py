"""Admission and catching up, with a real ARI client, AudioSocket server and router against a small ARI on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari.client import TRIAL_PREFIX, AriClient
from ariagent.ari.events import Channel, StasisStarted
from ariagent.ari.listener import Router
from ariagent.audio.format import SLIN24
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call import calls as registry
from ariagent.call import dialplan
from ariagent.call.admission import Admission
from ariagent.call.announcement import Announcements
from ariagent.call.call import Call
from ariagent.call.calls import Calls, arrival_of
from ariagent.call.context import Context
from ariagent.call.events import StopRequested
from ariagent.call.machine import State
from ariagent.call.takeover import InterruptedCall
from ariagent.config import RealtimeSettings, RecordsSettings, Settings
from ariagent.dialogue.memory import Unfinished
from ariagent.metrics import Metrics
from ariagent.phrases.store import PhraseStore
from ariagent.realtime.health import ModelHealth
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.termination import Result, Termination
from ariagent.tools.toolbox import Toolbox

PATIENCE_S = 20.0


def entering(channel_id: str, *args: str, name: str = "") -> StasisStarted:
    return StasisStarted(Channel(channel_id, name or f"PJSIP/{channel_id}", "Ring"), args)


@pytest.mark.parametrize(
    ("args", "agent", "seat"),
    [
        ((), None, None),
        (("",), None, None),
        (("sales",), "sales", None),
        (("sales", "more"), "sales", None),
        (("seat", "03"), None, "03"),
        (("seat",), None, None),
        (("returned", "support", "TIMEOUT"), None, None),
    ],
)
def test_the_arguments_of_stasis(args: tuple[str, ...], agent: str | None, seat: str | None) -> None:
    arrival = arrival_of(entering("c", *args))
    assert (arrival.agent, arrival.seat, arrival.channel.id) == (agent, seat, "c")


class Desk:
    """A registry with everything that its calls use."""

    def __init__(
        self,
        ari_server: Any,
        ari: AriClient,
        media: AudioSocketServer,
        model_url: str,
        max_calls: int,
        directory: Path,
    ) -> None:
        self.ari_server = ari_server
        self.metrics = Metrics()
        settings = Settings(
            asterisk=ari.settings,
            realtime=RealtimeSettings(url=model_url, connect_timeout_s=PATIENCE_S),
            max_calls=max_calls,
        )
        self.registry = Calls(lambda: self.context)
        self.router = Router(self.registry.channel_entered)
        address = f"127.0.0.1:{media.port}"
        self.context = Context(
            settings=settings,
            ari=ari,
            router=self.router,
            media=media,
            media_address=address,
            format=SLIN24,
            metrics=self.metrics,
            phrases=PhraseStore(directory, settings.realtime, SLIN24),
            announcements=Announcements(directory / "announcements", SLIN24),
            model_health=ModelHealth(settings.realtime),
            toolbox=Toolbox(settings),
            journal=Journal.open(directory, RecordsSettings(enabled=False)),
            spending=Spending(settings.cost),
            admission=Admission(settings),
        )

    def enter(self, channel_id: str, *args: str, name: str = "") -> None:
        """A channel comes into our application."""
        event = entering(channel_id, *args, name=name)
        self.ari_server.channels[channel_id] = event.channel.name
        self.registry.channel_entered(event)

    async def enter_and_ask(self, channel_id: str) -> asyncio.Event:
        """A channel comes in, and Asterisk, just asked about it, answers when the event is set."""
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> dict[str, str]:
            asked.set()
            await go_on.wait()
            return {"value": "x"}

        self.ari_server.answers[f"GET /channels/{channel_id}/variable"] = (200, wait)
        self.enter(channel_id, "default")
        await asyncio.wait_for(asked.wait(), PATIENCE_S)
        return go_on

    def result(self, channel_id: str) -> str | None:
        """The call's result that the dialplan got."""
        return self.ari_server.variables.get((channel_id, "ARIAGENT_RESULT"))  # type: ignore[no-any-return]

    async def is_back_in_the_dialplan(self, channel_id: str) -> None:
        path = f"/channels/{channel_id}"
        await self.ari_server.until(lambda: self.ari_server.asked(f"POST {path}/variable", f"POST {path}/continue"))

    async def is_under_way(self, channel_id: str) -> Call:
        """Wait until the call has asked for its media, which never come; it waits for them."""
        before = self.ari_server.requests.count("POST /channels/externalMedia")
        self.enter(channel_id, "default")
        await self.ari_server.until(lambda: self.ari_server.requests.count("POST /channels/externalMedia") > before)
        (call,) = (call for call in self.registry.calls if call.leg == channel_id)
        return call

    def ended(self) -> dict[str, float]:
        """How many calls ended, by result and reason."""
        found = {}
        for metric in self.metrics.calls.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    found[f"{sample.labels['result']}/{sample.labels['reason']}"] = sample.value
        return found


MakeDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def make_desk(ari_server: Any, tmp_path: Path) -> AsyncIterator[MakeDesk]:
    """``await make_desk(max_calls=2)``. The model's server takes connections and never says a word."""
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    model = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{model.sockets[0].getsockname()[1]}/"
    media = AudioSocketServer()
    await media.start("127.0.0.1", 0)
    desks = []
    async with AriClient(ari_server.settings()) as ari:
        await ari.connect()
        ari_server.requests.clear()

        async def make(max_calls: int = 10) -> Desk:
            desks.append(Desk(ari_server, ari, media, url, max_calls, tmp_path))
            return desks[-1]

        yield make
        for desk in desks:
            await asyncio.wait_for(desk.registry.stop(), PATIENCE_S)
    await media.close()
    over.set()
    model.close()
    await model.wait_closed()


@pytest.fixture
async def desk(make_desk: MakeDesk) -> Desk:
    return await make_desk()


class TestAdmission:
    async def test_a_call_is_served_and_counted(self, desk: Desk) -> None:
        await desk.is_under_way("c1")
        assert len(desk.registry) == 1
        assert b"ariagent_calls_active 1.0" in desk.metrics.render()

    async def test_one_too_many_is_given_back_as_busy(self, make_desk: MakeDesk) -> None:
        desk = await make_desk(max_calls=1)
        await desk.is_under_way("c1")
        desk.enter("c2", "default")
        await desk.is_back_in_the_dialplan("c2")
        assert desk.result("c2") == "busy"
        assert len(desk.registry) == 1
        assert desk.ended() == {"busy/full": 1}

    async def test_the_place_of_one_that_ended_is_free_again(self, make_desk: MakeDesk) -> None:
        desk = await make_desk(max_calls=1)
        desk.registry.channel_entered(entering("gone", "default"))  # hung up before we could ask about it
        await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)
        assert desk.ended() == {"done/caller_hung_up": 1}
        await desk.is_under_way("c1")

    async def test_after_the_last_call_for_it_none_is_taken(self, desk: Desk) -> None:
        await desk.is_under_way("c1")
        desk.registry.refuse_new()
        desk.enter("c2", "default")
        await desk.is_back_in_the_dialplan("c2")
        assert desk.result("c2") == "busy"
        assert desk.ended() == {"busy/stopping": 1}

    async def test_one_that_hung_up_meanwhile_is_no_error(
        self, make_desk: MakeDesk, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk = await make_desk(max_calls=1)
        await desk.is_under_way("c1")
        desk.registry.channel_entered(entering("c2", "default"))
        await desk.ari_server.until(lambda: desk.ari_server.asked("POST /channels/c2/variable"))
        await asyncio.wait_for(desk.registry.stop(), PATIENCE_S)
        assert "call.return_failed" not in [record.getMessage() for record in caplog.records]

    async def test_an_agent_that_is_not_configured_is_an_error_for_the_dialplan(self, desk: Desk) -> None:
        desk.enter("c1", "nobody")
        await desk.is_back_in_the_dialplan("c1")
        await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)
        assert desk.result("c1") == "error"
        assert desk.ended() == {"error/unknown_agent": 1}

    @pytest.mark.parametrize(
        ("channel", "name"),
        [
            ("m1", "AudioSocket/127.0.0.1:9092-u"),
            ("ariagent-warm-1", "Local/support@ariagent-warm-1;1"),  # somebody answered as it was given up
            ("ariagent-warm-1-ear", "Snoop/ariagent-warm-1-00000001"),
        ],
    )
    async def test_a_channel_of_ours_that_belongs_to_no_call_is_hung_up(
        self, channel: str, name: str, desk: Desk
    ) -> None:
        desk.enter(channel, name=name)
        assert len(desk.registry) == 0
        await desk.ari_server.until(lambda: desk.ari_server.asked(f"DELETE /channels/{channel}"))

    async def test_a_channel_that_takes_a_place_in_a_call_that_is_over_goes_to_people(self, desk: Desk) -> None:
        desk.ari_server.channels["c2"] = "PJSIP/c2"
        desk.registry.channel_entered(StasisStarted(Channel("c2", "PJSIP/c2", "Up", app_name="Dial"), (), "c1"))
        await desk.is_back_in_the_dialplan("c2")
        assert len(desk.registry) == 0
        assert desk.result("c2") == "error"
        assert desk.ended() == {"error/late_transfer": 1}

    @pytest.mark.parametrize("args", [(), ("returned", "support", "TIMEOUT")])
    async def test_one_that_the_dialplan_sends_is_a_new_call_whatever_it_did_before(
        self, args: tuple[str, ...], desk: Desk
    ) -> None:
        """Asterisk names the replaced channel again: a human agent has transferred the caller back to the AI."""
        desk.ari_server.channels["c2"] = "PJSIP/c2"
        desk.registry.channel_entered(StasisStarted(Channel("c2", "PJSIP/c2", "Up", app_name="Stasis"), args, "c1"))
        assert [call.leg for call in desk.registry.calls] == ["c2"]
        await desk.ari_server.until(lambda: desk.ari_server.asked("POST /channels/externalMedia"))

    async def test_a_fault_of_one_call_is_its_own(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fault(call: Call) -> None:
            raise ZeroDivisionError("a bug of ours")

        with monkeypatch.context() as patch:
            patch.setattr(Call, "run", fault)
            desk.enter("c1", "default")
            await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)
        assert desk.ended() == {"error/fault": 1}
        assert [r.getMessage() for r in caplog.records if r.exc_info] == ["call.fault"]
        assert b"ariagent_calls_active 0.0" in desk.metrics.render()
        await desk.is_under_way("c2")


class TestStop:
    async def test_callers_go_back_to_the_dialplan_and_all_is_given_back(self, desk: Desk) -> None:
        calls = [await desk.is_under_way(f"c{number}") for number in range(3)]
        assert len(desk.ari_server.bridges) == 3
        await asyncio.wait_for(desk.registry.stop(), PATIENCE_S)
        assert [desk.result(f"c{number}") for number in range(3)] == ["error"] * 3
        assert desk.ended() == {"error/stopped": 3}
        assert {call.state for call in calls} == {State.ENDED}
        assert desk.ari_server.channels == {}
        assert desk.ari_server.bridges == []

    async def test_without_calls_it_returns_at_once(self, desk: Desk) -> None:
        await asyncio.wait_for(desk.registry.stop(), PATIENCE_S)
        await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)

    async def test_a_call_that_is_just_being_asked_about_ends_too(self, desk: Desk) -> None:
        go_on = await desk.enter_and_ask("c1")
        stopping = asyncio.ensure_future(desk.registry.stop())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(stopping, PATIENCE_S)
        assert desk.result("c1") == "error"
        assert desk.ended() == {"error/stopped": 1}
        assert "POST /channels/externalMedia" not in desk.ari_server.requests


class TestCatchUp:
    async def test_what_a_dead_process_left_goes_back_to_the_dialplan(self, desk: Desk) -> None:
        server = desk.ari_server
        server.channels |= {"left-1": "PJSIP/a", "left-2": "Local/03@ariagent-seat-1;2", "m": "AudioSocket/1"}
        server.bridges += ["old-1", "old-2"]
        # It died before there was a channel in the bridge.
        server.empty_bridges |= {"old-3": "ariagent/ariagent", "another's": "ariagent/other"}
        await desk.registry.catch_up()
        assert server.channels == {}
        assert server.bridges == []
        assert server.empty_bridges == {"another's": "ariagent/other"}
        assert desk.result("left-1") == desk.result("left-2") == "error"
        assert server.asked("DELETE /channels/m")

    async def test_the_calls_of_this_process_are_left_alone(self, desk: Desk) -> None:
        call = await desk.is_under_way("c1")
        before = dict(desk.ari_server.channels), list(desk.ari_server.bridges)
        await desk.registry.catch_up()
        assert (desk.ari_server.channels, desk.ari_server.bridges) == before
        assert call.state is State.PREPARING

    async def test_a_call_whose_channel_is_gone_ends(self, desk: Desk) -> None:
        await desk.is_under_way("c1")
        del desk.ari_server.channels["c1"]
        await desk.registry.catch_up()
        await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)
        assert desk.ended() == {"done/caller_hung_up": 1}
        assert desk.ari_server.bridges == []

    async def test_a_call_that_begins_meanwhile_is_neither_ended_nor_given_back(self, desk: Desk) -> None:
        server = desk.ari_server
        server.channels["c1"] = "PJSIP/c1"

        async def list_then_let_a_call_in() -> dict[str, Any]:
            listed = {"channel_ids": ["c1"], "bridge_ids": []}  # c2 is not here yet
            for channel in ("c1", "c2"):
                desk.enter(channel, "default")
            await server.until(lambda: server.requests.count("POST /channels/externalMedia") == 2)
            return listed

        server.answers["GET /applications/ariagent"] = (200, list_then_let_a_call_in)
        await desk.registry.catch_up()
        assert sorted(call.leg for call in desk.registry.calls) == ["c1", "c2"]
        assert {call.state for call in desk.registry.calls} == {State.PREPARING}
        assert len(server.bridges) == 2

    async def test_a_call_whose_leg_is_replaced_meanwhile_goes_on(self, desk: Desk) -> None:
        server = desk.ari_server
        call = await desk.is_under_way("c1")

        async def replace_then_list() -> dict[str, Any]:
            server.channels["c2"] = server.channels.pop("c1")
            desk.router.route(
                {
                    "type": "StasisStart",
                    "args": [],
                    "channel": {"id": "c2", "name": "PJSIP/c2"},
                    "replace_channel": {"id": "c1"},
                }
            )
            return {"channel_ids": list(server.channels), "bridge_ids": server.bridges}

        server.answers["GET /applications/ariagent"] = (200, replace_then_list)
        await desk.registry.catch_up()
        assert (call.leg, call.state) == ("c2", State.PREPARING)
        assert list(desk.registry.calls) == [call]

    @pytest.mark.parametrize("status", [404, 409, 500])
    async def test_one_channel_that_cannot_be_swept_does_not_keep_the_others(
        self, desk: Desk, status: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialplan, "PAUSES_S", (0.01, 0.01, 0.01))
        server = desk.ari_server
        names = [f"left-{number}" for number in range(5)]
        server.channels |= dict.fromkeys(names, "PJSIP/x")
        server.bridges += ["old-1", "old-2"]
        for name in ("left-0", "left-3"):
            server.answers[f"POST /channels/{name}/continue"] = (status, {"message": "Channel not in Stasis"})
        server.answers["DELETE /bridges/old-1"] = (status, {"message": "no"})
        await desk.registry.catch_up()
        assert set(server.channels) == {"left-0", "left-3"}
        assert server.bridges == ["old-1"]

    async def test_one_that_left_and_came_back_as_a_new_call_is_not_swept(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dialplan, "PAUSES_S", (0.01, 0.01, 0.01))
        server = desk.ari_server
        server.channels["c1"] = "PJSIP/c1"

        async def come_back() -> dict[str, str]:
            del server.answers["POST /channels/c1/continue"]
            desk.enter("c1", "returned", "support", "TIMEOUT")
            return {"message": "Channel not in Stasis application"}

        server.answers["POST /channels/c1/continue"] = (409, come_back)
        await desk.registry.catch_up()
        assert server.requests.count("POST /channels/c1/continue") == 1
        assert [call.leg for call in desk.registry.calls] == ["c1"]

    async def test_what_asterisk_did_not_let_go_is_swept_later(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "LOOK_AGAIN_S", (0.01,))
        monkeypatch.setattr(dialplan, "PAUSES_S", ())
        server = desk.ari_server
        call = await desk.is_under_way("c1")
        server.answers["POST /channels/c1/continue"] = (500, {"message": "no"})
        call.feed(StopRequested())
        await asyncio.wait_for(desk.registry.drained(), PATIENCE_S)
        assert "c1" in server.channels
        asked = len(server.requests)
        await server.until(lambda: server.requests[asked:].count("POST /channels/c1/continue") >= 2)
        del server.answers["POST /channels/c1/continue"]
        await server.until(lambda: "c1" not in server.channels)
        assert desk.ended() == {"error/stopped": 1}
        await desk.registry.stop()

    async def test_what_asterisk_never_lets_go_is_tried_often_and_logged_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(registry, "LOOK_AGAIN_S", (0.01,))
        monkeypatch.setattr(dialplan, "PAUSES_S", ())
        server = desk.ari_server
        server.channels["left"] = "PJSIP/x"
        server.read_only = True  # as an ARI user that may only read
        await desk.registry.catch_up()
        await server.until(lambda: server.requests.count("POST /channels/left/continue") >= 5)
        server.read_only = False
        await server.until(lambda: "left" not in server.channels)
        events = [record.getMessage() for record in caplog.records]
        assert events.count("orphan_call.found") == events.count("orphan_call.not_released") == 1
        (told,) = [record for record in caplog.records if record.getMessage() == "orphan_call.not_released"]
        assert "is read-only" in told.fields["cause"]  # type: ignore[attr-defined]
        await desk.registry.stop()

    async def test_a_channel_that_only_tries_something_is_left_alone(self, desk: Desk) -> None:
        server = desk.ari_server
        trial = f"{TRIAL_PREFIX}1"
        server.channels[trial] = "AudioSocket/127.0.0.1:9092-1"
        await desk.registry.catch_up()
        desk.registry.channel_entered(entering(trial, name="AudioSocket/127.0.0.1:9092-1"))
        await desk.registry.stop()
        assert list(server.channels) == [trial]

    async def test_nothing_left_is_nothing_to_do(self, desk: Desk) -> None:
        await desk.registry.catch_up()
        assert desk.ari_server.requests == ["GET /applications/ariagent", "GET /bridges"]


def interrupted(leg: str, **fields: Any) -> InterruptedCall:
    given: dict[str, Any] = {
        "call_id": f"call of {leg}",
        "began": 100.0,
        "answered": 101.0,
        "last_at": 130.0,
        "leg": leg,
    }
    return InterruptedCall(**{**given, **fields})


class TestLeave:
    async def test_callers_stay_where_they_are_and_are_not_told_as_ended(self, desk: Desk) -> None:
        calls = [await desk.is_under_way(f"c{number}") for number in range(3)]
        desk.ari_server.requests.clear()
        await asyncio.wait_for(desk.registry.leave(), PATIENCE_S)
        assert desk.ari_server.requests == []
        assert {f"c{number}" for number in range(3)} <= set(desk.ari_server.channels)
        assert desk.ended() == {}
        assert {call.termination for call in calls} == {Termination(Result.LEFT, "next_process")}
        assert len(desk.registry) == 0
        # Nor swept when the event stream is opened again.
        await desk.registry.catch_up()
        assert desk.ari_server.requests == []

    async def test_new_ones_go_on_in_the_dialplan(self, desk: Desk) -> None:
        await asyncio.wait_for(desk.registry.leave(), PATIENCE_S)
        desk.enter("c1", "default")
        await desk.is_back_in_the_dialplan("c1")
        assert desk.result("c1") == "busy"

    async def test_a_call_that_is_just_being_asked_about_stays_too(self, desk: Desk) -> None:
        go_on = await desk.enter_and_ask("c1")
        leaving = asyncio.ensure_future(desk.registry.leave())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(leaving, PATIENCE_S)
        assert "c1" in desk.ari_server.channels
        assert desk.result("c1") is None

    async def test_what_asterisk_does_not_answer_is_waited_for_a_while_only(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "LEAVE_LIMIT_S", 0.05)
        go_on = await desk.enter_and_ask("c1")
        await asyncio.wait_for(desk.registry.leave(), PATIENCE_S / 2)
        assert len(desk.registry) == 0
        go_on.set()


class TestTakeOver:
    @staticmethod
    def left(desk: Desk, channel_id: str, name: str, data: str = "ariagent", state: str = "Up") -> None:
        desk.ari_server.channels[channel_id] = name
        details = {"state": state, "dialplan": {"app_name": "Stasis", "app_data": data}}
        desk.ari_server.details[channel_id] = details

    async def test_legs_of_callers_go_on_and_nothing_else_does(self, desk: Desk) -> None:
        self.left(desk, "direct", "PJSIP/a")
        self.left(desk, "seat", "Local/03@ariagent-seat-1;2", "ariagent,seat,03")
        self.left(desk, "rings", "Local/04@ariagent-seat-2;2", "ariagent,seat,04", state="Ring")
        self.left(desk, "other", "PJSIP/b", "another,seat,05")
        self.left(desk, "media", "AudioSocket/1")
        self.left(desk, "ariagent-warm-1", "Local/support@ariagent-warm-1;1")
        await desk.registry.take_over([interrupted("seat", agent="default", caller="5551"), interrupted("x", row=None)])
        found = {call.leg: (call.arrival.seat, call.arrival.resumes) for call in desk.registry.calls}
        assert set(found) == {"direct", "seat", "rings"}
        assert found["rings"] == ("04", None)
        number, resumes = found["seat"]
        assert (number, resumes and resumes.call_id) == ("03", "call of seat")
        (seat,) = (call for call in desk.registry.calls if call.leg == "seat")
        assert seat.arrival.channel.caller_number == "5551"
        _, resumes = found["direct"]
        assert resumes is not None
        assert (resumes.call_id, resumes.entries) == ("", ())

    async def test_a_leg_that_took_anothers_place_is_known_by_its_record(self, desk: Desk) -> None:
        desk.ari_server.channels["l"] = "Local/_attended@transfer/m-1;2"
        desk.ari_server.details["l"] = {"state": "Up"}
        await desk.registry.take_over([interrupted("l")])
        assert [call.leg for call in desk.registry.calls] == ["l"]

    async def test_taking_over_again_begins_no_second_call(self, desk: Desk) -> None:
        self.left(desk, "direct", "PJSIP/a")
        await desk.registry.take_over([])
        await desk.registry.take_over([])
        assert len(desk.registry) == 1

    async def test_what_is_over_is_counted_as_lost(self, desk: Desk) -> None:
        await desk.registry.take_over([interrupted("gone", row=7), interrupted("elsewhere", row=8, dead=False)])
        assert desk.ended() == {"error/service_died": 1}

    async def test_who_hung_up_after_an_upgrade_began_is_no_error(self, desk: Desk) -> None:
        await desk.registry.take_over([interrupted("gone", row=7, unfinished=Unfinished.WORDS)])
        assert desk.ended() == {"done/left_meanwhile": 1}

    async def test_a_service_that_stops_takes_nothing_over(self, desk: Desk) -> None:
        self.left(desk, "direct", "PJSIP/a")
        desk.registry.refuse_new()
        await desk.registry.take_over([])
        assert len(desk.registry) == 0
