"""Function calls of the model: run beside each other, answered once, given up when the call ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from ariagent.call.tool_runner import Answer, Belt, Pending, described
from hypothesis import given
from hypothesis import strategies as st

from ariagent.call import tool_runner as belt_module
from ariagent.config import Settings
from ariagent.dialogue.role import Role
from ariagent.realtime.events import ToolCall
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox

PATIENCE_S = 20.0


def calls(*names: str) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(name, "order", "{}") for name in names)


class TestPending:
    def test_the_model_goes_on_after_the_last_answer_of_a_response(self) -> None:
        pending = Pending()
        pending.add(calls("a", "b", "c"))
        assert pending
        assert [pending.answered(name) for name in "bca"] == [False, False, True]
        assert not pending

    def test_an_answer_that_wants_nothing_more_does_not_make_it_go_on(self) -> None:
        pending = Pending()
        pending.add(calls("end"))
        assert pending.answered("end", goes_on=False) is False
        assert not pending

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_one_that_does_is_enough(self, order: str) -> None:
        pending = Pending()
        pending.add(calls("a", "b"))
        assert [pending.answered(name, goes_on=name == "a") for name in order] == [False, True]

    def test_nothing_is_answered_twice(self) -> None:
        pending = Pending()
        pending.add(calls("a"))
        assert pending.answered("a") is True
        assert pending.answered("a") is None
        assert pending.answered("never asked") is None

    def test_responses_do_not_wait_for_each_other(self) -> None:
        pending = Pending()
        pending.add(calls("slow"))
        pending.add(calls("quick"))
        assert pending.answered("quick") is True
        assert pending
        assert pending.answered("slow") is True
        assert not pending

    @given(st.lists(st.integers(1, 4), max_size=4), st.randoms(use_true_random=False))
    def test_each_response_goes_on_once_in_any_order(self, sizes: list[int], random: Any) -> None:
        pending = Pending()
        names = [[f"{batch}.{n}" for n in range(size)] for batch, size in enumerate(sizes)]
        for batch in names:
            pending.add(calls(*batch))
        order = [name for batch in names for name in batch]
        random.shuffle(order)
        assert sum(pending.answered(name) is True for name in order) == len(sizes)
        assert not pending


def test_a_call_is_described_by_name_id_and_arguments() -> None:
    call = ToolCall("call_1", "x" * 80, '{"a": 1}')
    assert described(call) == {"tool": "x" * 64, "id": "call_1", "arguments": '{"a": 1}'}


class Bench:
    """A belt whose tool ``order`` asks a real server, which answers when it is told to."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Answer] = asyncio.Queue()
        self.signs: asyncio.Queue[str] = asyncio.Queue()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.given_up = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return web.json_response({"status": "ready"})

    def belt(self, port: int, sign: str | None) -> tuple[Belt, Toolbox]:
        tool = {
            "description": "d",
            "url": f"http://127.0.0.1:{port}/",
            "retries": 0,
            "sign": sign,
            "timeout_s": PATIENCE_S,
        }
        tree = {
            "outbound": {"allowed_hosts": ["127.0.0.1"], "private": ["127.0.0.0/8"]},
            "agents": {"default": {"tools": ["order"]}},
            "tools": {"order": tool},
        }
        settings = Settings.model_validate(tree)
        toolbox = Toolbox(settings)
        role = Role(settings.agents["default"], "", CallFacts("c1", "default", "", "", "en"))
        return Belt(toolbox, role, self.answers.put_nowait, self.signs.put_nowait), toolbox


async def within(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, PATIENCE_S)


MakeBelt = Callable[..., Awaitable[Belt]]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def make(bench: Bench) -> AsyncIterator[MakeBelt]:
    app = web.Application()
    app.router.add_route("*", "/", bench.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made: list[tuple[Belt, Toolbox]] = []

    async def belt(sign: str | None = "tone") -> Belt:
        made.append(bench.belt(runner.addresses[0][1], sign))
        return made[-1][0]

    yield belt
    for one, toolbox in made:
        await one.close()
        await toolbox.close()
    bench.go_on.set()
    await runner.cleanup()


class TestBelt:
    async def test_an_answer_comes_once_with_its_time(self, bench: Bench, make: MakeBelt) -> None:
        belt = await make()
        bench.go_on.set()
        belt.start(ToolCall("call_1", "order", "{}"))
        answer = await within(bench.answers.get())
        assert (answer.call.call_id, answer.outcome.ok, answer.outcome.output) == ("call_1", True, '{"status":"ready"}')
        assert 0 < answer.seconds < PATIENCE_S
        assert bench.answers.empty()

    async def test_a_failure_is_an_answer_too(self, bench: Bench, make: MakeBelt) -> None:
        belt = await make()
        belt.start(ToolCall("call_1", "nobody", "{}"))
        answer = await within(bench.answers.get())
        assert (answer.outcome.ok, answer.outcome.kind) == (False, "unknown_tool")

    async def test_calls_run_beside_each_other(self, bench: Bench, make: MakeBelt) -> None:
        belt = await make()
        belt.start(ToolCall("slow", "order", "{}"))
        await within(bench.asked.wait())
        belt.start(ToolCall("quick", "nobody", "{}"))
        assert (await within(bench.answers.get())).call.call_id == "quick"
        bench.go_on.set()
        assert (await within(bench.answers.get())).call.call_id == "slow"

    async def test_a_slow_one_gives_its_sign_again_and_again(
        self, bench: Bench, make: MakeBelt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(belt_module, "SIGN_AFTER_S", 0.05)
        monkeypatch.setattr(belt_module, "SIGN_AGAIN_S", 0.05)
        belt = await make("One moment.")
        belt.start(ToolCall("call_1", "order", "{}"))
        assert [await within(bench.signs.get()) for _ in range(2)] == ["One moment."] * 2
        assert bench.answers.empty()
        bench.go_on.set()
        await within(bench.answers.get())

    async def test_one_without_a_sign_gives_none(
        self, bench: Bench, make: MakeBelt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(belt_module, "SIGN_AFTER_S", 0.01)
        monkeypatch.setattr(belt_module, "SIGN_AGAIN_S", 0.01)
        belt = await make(None)
        belt.start(ToolCall("call_1", "order", "{}"))
        await within(bench.asked.wait())
        await asyncio.sleep(0.05)  # several signs' time
        bench.go_on.set()
        await within(bench.answers.get())
        assert bench.signs.empty()

    async def test_closing_gives_up_what_runs_and_answers_nothing(self, bench: Bench, make: MakeBelt) -> None:
        belt = await make()
        belt.start(ToolCall("call_1", "order", "{}"))
        await within(bench.asked.wait())
        await within(belt.close())
        await within(bench.given_up.wait())
        assert bench.answers.empty()
        await within(belt.close())
