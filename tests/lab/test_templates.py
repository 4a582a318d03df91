"""The templates: their settings load, their suites are complete, the sandbox knows its part, the backend answers."""

import asyncio
import json
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

import ariagent
from ariagent.caller import script as do
from ariagent.caller.script import Script
from ariagent.configfile import load
from ariagent.rehearsal.rehearse import load_rehearsals
from ariagent.sandbox.options import DEFAULT_SCENARIO
from ariagent.sandbox.recognise import known_word
from ariagent.sandbox.scenario_file import load_scenario
from lab.backend import Backend

TEMPLATES = sorted(path.parent for path in (Path(ariagent.__file__).parent / "templates").glob("*/agent.yaml"))


def suite(template: Path) -> list[Script]:
    return load_rehearsals(template / "rehearsals")


def test_there_are_four() -> None:
    assert [path.name for path in TEMPLATES] == ["after_hours", "appointment", "front_desk", "order_status"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_the_settings_load_and_say_that_it_is_a_machine(template: Path) -> None:
    settings = load(template / "agent.yaml", {})
    agent = settings.agents["default"]
    assert "automated assistant" in (agent.opening_in("en") or "")
    assert set(agent.tools) == set(settings.tools)
    called = {tool.name for script in suite(template) for tool in script.expected.tools}
    assert called - {"end_call"} == set(settings.tools), "every tool is rehearsed"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_suite_has_five_callers_and_each_expects_something(template: Path) -> None:
    scripts = suite(template)
    assert len(scripts) >= 5
    assert len({script.title for script in scripts}) == len(scripts)
    assert all(script.expected.model_fields_set for script in scripts)


def test_together_they_have_every_kind_of_caller() -> None:
    scripts = {Path(script.source).stem: script for template in TEMPLATES for script in suite(template)}
    kinds = {"normal", "rude", "silent", "confused", "spanish", "noisy", "interrupting", "manipulative", "pausing"}
    assert kinds <= set(scripts)
    assert scripts["spanish"].voice.startswith("es")
    assert scripts["noisy"].noise is not None
    assert any(isinstance(step, do.Interrupt) for step in scripts["interrupting"].steps)
    assert any(isinstance(step, do.Say) and step.more for step in scripts["pausing"].steps)
    assert scripts["pausing"].expected.never_talked_over


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_the_sandbox_has_a_part_for_it(template: Path) -> None:
    pytest.importorskip("pocketsphinx")
    load_scenario(DEFAULT_SCENARIO.parent / f"{template.name}.yaml", known_word)


async def test_the_backend_books_finds_and_keeps() -> None:
    backend = Backend()
    await backend.start()

    def ask(path: str, body: object = None) -> tuple[int, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{backend.port}{path}", data)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, None

    try:
        found = [
            await asyncio.to_thread(ask, *words)
            for words in (
                ("/appointments/free?day=Friday",),
                ("/appointments/free?day=someday",),
                ("/appointments", {"day": "friday", "time": "10:00", "name": "Ann"}),
                ("/appointments", {"day": "friday", "time": "03:00", "name": "Ann"}),
                ("/appointments", ["friday"]),
                ("/orders/4271",),
                ("/orders/1",),
                ("/messages", {"about": "Heating", "number": "555"}),
                ("/messages", {"about": "Heating"}),
            )
        ]
    finally:
        await backend.close()
    assert [status for status, _ in found] == [200, 400, 200, 409, 400, 200, 404, 200, 400]
    assert found[0][1] == {"day": "friday", "times": ["10:00", "14:30"]}
    assert [booking["name"] for booking in backend.bookings] == ["Ann"]
    assert len(backend.messages) == 1
