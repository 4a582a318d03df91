"""Tools that the model's provider runs: the caller gets an answer out of them, at literal times."""

import base64
from typing import Any

import pytest

from ariagent.realtime import events as ev
from ariagent.realtime.gate import SERVER_RESPONSE_WAIT_S
from ariagent.realtime.mcp import GO_ON_S, LONGEST_S, MOST
from ariagent.realtime.session import State

AUDIO = base64.b64encode(bytes(96)).decode()
STARTED = ev.ProviderToolStarted("mcp_1", "find_customer", "crm")


def item(item_id: str = "mcp_1", **fields: Any) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "mcp_call",
        "name": "find_customer",
        "server_label": "crm",
        "arguments": "",
        **fields,
    }


def adds(peer: Any, item_id: str = "mcp_1", response_id: str = "resp_1") -> list[Any]:
    happened: list[Any] = peer.says("response.output_item.added", response_id=response_id, item=item(item_id))
    return happened


def calls(peer: Any, *item_ids: str) -> None:
    """A response with a call of each, which is over before they are."""
    peer.starts_response()
    for item_id in item_ids or ("mcp_1",):
        adds(peer, item_id)
        peer.says("response.output_item.done", response_id="resp_1", item=item(item_id, arguments="{}"))
    peer.says("response.done", response={"id": "resp_1", "status": "completed"})
    peer.session.take_outgoing()


def ticks(peer: Any, now: float) -> list[Any]:
    peer.now = now
    happened: list[Any] = peer.session.tick(now)
    return happened


def asks(peer: Any) -> bool:
    return "response.create" in peer.hears_types()


def test_the_call_is_told_and_is_no_silent_response(peer: Any) -> None:
    peer.starts_response()
    assert adds(peer) == [STARTED]
    (ended,) = peer.says("response.done", response={"id": "resp_1", "status": "completed"})
    assert ended.reason == ""


@pytest.mark.parametrize(
    ("kind", "fields", "ok"),
    [
        ("response.mcp_call.completed", {"item_id": "mcp_1"}, True),
        ("response.mcp_call.failed", {"item_id": "mcp_1"}, False),
        ("conversation.item.done", {"item": item(output="{}")}, True),
        ("response.output_item.done", {"response_id": "resp_1", "item": item(output="")}, True),
        ("conversation.item.done", {"item": item(error={"type": "http_error", "code": 500, "message": "no"})}, False),
    ],
)
def test_when_it_is_over_the_model_is_asked_to_go_on_within_a_second(
    peer: Any, kind: str, fields: dict[str, Any], ok: bool
) -> None:
    calls(peer)
    peer.now = 10.0
    (over,) = peer.says(kind, **fields)
    assert (over.item_id, over.ok) == ("mcp_1", ok)
    assert peer.session.next_deadline() == 10.0 + GO_ON_S
    assert GO_ON_S < 1.0
    ticks(peer, 10.0 + GO_ON_S)
    assert asks(peer)
    ticks(peer, 20.0)
    assert not asks(peer)


def test_the_response_may_be_over_after_the_tool(peer: Any) -> None:
    peer.starts_response()
    adds(peer)
    peer.now = 10.0
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    ticks(peer, 12.0)
    assert not asks(peer)
    peer.says("response.done", response={"id": "resp_1", "status": "completed"})
    ticks(peer, 12.0 + GO_ON_S)
    assert asks(peer)


def test_a_server_that_goes_on_by_itself_is_not_asked(peer: Any) -> None:
    calls(peer)
    peer.now = 10.0
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    peer.starts_response("resp_2")
    peer.ends_response("resp_2")
    ticks(peer, 30.0)
    assert not asks(peer)


def test_nor_is_one_that_speaks_behind_the_result_in_the_same_response(peer: Any) -> None:
    peer.starts_response()
    adds(peer)
    peer.now = 10.0
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    peer.says("response.output_audio.delta", response_id="resp_1", item_id="i", delta=AUDIO)
    peer.ends_response()
    ticks(peer, 30.0)
    assert not asks(peer)


def test_words_before_the_call_are_no_answer_to_it(peer: Any) -> None:
    peer.starts_response()
    peer.says("response.output_audio.delta", response_id="resp_1", item_id="i", delta=AUDIO)
    adds(peer)
    peer.says("response.done", response={"id": "resp_1", "status": "completed"})
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    ticks(peer, 1.0)
    assert asks(peer)


def test_several_are_waited_for_and_answered_together(peer: Any) -> None:
    calls(peer, "a", "b")
    peer.says("response.mcp_call.completed", item_id="a")
    ticks(peer, 5.0)
    assert not asks(peer)
    peer.says("response.mcp_call.failed", item_id="b")
    ticks(peer, 5.0 + GO_ON_S)
    assert asks(peer)


def test_a_tool_that_takes_long_is_no_silent_server(peer: Any) -> None:
    """Some servers leave the response open while the tool runs."""
    peer.starts_response()
    adds(peer)
    for second in range(1, int(LONGEST_S)):
        assert ticks(peer, float(second)) == []
    (gone,) = ticks(peer, LONGEST_S)
    assert (gone.ok, gone.error) == (False, "no result within 30 s")
    assert peer.session.state is State.READY


def test_one_that_never_ends_is_given_up_and_the_model_asked(peer: Any) -> None:
    calls(peer)
    assert peer.session.next_deadline() == LONGEST_S
    ticks(peer, LONGEST_S)
    ticks(peer, LONGEST_S + GO_ON_S)
    assert asks(peer)
    assert peer.says("response.mcp_call.completed", item_id="mcp_1") == []


def test_a_caller_who_interrupts_does_not_wait_for_it(peer: Any) -> None:
    peer.starts_response()
    adds(peer)
    gone = peer.says("response.done", response={"id": "resp_1", "status": "cancelled"})
    assert ev.ProviderToolEnded("mcp_1", ok=False, error="the caller interrupted") in gone
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    ticks(peer, 5.0)
    assert not asks(peer)


def test_the_answer_to_the_callers_next_turn_sees_the_result(peer: Any) -> None:
    calls(peer)
    peer.says("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    peer.says("response.mcp_call.completed", item_id="mcp_1")
    peer.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=500)
    peer.says("input_audio_buffer.committed", item_id="u", previous_item_id=None)
    ticks(peer, GO_ON_S)
    assert not asks(peer)
    peer.starts_response("resp_2")
    peer.ends_response("resp_2")
    ticks(peer, SERVER_RESPONSE_WAIT_S + 1)
    assert not asks(peer)


def test_a_servers_tools_that_could_not_be_listed(peer: Any) -> None:
    listing = {"id": "list_1", "type": "mcp_list_tools", "server_label": "crm", "tools": []}
    assert peer.says("conversation.item.added", item=listing) == []
    assert peer.says("mcp_list_tools.failed", item_id="list_1") == [ev.ToolsNotListed("crm")]
    assert peer.says("mcp_list_tools.failed", item_id="list_2") == [ev.ToolsNotListed("")]


def test_what_is_kept_is_bounded(peer: Any) -> None:
    peer.starts_response()
    started = [event for number in range(100) for event in adds(peer, f"m{number}")]
    assert len(started) == MOST
    for number in range(100):
        listing = {"id": f"l{number}", "type": "mcp_list_tools", "server_label": "x" * 10_000}
        peer.says("conversation.item.added", item=listing)
    assert len(peer.session._mcp._labels) == MOST
    (ended,) = peer.says("conversation.item.done", item=item("m0", error={"message": "m" * 10_000}))
    assert len(ended.error) == 500
