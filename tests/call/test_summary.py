"""The spoken summary of a call: what is asked for, and what becomes of it."""

import json
from pathlib import Path

from ariagent.call.summary import Summary

from ariagent.audio.format import SLIN24
from ariagent.audio.rates import ModelCodec
from ariagent.call.announcement import Briefs
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.realtime.events import AsideEnded, Usage
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession

WANTED = Handoff("people", DestinationSettings(description="the people", queue="support"), "model", summary="A refund.")


def summary_in(folder: Path) -> tuple[Summary, str]:
    """A summary that is asked for, and what the server knows it by."""
    session = RealtimeSession(SessionProfile.of(AgentSettings(), RealtimeSettings()))
    summary = Summary(Briefs(folder, SLIN24), session, ModelCodec(SLIN24, "pcm"), WANTED, "en")
    [request] = session.take_outgoing()
    [key] = json.loads(request)["response"]["metadata"].values()
    return summary, str(key)


async def test_the_server_is_not_told_where_the_file_will_be(tmp_path: Path) -> None:
    summary, key = summary_in(tmp_path)
    assert summary.path.startswith(str(tmp_path))
    assert "/" not in key
    assert len(key) <= 64


async def test_what_the_server_says_under_this_key_is_the_summary(tmp_path: Path) -> None:
    summary, key = summary_in(tmp_path)
    summary.spoken(AsideEnded("another", b"", "", Usage()))
    assert summary.outlook == "late"
    summary.spoken(AsideEnded(key, bytes(960), "A refund.", Usage()))
    assert summary.outlook == "yes"
    assert await summary.written(10.0)
    assert Path(f"{summary.path}.sln24").read_bytes() == bytes(960)


async def test_one_that_was_refused_is_none(tmp_path: Path) -> None:
    summary, key = summary_in(tmp_path)
    summary.spoken(AsideEnded(key, b"", "", Usage()))
    assert summary.outlook == "no"
    assert not await summary.written(10.0)


async def test_without_the_model_there_will_be_none(tmp_path: Path) -> None:
    summary, _ = summary_in(tmp_path)
    summary.give_up()
    assert summary.outlook == "no"
