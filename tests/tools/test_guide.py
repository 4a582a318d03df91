"""The examples of docs/tools.md, tools-http.md and tools-python.md work as they stand there."""

import hashlib
import hmac
import json
import re
import sys
import threading
import tomllib
from http.server import HTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from ariagent.caller.script import load_script
from ariagent.config import Settings, SignatureSettings
from ariagent.configfile import load
from ariagent.realtime.events import ToolCall
from ariagent.sandbox.scenario import Call, Say, Situation
from ariagent.sandbox.scenario_file import parse_scenario
from ariagent.tools import plugins, request
from ariagent.tools.answer import Answer, told
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox
from ariagent.values.outcome import Kind

DOCS = Path(__file__).parents[2] / "docs"
TEXT = "\n".join((DOCS / f"{page}.md").read_text() for page in ("tools", "tools-http", "tools-python"))
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
NOT_SETTINGS = ("# scenario.yaml\n", "# caller.yaml\n")
FILES = [code for kind, code in EXAMPLES if kind == "yaml" and not code.startswith(NOT_SETTINGS)]
SECRETS = {"OPENAI_API_KEY": "sk-x", "ORDERS_TOKEN": "Bearer x", "CRM_TOKEN": "x"}


def code(name: str) -> str:
    return next(code for kind, code in EXAMPLES if code.startswith(f"# {name}\n"))


def loaded(text: str, folder: Path) -> Settings:
    (folder / "secret").write_text("shared\n")
    file = folder / "ariagent.yaml"
    file.write_text(re.sub(r"file:/\S+", f"file:{folder / 'secret'}", text))
    return load(file, SECRETS)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_the_settings_load(number: int, tmp_path: Path) -> None:
    settings = loaded(FILES[number], tmp_path)
    Toolbox(settings).declarations("default")
    assert settings.tools or settings.mcp_servers or settings.agents["default"].lookup


def test_the_first_example_asks_and_picks_what_it_says(tmp_path: Path) -> None:
    tool = loaded(FILES[0], tmp_path).tools["order_status"]
    asked = request.of_tool(tool, {"number": "4711"})
    assert f"{asked.method} {asked.url}" in TEXT
    answer = next(code for kind, code in EXAMPLES if kind == "json")
    picked = json.dumps(told(tool, Answer(body=answer.encode())), separators=(",", ":"))
    assert f"the model gets `{picked}`" in TEXT


async def test_the_server_to_try_it_with(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "orders"}
    exec(code("orders.py"), names)
    server = HTTPServer(("127.0.0.1", 0), names["Orders"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        text = FILES[1].replace(":8000", f":{server.server_port}")
        toolbox = Toolbox(loaded(text, tmp_path))
        call = ToolCall("c", "order_status", '{"number": "4711"}')
        outcome = await toolbox.run("default", call, CallFacts("1.1", "default"))
        await toolbox.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert json.loads(outcome.output) == {"number": "4711", "status": "shipped"}


def test_the_conversation_to_try_it_with(tmp_path: Path) -> None:
    scenario = parse_scenario(code("scenario.yaml"), "docs/tools.md")
    asked = Situation(said="My order number is four seven one one.", tools=("order_status", "end_call"))
    assert scenario.plan(asked, 0)[1] == [Call(("order_status",), {"number": "4711"})]
    told = Situation(tool_result="order_status", output='{"number": "4711", "status": "shipped"}')
    assert scenario.plan(told, 0)[1] == [Say(("Your order is shipped. Is there anything else?",))]
    (tmp_path / "caller.yaml").write_text(code("caller.yaml"))
    assert len(load_script(tmp_path / "caller.yaml").steps) == 7


def test_the_signature_is_verified() -> None:
    names: dict[str, Any] = {}
    exec(code("verify.py"), names)
    verify = names["verify"]
    header = request.signature(SignatureSettings(secret="shared"), b'{"a":1}', 1795357064)
    assert verify(header, b'{"a":1}', "shared", now=1795357100)
    assert not verify(header, b'{"a":2}', "shared", now=1795357100)
    assert not verify(header, b'{"a":1}', "other", now=1795357100)
    assert not verify(header, b'{"a":1}', "shared", now=1795357064 + 400)
    assert not verify("", b"", "shared")
    assert not verify("t=x,v1=", b"", "shared")
    digest = hmac.new(b"shared", b'1795357064.{"a":1}', hashlib.sha256).hexdigest()
    assert header == f"t=1795357064,v1={digest}"


async def test_the_python_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "harbour_tools.py").write_text(code("harbour_tools.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    tool = plugins.load(EntryPoint("free_slots", "harbour_tools:Slots", plugins.GROUP))
    sys.modules.pop("harbour_tools")
    answer = await tool({"day": "2026-03-02"}, CallFacts("1.1", "default"))
    assert answer == {"day": "2026-03-02", "free": ["09:00", "13:30"]}


def test_the_package_has_the_entry_point() -> None:
    found = tomllib.loads(code("pyproject.toml"))
    assert found["project"]["entry-points"] == {plugins.GROUP: {"free_slots": "harbour_tools:Slots"}}


def test_every_kind_of_failure_is_explained() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert {kind.value for kind in Kind} - {"ok"} == rows
