"""Routing of events, and an event stream that is kept open whatever happens to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ariagent.ari import listener as listener_module
from ariagent.ari.client import AriClient
from ariagent.ari.events import (
    Channel,
    ChannelDestroyed,
    DigitReceived,
    Event,
    StasisEnded,
    StasisStarted,
)
from ariagent.ari.listener import Backoff, Router, connect, listen
from ariagent.errors import AriError

PATIENCE_S = 20.0


def started(channel_id: str, *, replaces: str | None = None, args: tuple[str, ...] = ()) -> dict[str, Any]:
    message = {"type": "StasisStart", "args": list(args), "channel": {"id": channel_id, "name": f"PJSIP/{channel_id}"}}
    return {**message, "replace_channel": {"id": replaces}} if replaces else message


def about(kind: str, channel_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "channel": {"id": channel_id, "name": "x"}, **fields}


class Sinks:
    """A router with what it handed to whom."""

    def __init__(self) -> None:
        self.new: list[StasisStarted] = []
        self.heard: list[tuple[str, Event]] = []
        self.router = Router(self.new.append)

    def register(self, channel_id: str, name: str = "") -> None:
        self.router.register(channel_id, lambda event: self.heard.append((name or channel_id, event)))


@pytest.fixture
def sinks() -> Sinks:
    return Sinks()


class TestRouter:
    async def test_a_channel_that_nobody_waits_for_is_new(self, sinks: Sinks) -> None:
        sinks.router.route(started("c", args=("sales",)))
        assert sinks.new == [StasisStarted(Channel("c", "PJSIP/c", ""), ("sales",))]
        assert sinks.heard == []

    async def test_one_that_somebody_waits_for_is_not(self, sinks: Sinks) -> None:
        sinks.register("media-1")
        sinks.router.route(started("media-1"))
        assert sinks.new == []
        assert [name for name, _ in sinks.heard] == ["media-1"]

    async def test_each_event_goes_to_the_one_of_its_channel(self, sinks: Sinks) -> None:
        sinks.register("a")
        sinks.register("b")
        sinks.router.route(about("ChannelDtmfReceived", "b", digit="5"))
        sinks.router.route(about("StasisEnd", "a"))
        sinks.router.route(about("StasisEnd", "nobody"))
        sinks.router.route(about("ChannelVarset", "a"))
        assert sinks.heard == [("b", DigitReceived("b", "5")), ("a", StasisEnded("a"))]
        assert sinks.new == []

    async def test_a_swap_goes_to_the_one_of_the_replaced_channel(self, sinks: Sinks) -> None:
        sinks.register("old")
        sinks.router.route(started("new", replaces="old"))
        ((name, event),) = sinks.heard
        assert isinstance(event, StasisStarted)
        assert (name, event.channel.id, event.replaces) == ("old", "new", "old")
        assert sinks.new == []

    async def test_a_swap_of_an_unknown_channel_is_a_new_call(self, sinks: Sinks) -> None:
        sinks.router.route(started("new", replaces="unknown"))
        assert len(sinks.new) == 1

    async def test_a_destroyed_channel_is_told_and_forgotten(self, sinks: Sinks) -> None:
        sinks.register("c")
        for _ in range(2):
            sinks.router.route(about("ChannelDestroyed", "c", cause=16))
        assert sinks.heard == [("c", ChannelDestroyed("c", 16))]

    async def test_who_was_registered_before_takes_nothing_from_who_is_now(self, sinks: Sinks) -> None:
        def former(event: object) -> None:
            raise AssertionError("nobody is told who has gone")

        sinks.router.register("c", former)
        sinks.register("c")
        sinks.router.unregister("c", former)
        sinks.router.route(about("StasisEnd", "c"))
        assert sinks.heard == [("c", StasisEnded("c"))]

    async def test_an_unregistered_channel_is_forgotten(self, sinks: Sinks) -> None:
        sinks.register("c")
        sinks.router.unregister("c")
        sinks.router.unregister("c")
        sinks.router.route(about("StasisEnd", "c"))
        assert sinks.heard == []

    async def test_who_is_registered_no_longer_does_not_unregister_its_successor(self, sinks: Sinks) -> None:
        was: list[Event] = []
        sinks.router.register("c", was.append)
        sinks.register("c")
        sinks.router.unregister("c", was.append)
        sinks.router.route(about("StasisEnd", "c"))
        assert (was, len(sinks.heard)) == ([], 1)

    async def test_the_newest_registration_counts(self, sinks: Sinks) -> None:
        sinks.register("c", "first")
        sinks.register("c", "second")
        sinks.router.route(about("StasisEnd", "c"))
        assert [name for name, _ in sinks.heard] == ["second"]

    async def test_another_program_with_our_name_is_noticed(self, sinks: Sinks) -> None:
        assert not sinks.router.replaced.is_set()
        sinks.router.route({"type": "ApplicationReplaced", "application": "ariagent"})
        assert sinks.router.replaced.is_set()

    async def test_a_broken_message_is_logged_with_its_type_only(
        self, sinks: Sinks, caplog: pytest.LogCaptureFixture
    ) -> None:
        sinks.register("c")
        sinks.router.route({"type": "ChannelDtmfReceived", "channel": {"id": "c"}, "secret": "4111"})
        (record,) = caplog.records
        assert (record.getMessage(), record.fields) == ("ari.malformed", {"type": "ChannelDtmfReceived"})  # type: ignore[attr-defined]
        assert sinks.heard == []


class Listening:
    """``listen`` at work: how often it connected, and what it routed."""

    def __init__(self) -> None:
        self.sinks = Sinks()
        self.connected = 0
        self.changed = asyncio.Event()
        self.failure: Exception | None = None

    async def on_connected(self) -> None:
        self.connected += 1
        self.changed.set()
        if self.failure is not None:
            raise self.failure

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    @asynccontextmanager
    async def to(self, ari_server: Any) -> AsyncIterator[None]:
        def route(message: dict[str, Any]) -> None:
            original(message)
            self.changed.set()

        original, self.sinks.router.route = self.sinks.router.route, route  # type: ignore[method-assign]
        async with AriClient(ari_server.settings()) as client:
            self.client = client
            await client.connect()
            running = asyncio.ensure_future(listen(client, self.sinks.router, self.on_connected))
            try:
                yield
            finally:
                assert not running.done(), running
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.setattr(listener_module, "FIRST_PAUSE_S", 0.01)
    return Listening()


class TestListen:
    async def test_events_are_routed(self, ari_server: Any, listening: Listening) -> None:
        listening.sinks.register("c")
        async with listening.to(ari_server):
            await listening.until(lambda: listening.connected == 1)
            await ari_server.emit(started("d"))
            await ari_server.emit(about("StasisEnd", "c"))
            await listening.until(lambda: bool(listening.sinks.heard))
        assert len(listening.sinks.new) == 1

    @pytest.mark.parametrize("abruptly", [False, True])
    async def test_a_lost_stream_is_opened_again_and_what_was_missed_is_looked_for(
        self, ari_server: Any, listening: Listening, abruptly: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        listening.sinks.register("c")
        async with listening.to(ari_server):
            for number in range(1, 4):
                await listening.until(lambda number=number: listening.connected == number)  # type: ignore[misc]
                await ari_server.until(lambda: len(ari_server.streams) == 1)
                await ari_server.drop(abruptly=abruptly)
                await ari_server.until(lambda: not ari_server.streams)
            await listening.until(lambda: listening.connected == 4)
            await ari_server.until(lambda: len(ari_server.streams) == 1)
            await ari_server.emit(about("StasisEnd", "c"))
            await listening.until(lambda: bool(listening.sinks.heard))
        assert [record.getMessage() for record in caplog.records].count("ari.lost") == 3

    async def test_one_that_is_refused_is_tried_again(self, ari_server: Any, listening: Listening) -> None:
        ari_server.answers["GET /events"] = (503, "starting")
        async with listening.to(ari_server):
            await ari_server.until(lambda: ari_server.requests.count("GET /events") >= 3)
            assert listening.connected == 0
            del ari_server.answers["GET /events"]
            await listening.until(lambda: listening.connected == 1)

    async def test_one_that_breaks_is_opened_again(self, ari_server: Any, listening: Listening) -> None:
        async with listening.to(ari_server):
            await listening.until(lambda: listening.connected == 1)
            await ari_server.until(lambda: len(ari_server.streams) == 1)
            await ari_server.emit("this is no JSON")
            await listening.until(lambda: listening.connected == 2)

    @pytest.mark.parametrize(
        ("failure", "event", "level"),
        [
            (AriError("no answer"), "ari.catch_up_failed", logging.WARNING),
            (ZeroDivisionError("a bug of ours"), "ari.catch_up_fault", logging.ERROR),
        ],
    )
    async def test_a_failure_to_catch_up_is_told_and_events_go_on(
        self,
        ari_server: Any,
        listening: Listening,
        caplog: pytest.LogCaptureFixture,
        failure: Exception,
        event: str,
        level: int,
    ) -> None:
        listening.failure = failure
        async with listening.to(ari_server):
            await listening.until(lambda: listening.connected == 1)
            await ari_server.until(lambda: len(ari_server.streams) == 1)
            await ari_server.emit(started("d"))
            await listening.until(lambda: bool(listening.sinks.new))
        told = [record.levelno for record in caplog.records if record.getMessage() == event]
        assert told == [level]

    async def test_a_call_whose_handler_raises_does_not_stop_the_others(
        self, ari_server: Any, listening: Listening
    ) -> None:
        def broken(event: Event) -> None:
            raise ZeroDivisionError("a bug of ours")

        listening.sinks.router.register("bad", broken)
        listening.sinks.register("good")
        async with listening.to(ari_server):
            await listening.until(lambda: listening.connected == 1)
            await ari_server.until(lambda: len(ari_server.streams) == 1)
            for channel in ("bad", "good"):
                await ari_server.emit(about("StasisEnd", channel))
            await listening.until(lambda: bool(listening.sinks.heard))
            assert listening.connected == 1

    async def test_the_pause_grows_and_is_bounded(
        self, ari_server: Any, listening: Listening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        enough = asyncio.Event()
        sleep = asyncio.sleep

        async def note(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 6:
                enough.set()
            await sleep(0)

        monkeypatch.setattr(listener_module, "FIRST_PAUSE_S", 0.25)
        monkeypatch.setattr(listener_module, "LONGEST_PAUSE_S", 2.0)
        ari_server.answers["GET /events"] = (503, "starting")
        async with listening.to(ari_server):
            monkeypatch.setattr(asyncio, "sleep", note)
            await asyncio.wait_for(enough.wait(), PATIENCE_S)
            monkeypatch.undo()
        assert pauses[:6] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]

    async def test_a_user_who_may_only_read_has_no_stream_until_that_is_mended(
        self,
        ari_server: Any,
        listening: Listening,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """With a stream callers would enter and could not be sent on; without, Stasis() fails at once."""
        monkeypatch.setattr(listener_module, "LONGEST_DENIED_S", 0.02)
        ari_server.read_only = True
        async with listening.to(ari_server):
            asked = "DELETE /channels/ariagent-rights-"
            await ari_server.until(lambda: sum(r.startswith(asked) for r in ari_server.requests) >= 4)
            assert ari_server.connections == 0
            ari_server.read_only = False
            await listening.until(lambda: listening.connected == 1)
            # It is taken away again while calls continue: the first request that is refused ends the stream.
            ari_server.read_only = True
            client = listening.client
            with pytest.raises(AriError, match="read-only"):
                await client.answer("c")
            await ari_server.until(lambda: not ari_server.streams)
            ari_server.read_only = False
            await listening.until(lambda: listening.connected == 2)
        lost = [(r.levelno, r.fields["cause"]) for r in caplog.records if r.getMessage() == "ari.lost"]  # type: ignore[attr-defined]
        assert [level for level, _ in lost if level >= logging.ERROR], lost
        # However often it was tried: once for each time that it was so, and once for the stream that was ended.
        assert len(lost) <= 3
        assert "Set read_only = no under [ariagent] in ari.conf" in lost[0][1]


class TestConnect:
    """Waiting for an Asterisk that is not there yet, or does not let us in."""

    @pytest.mark.parametrize(
        ("wrong", "level", "cause"),
        [
            ({"password": "another"}, logging.ERROR, "refused user ariagent or its password"),
            ({"read_only": True}, logging.ERROR, "is read-only"),
            ({"answers": {"GET /api-docs/resources.json": (404, "no")}}, logging.WARNING, "is no ARI"),
            ({"answers": {"GET /api-docs/resources.json": (503, "starting")}}, logging.WARNING, "HTTP 503"),
        ],
        ids=["password", "read only", "no ARI", "starting"],
    )
    async def test_it_waits_and_says_why_once(
        self,
        ari_server: Any,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        wrong: dict[str, Any],
        level: int,
        cause: str,
    ) -> None:
        monkeypatch.setattr(listener_module, "FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(listener_module, "LONGEST_PAUSE_S", 0.02)
        monkeypatch.setattr(listener_module, "LONGEST_DENIED_S", 0.02)
        settings, right = ari_server.settings(), {name: getattr(ari_server, name) for name in wrong}
        for name, value in wrong.items():
            setattr(ari_server, name, value)
        backoff = Backoff()
        async with AriClient(settings) as client:
            connecting = asyncio.ensure_future(connect(client, backoff))
            await ari_server.until(lambda: ari_server.requests.count("GET /api-docs/resources.json") >= 4)
            assert cause in backoff.cause
            for name, value in right.items():
                setattr(ari_server, name, value)
            assert await asyncio.wait_for(connecting, PATIENCE_S) == "22.10.1"
            assert backoff.cause == ""
        (record,) = [record for record in caplog.records if record.getMessage() == "asterisk.waiting"]
        assert record.levelno == level
        assert cause in record.fields["cause"]  # type: ignore[attr-defined]

    async def test_pauses_are_longer_where_each_try_is_a_line_in_asterisks_security_log(
        self, ari_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: dict[str, list[float]] = {}
        sleep = asyncio.sleep

        async def noted(seconds: float) -> None:
            pauses[ari_server.password].append(seconds)
            await sleep(0)

        monkeypatch.setattr(listener_module.asyncio, "sleep", noted)
        settings = ari_server.settings()
        for name, answers in (("denied", {}), (ari_server.password, {"GET /api-docs/resources.json": (503, "no")})):
            ari_server.password, ari_server.answers = name, answers
            pauses[name] = []
            async with AriClient(settings) as client:
                connecting = asyncio.ensure_future(connect(client, Backoff()))
                await ari_server.until(lambda name=name: len(pauses[name]) >= 10)  # type: ignore[misc]
                connecting.cancel()
                await asyncio.wait([connecting])
        longest = {name: max(found) for name, found in pauses.items()}
        assert list(longest.values()) == [listener_module.LONGEST_DENIED_S, listener_module.LONGEST_PAUSE_S]
