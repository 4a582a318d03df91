"""The toolbox: what the model is told, and that every call comes to one outcome."""

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web

from ariagent.config import LookupSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.realtime.events import ToolCall
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox
from ariagent.values.outcome import Outcome

Make = Callable[..., Any]

FACTS = CallFacts("1795357064.1", "default", "+3120555", "Ann", "en")

PLUGIN = """
import asyncio

class Tool:
    name = "plug"
    description = "For tests."
    parameters = {"type": "object", "properties": {"do": {"type": "string"}}, "required": ["do"]}
    timeout_s = 0.2
    waiting_prompt = "One moment"
    safe_to_repeat = True
    bound = {"customer": "{caller.number}"}

    async def __call__(self, arguments, facts):
        match arguments["do"]:
            case "answer":
                return {"who": facts.caller_number, "call": facts.call_id, "in": facts.language}
            case "customer":
                return {"customer": arguments["customer"]}
            case "raise":
                raise RuntimeError("secret inside")
            case "exit":
                raise asyncio.CancelledError
            case "hang":
                await asyncio.sleep(3600)
            case "hang on":
                while True:
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        self.stubborn = True
                        await asyncio.sleep(0.3)
                        raise
            case "object":
                return object()
            case "half":
                return "\\ud800"
            case "loop":
                loop = []
                loop.append(loop)
                return loop
            case "much":
                return "x" * 20_000

plug = Tool()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plug_module.py").write_text(PLUGIN)
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ariagent.tools]\nplug = plug_module:plug\n")
    yield
    sys.modules.pop("plug_module", None)


@pytest.fixture
async def plugged(plugin: None) -> AsyncIterator[Callable[[str], Any]]:
    """``plugged("answer")``: what a call of the Python tool comes to."""
    toolbox = Toolbox(Settings.model_validate({"agents": {"default": {"tools": ["plug"]}}}))

    async def call(do: str) -> Outcome:
        async with asyncio.timeout(30):
            return await toolbox.run("default", ToolCall("c", "plug", json.dumps({"do": do})), FACTS)

    yield call
    await toolbox.close()


class TestBound:
    async def test_a_python_tool_gets_what_the_model_cannot_choose(self, plugged: Any) -> None:
        assert json.loads((await plugged("customer")).output) == {"customer": "+3120555"}

    async def test_nor_may_it_try(self, plugin: None) -> None:
        toolbox = Toolbox(Settings.model_validate({"agents": {"default": {"tools": ["plug"]}}}))
        call = ToolCall("c", "plug", '{"do": "customer", "customer": "5559999"}')
        assert (await toolbox.run("default", call, FACTS)).kind == "bad_arguments"
        assert "customer" not in json.dumps(toolbox.declarations("default"))

    async def test_nothing_is_run_for_a_withheld_number(self, plugin: None) -> None:
        toolbox = Toolbox(Settings.model_validate({"agents": {"default": {"tools": ["plug"]}}}))
        call = ToolCall("c", "plug", '{"do": "customer"}')
        assert (await toolbox.run("default", call, CallFacts("1.1", "default"))).kind == "not_known"

    def test_to_a_variable_that_an_agent_does_not_read(self, plugin: None, monkeypatch: pytest.MonkeyPatch) -> None:
        importlib.import_module("plug_module")
        monkeypatch.setattr("plug_module.Tool.bound", {"vip": "{variable.VIP}"}, raising=False)
        with pytest.raises(ConfigurationError, match="VIP among the agent's variables"):
            Toolbox(Settings.model_validate({"agents": {"default": {"tools": ["plug"]}}}))


class TestSecrets:
    """A server that sends back what it was sent."""

    SECRETS: ClassVar = {"Authorization": "Bearer sk-0123456789", "X-Key": 'key-"with/quotes'}

    @pytest.mark.parametrize("how", ["JSON", "text", "token alone", "a name"])
    async def test_are_not_told_to_the_model(self, site: Any, box: Make, how: str) -> None:
        async def echo(request: web.Request) -> web.StreamResponse:
            found = [request.headers["Authorization"], request.headers["X-Key"]]
            match how:
                case "JSON":
                    return web.json_response({"sent": found})
                case "text":
                    return web.Response(text=" and ".join(found))
                case "token alone":
                    return web.json_response(found[0].split()[1])
            return web.json_response({found[1]: 1})

        site.answers["/order/1"] = echo
        outcome = await box(headers=self.SECRETS, method="POST").call(number="1")
        assert outcome.ok
        assert "***" in outcome.output
        assert not any(part in outcome.output for part in ("sk-01", "with", "quotes"))
        json.loads(outcome.output)

    async def test_nor_to_instructions(self, site: Any, box: Make) -> None:
        async def echo(request: web.Request) -> web.StreamResponse:
            return web.json_response({"name": request.headers["Authorization"]})

        site.answers["/who"] = echo
        lookup = {"url": f"{site.url}/who", "headers": self.SECRETS}
        made = box(agent={"lookup": lookup})
        assert await made.toolbox.lookup(LookupSettings.model_validate(lookup), {}) == {"name": "***"}


class TestAtOnce:
    async def test_120_slow_ones_of_one_call_do_not_keep_another_waiting(self, site: Any, box: Make) -> None:
        now = most = 0
        go_on = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await go_on.wait()
            now -= 1
            return web.json_response({})

        site.answers["/order/slow"] = slow
        made = box(timeout_s=60)
        one = [asyncio.ensure_future(made.call(number="slow")) for _ in range(120)]
        async with asyncio.timeout(30):
            while most < 4:
                await asyncio.sleep(0.01)
            other = CallFacts("2.1", "default")
            assert (await made.toolbox.run("default", ToolCall("c", "order", '{"number": "1"}'), other)).ok
            go_on.set()
            kinds = [outcome.kind for outcome in await asyncio.gather(*one)]
        assert most == 4
        assert (kinds.count("ok"), kinds.count("busy")) == (20, 100)

    async def test_a_server_is_not_flooded(self, site: Any, box: Make) -> None:
        go_on = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            await go_on.wait()
            return web.json_response({})

        site.answers["/order/slow"] = slow
        made = box(outbound={"per_host": 2}, timeout_s=0.5)
        call = ToolCall("c", "order", '{"number": "slow"}')
        outcomes = await asyncio.gather(
            *(made.toolbox.run("default", call, CallFacts(f"{number}.1", "default")) for number in range(3))
        )
        # The first two were given up at the same moment, so that the third may still have had its turn.
        assert [outcome.kind for outcome in outcomes[:2]] == ["timeout"] * 2
        assert outcomes[2].kind in ("busy", "timeout")
        go_on.set()
        assert (await made.call(number="1")).ok

    async def test_who_hangs_up_gives_the_place_back(self, site: Any, box: Make) -> None:
        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        site.answers["/order/never"] = never
        made = box(outbound={"per_host": 1}, timeout_s=20)
        running = [asyncio.ensure_future(made.call(number="never")) for _ in range(5)]
        async with asyncio.timeout(30):
            while not site.seen:
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        assert (await made.call(number="1")).ok


def error_of(outcome: Outcome) -> str:
    assert not outcome.ok
    return str(json.loads(outcome.output)["error"])


class TestDeclarations:
    def test_functions_then_mcp_servers_of_that_agent_only(self, plugin: None) -> None:
        parameters = {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}
        tree = {
            "outbound": {"allowed_hosts": ["e.com"]},
            "tools": {
                name: {
                    "description": f"About {name}.",
                    "url": "https://e.com/{n}",
                    "parameters": parameters,
                    "waiting_prompt": None,
                }
                for name in ("order", "stock")
            },
            "mcp_servers": {"crm": {"url": "https://crm.e.com/mcp"}},
            "agents": {"default": {"tools": ["plug", "order"], "mcp": ["crm"]}, "other": {}},
        }
        toolbox = Toolbox(Settings.model_validate(tree))
        found = toolbox.declarations("default")
        assert [entry.get("name") or entry["server_label"] for entry in found] == ["plug", "order", "crm"]
        assert found[1] == {
            "type": "function",
            "name": "order",
            "description": "About order.",
            "parameters": parameters,
        }
        assert json.loads(json.dumps(found)) == list(found)
        assert toolbox.declarations("other") == ()

    def test_signs(self, plugin: None) -> None:
        tool = {"description": "x", "url": "https://e.com/"}
        tree = {
            "tools": {
                "a": tool,
                "b": {**tool, "waiting_prompt": None},
                "c": {**tool, "waiting_prompt": "I am looking"},
            },
            "agents": {"default": {"tools": ["a", "b", "c", "plug"]}},
        }
        toolbox = Toolbox(Settings.model_validate(tree))
        assert [toolbox.waiting_prompt(name) for name in ("a", "b", "c", "plug", "none")] == [
            "tone",
            None,
            "I am looking",
            "One moment",
            None,
        ]

    def test_those_that_are_safe_to_repeat(self, plugin: None) -> None:
        tool = {"description": "x", "url": "https://e.com/"}
        tree = {
            "tools": {"a": tool, "b": {**tool, "safe_to_repeat": True}},
            "agents": {"default": {"tools": ["a", "b", "plug"]}},
        }
        toolbox = Toolbox(Settings.model_validate(tree))
        assert [toolbox.safe_to_repeat(name) for name in ("a", "b", "plug", "none")] == [False, True, True, False]

    def test_a_tool_that_is_not_there(self) -> None:
        with pytest.raises(ConfigurationError, match="no tool nothing"):
            Toolbox(Settings.model_validate({"agents": {"default": {"tools": ["nothing"]}}}))

    def test_a_tool_that_is_there_twice(self, plugin: None) -> None:
        tree = {"tools": {"plug": {"description": "x", "url": "https://e.com/"}}, "agents": {"a": {"tools": ["plug"]}}}
        with pytest.raises(ConfigurationError, match="plug_module:plug"):
            Toolbox(Settings.model_validate(tree))


class TestCalls:
    async def test_a_tool_that_the_agent_does_not_have(self, box: Make) -> None:
        made = box()
        outcome = await made.say("{}", name="transfer_money" * 10)
        assert outcome.kind == "unknown_tool"
        assert "there is no tool transfer_money" in error_of(outcome)
        assert made.calls == [("unknown", "unknown_tool")]
        outcome = await made.toolbox.run("another", ToolCall("c", "order", '{"number": "1"}'), FACTS)
        assert outcome.kind == "unknown_tool"

    @pytest.mark.parametrize(
        "arguments", ["", "{", "[]", '{"number": 1}', '{"number": "1", "x": 1}', '{"number": "a/b"}']
    )
    async def test_wrong_arguments_send_nothing(self, site: Any, box: Make, arguments: str) -> None:
        made = box()
        outcome = await made.say(arguments)
        assert outcome.kind == "bad_arguments"
        assert error_of(outcome)
        assert (site.seen, made.calls) == ([], [("order", "bad_arguments")])

    async def test_failures_are_logged_with_the_call_and_without_secrets(
        self, site: Any, box: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def refuse(request: web.Request) -> web.StreamResponse:
            return web.Response(status=403)

        site.answers["/order/1"] = refuse
        made = box(headers={"Authorization": "Bearer s3cret"}, signature={"secret": "shared-s3cret"})
        with caplog.at_level(logging.DEBUG):
            outcome = await made.call(number="1")
        record = next(record for record in caplog.records if record.getMessage() == "tool.failed")
        fields = record.__dict__["fields"]
        assert (fields["call"], fields["tool"], fields["kind"]) == ("1795357064.1", "order", "http_status")
        assert "s3cret" not in outcome.output + caplog.text + str(fields)

    async def test_several_at_once_each_get_their_own(self, site: Any, box: Make) -> None:
        made = box()
        outcomes = await asyncio.gather(*(made.call(number=str(n)) for n in range(20)))
        assert [json.loads(outcome.output)["path"] for outcome in outcomes] == [f"/order/{n}" for n in range(20)]

    async def test_one_that_is_cancelled_ends(self, site: Any, box: Make) -> None:
        came = asyncio.Event()

        async def never(request: web.Request) -> web.StreamResponse:
            came.set()
            await asyncio.Event().wait()
            return web.Response()

        site.answers["/order/1"] = never
        made = box(timeout_s=60)
        async with asyncio.timeout(30):
            task = asyncio.create_task(made.call(number="1"))
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class TestPython:
    async def test_arguments_and_facts_reach_it(self, plugged: Callable[[str], Any]) -> None:
        outcome = await plugged("answer")
        assert outcome == Outcome('{"who":"+3120555","call":"1795357064.1","in":"en"}', True, "ok")

    @pytest.mark.parametrize(
        ("do", "kind"),
        [
            ("raise", "failed"),
            ("exit", "failed"),
            ("object", "failed"),
            ("half", "failed"),
            ("loop", "failed"),
            ("much", "too_large"),
            ("hang", "timeout"),
            ("hang on", "timeout"),
        ],
    )
    async def test_its_failures(
        self, plugged: Callable[[str], Any], do: str, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        outcome = await plugged(do)
        assert outcome.kind == kind
        assert "secret inside" not in error_of(outcome)
        failed = [
            record.__dict__["fields"]["call"] for record in caplog.records if record.getMessage() == "tool.failed"
        ]
        assert failed == ["1795357064.1"]
        assert (do == "raise") == ("secret inside" in caplog.text)


class TestLookup:
    async def test_what_it_finds(self, site: Any, box: Make) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.json_response({"name": "Ann", "orders": [1, 2], "vip": True, "note": None})

        site.answers["/who"] = answer
        settings = LookupSettings(url=f"{site.url}/who?n={{caller.number}}")
        values = {"caller.number": "+31 20", "caller.name": "Ann & Co"}
        assert await box().toolbox.lookup(settings, values) == {"name": "Ann", "orders": "[1,2]", "vip": "true"}
        assert site.seen[0].raw_path == "/who?n=%2B31%2020"

    async def test_post_sends_the_other_values(self, site: Any, box: Make) -> None:
        settings = LookupSettings(url=f"{site.url}/who/{{caller.number}}", method="POST")
        await box().toolbox.lookup(settings, {"caller.number": "1", "queue": "frontline"})
        assert json.loads(site.seen[0].body) == {"queue": "frontline"}

    @pytest.mark.parametrize("path", ["/fails", "/list", "/never", "/who/{caller.number}", "/who/{caller.name}"])
    async def test_any_failure_is_nothing_and_logged(
        self, site: Any, box: Make, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(request: web.Request) -> web.StreamResponse:
            return web.Response(status=500)

        async def lists(request: web.Request) -> web.StreamResponse:
            return web.json_response([1])

        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        site.answers |= {"/fails": fail, "/list": lists, "/never": never}
        made = box()
        settings = LookupSettings(url=site.url + path, timeout_s=0.3 if path == "/never" else 8)
        # A withheld number is an empty one; a name may not be known at all.
        assert await made.toolbox.lookup(settings, {"caller.number": ""}, call_id="17.1") == {}
        assert [record.__dict__["fields"]["call"] for record in caplog.records] == ["17.1"]
        assert made.calls[0][0] == "lookup"
        assert made.calls[0][1] != "ok"
