"""The official JavaScript SDK (``@openai/agents-realtime``), unchanged, against the sandbox.

Its schema (zod) judges every event. ``make js`` fetches it; ``make test`` does so by itself.
"""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ariagent.errors import ResourceError
from lab.packages import default_lab_dir
from tests.loading import loaded

JS = Path(__file__).parent / "js"
LIMIT_S = 60
SCENARIO = """
rules:
  - {name: hours, when: {said: [[hours]]}, then: From nine to six.}
  - name: order
    when: {said: "/order number is (?P<number>[0-9]+)/"}
    then: [{say: One moment.}, {call: {name: lookup_order, arguments: {number: "{number}"}}}]
  - {name: order found, when: {tool_result: lookup_order}, then: "The workshop says {result}."}
  - name: prices
    when: {said: [[prices]]}
    then: >-
      A small service is forty euros. We check the brakes, the gears and the chain. A big service is ninety euros and
      takes three days, because we also change all the cables.
  - name: shop
    when: {said: [ask the shop]}
    then: [{mcp: {server: shop, tool: stock, output: {left: 3}, takes: 0.1}}]
otherwise: I did not get that.
"""
"""Short answers, and a long one for the barge-in."""


def fetcher() -> ModuleType:
    return loaded("fetch", JS / "fetch.py")


@pytest.fixture(scope="session")
def judge() -> list[str]:
    """The argv prefix that runs the judge. Where CI runs, it must be there."""
    try:
        argv: list[str] = fetcher().ensure(default_lab_dir())
    except ResourceError as error:
        if os.environ.get("ARIAGENT_NO_SKIP"):
            raise
        pytest.skip(f"no JavaScript SDK here, and none to be had: {error}")
    return argv


async def test_the_javascript_sdk_converses_without_an_error_or_an_unknown_event(
    judge: list[str], make_place: Any, speech_like: Any, tmp_path: Path
) -> None:
    place = await make_place(SCENARIO, generation_speed=2.0)
    sound = tmp_path / "sound.pcm"
    sound.write_bytes(speech_like(1000))
    program = await asyncio.create_subprocess_exec(
        *judge,
        f"{place.server.url}?model=gpt-realtime-2.1",
        str(sound),
        env={"PATH": os.environ["PATH"], "OPENAI_AGENTS_DISABLE_TRACING": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
    assert (program.returncode, err.decode()) == (0, "")
    found = json.loads(out)
    assert int(found["node"].split(".")[0]) >= 22
    assert found["unmatched"] == []
    assert found["errors"] == []
    assert found["looked"] == ["427"]
    assert found["interrupted"] >= 1
    assert found["audioBytes"] > 48_000
    kinds = Counter(found["kinds"])
    assert kinds["error"] == 0
    assert kinds["conversation.item.truncated"] >= 1
    assert {"message user", "message assistant", "function_call lookup_order"} <= set(found["history"])
    record = place.server.session
    assert record.received_events("conversation.item.truncate")
    cut = [item["text"] for item in record.conversations[-1]["items"] if item.get("truncated")]
    assert cut
    assert not any(text.endswith(".") for text in cut)


def test_the_lock_names_no_package_host() -> None:
    lock = json.loads((JS / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages["node_modules/@openai/agents-realtime"]["version"] == "0.20.0"
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
