"""Probing a server: what is found on servers with one deviation each, and what it means."""

import json
from typing import Any

import pytest

from ariagent.check.probe import check_probe
from ariagent.check.report import Report, Status
from ariagent.config import Settings
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.server import SandboxServer
from tests.foreignserver import foreign


async def probed(url: str, **changes: Any) -> dict[str, tuple[Status, str]]:
    """The results by what they are about, as status and text."""
    report = Report()
    realtime = {"url": url, "api_key": "k", "connect_timeout_s": 20.0, **changes.pop("realtime", {})}
    settings = Settings.model_validate({"realtime": realtime, **changes})
    await check_probe(settings, report.add)
    told = json.loads(report.json())
    assert [result["check"] for result in told["results"]] == [result.name for result in report.results]
    return {
        r.name.removeprefix("server: "): (r.status, f"{r.found}; {r.remedy}" if r.remedy else r.found)
        for r in report.results
    }


ALL = {
    "items",
    "speech",
    "system items",
    "summaries",
    "truncation",
    "open calls",
    "sessions",
    "G.711",
    "dialect",
}


async def test_a_server_as_openais() -> None:
    async with foreign(silent_ms=10) as server:
        found = await probed(server.url)
    assert set(found) == ALL
    assert {status for status, _ in found.values()} == {Status.OK}


async def test_the_sandbox_is_as_openais() -> None:
    options = SandboxOptions(voice="tone", recogniser=False, detector="none")
    async with SandboxServer(options) as sandbox:
        found = await probed(sandbox.url)
        assert len(sandbox.sessions) == 2
    assert set(found) == ALL
    assert {status for status, _ in found.values()} == {Status.OK}, found


@pytest.mark.parametrize(
    ("ways", "what", "seen", "dialect"),
    [
        ({"one_system": True}, "system items", "knew the last system item only", "speech-to-speech"),
        ({"parallel": "refused", "silent_ms": 20}, "summaries", "is refused", "localai"),
        ({"parallel": "replaces", "silent_ms": 20}, "summaries", "ends the one", "localai"),
        ({"parallel": "waits", "silent_ms": 20}, "summaries", "waits until", "localai"),
        ({"truncates": "ignored", "silent_ms": 5}, "truncation", "is not answered", "localai"),
        ({"truncates": "drops", "silent_ms": 5}, "truncation", "drops the whole item", "localai"),
        ({"truncates": "refused", "silent_ms": 5}, "truncation", "unknown_or_invalid_event", "localai"),
        ({"open_calls": "refused"}, "open calls", "function_call_output_pending", "speech-to-speech"),
        ({"open_calls": "failed"}, "open calls", "pending", "speech-to-speech"),
    ],
)
async def test_a_deviation_is_told_with_what_it_means(ways: dict[str, Any], what: str, seen: str, dialect: str) -> None:
    async with foreign(**ways) as server:
        found = await probed(server.url)
        status, text = found[what]
        assert status is Status.WARNING
        assert seen in text
        assert text.endswith(f"Set realtime.dialect to {dialect}")
        assert found["dialect"][0] is Status.WARNING
        assert f"Set realtime.dialect to {dialect}" in found["dialect"][1]
        others = {name: status for name, (status, _) in found.items() if name not in (what, "dialect")}
        assert set(others.values()) == {Status.OK}, found
        # With that dialect all is well.
        again = await probed(server.url, realtime={"dialect": dialect})
        assert {status for status, _ in again.values()} == {Status.OK}, again


STS = "Set realtime.dialect to speech-to-speech"
LOCAL = "Set realtime.dialect to localai"


@pytest.mark.parametrize(
    ("fault", "what", "seen", "remedy"),
    [
        ("no_truncated", "truncation", "is not answered", LOCAL),
        ("g711_lies", "G.711", "acknowledged audio/pcmu and does not speak it", ""),
        ("pending_calls", "open calls", "function_call_output_pending", STS),
        ("one_system", "system items", "knew the last system item only", STS),
        ("no_parallel", "summaries", "is refused while another one runs", LOCAL),
        ("slots:1", "sessions", "a second session is refused", "Lower max_calls to 1, and the number of AI seats"),
        # ariagent copes with these, or the probe cannot see them: it sends no speech.
        ("hold_stop", "", "", ""),
        ("beta_items", "", "", ""),
        ("binary_frames", "", "", ""),
        ("no_rate", "", "", ""),
        ("code_in_type", "", "", ""),
    ],
)
async def test_what_a_sandbox_does_wrong_is_told(fault: str, what: str, seen: str, remedy: str) -> None:
    options = SandboxOptions(voice="tone", recogniser=False, detector="none", faults=Faults.parse(fault))
    async with SandboxServer(options) as sandbox:
        found = await probed(sandbox.url)
    assert set(found) == ALL - ({"G.711"} if fault == "slots:1" else set())
    told = {name for name, (status, _) in found.items() if status is not Status.OK}
    switch = remedy in (STS, LOCAL)
    assert told == ({what} if remedy else set()) | ({"dialect"} if switch else set()), found
    if what:
        assert seen in found[what][1]
        assert found[what][1].endswith(remedy)
    if switch:
        assert found["dialect"][1].endswith(remedy)
    created = "conversation.item.created" in found["items"][1]
    assert created is (fault == "beta_items")


async def test_a_silent_server_is_not_waited_for_without_end() -> None:
    async with foreign(open_calls="ignored") as server:
        found = await probed(server.url, realtime={"stall_timeout_s": 0.5})
    assert "does not respond" in found["open calls"][1]


@pytest.mark.parametrize("g711", ["lies", "pcm", "unnamed"])
async def test_g711_that_is_none(g711: str) -> None:
    async with foreign(g711=g711, silent_ms=5) as server:
        status, text = (await probed(server.url))["G.711"]
        assert (status, "only PCM can be used" in text) == (Status.OK, True)
        found = await probed(server.url, realtime={"encoding": "pcmu"})
    failed = [text for status, text in found.values() if status is Status.FAILED]
    assert len(failed) == 1
    assert "Set realtime.encoding to " in failed[0]
    assert ("acknowledged audio/pcmu and does not speak it" in failed[0]) is (g711 == "lies")


async def test_one_session_at_a_time() -> None:
    async with foreign(sessions=1, silent_ms=5) as server:
        status, text = (await probed(server.url))["sessions"]
        assert status is Status.WARNING
        assert "session_limit_reached" in text
        assert "Lower max_calls to 1" in text
        assert (await probed(server.url, max_calls=1))["sessions"][0] is Status.OK


async def test_a_server_that_is_full_or_mute() -> None:
    async with foreign(sessions=0) as server:
        assert (await probed(server.url))["server"][0] is Status.FAILED
    async with foreign(mute=True) as server:
        status, text = (await probed(server.url))["speech"]
        assert (status, "sent no sound" in text) == (Status.FAILED, True)


async def test_a_model_that_says_something_else_is_looked_into() -> None:
    async with foreign(obeys=False, silent_ms=5) as server:
        status, text = (await probed(server.url))["system items"]
        assert (status, "both system items are in the conversation" in text) == (Status.SKIPPED, True)
    async with foreign(obeys=False, one_system=True, silent_ms=5) as server:
        assert (await probed(server.url))["system items"][0] is Status.SKIPPED, "it keeps what its model does not know"
    async with foreign(obeys=False, retrieves=False, silent_ms=5) as server:
        status, text = (await probed(server.url))["system items"]
        assert (status, "not known" in text) == (Status.SKIPPED, True)


async def test_the_events_of_the_beta_are_borne() -> None:
    async with foreign(added="conversation.item.created", silent_ms=5) as server:
        status, text = (await probed(server.url))["items"]
    assert (status, "conversation.item.created" in text) == (Status.OK, True)
