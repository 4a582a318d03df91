"""Messages of Asterisk's event stream, as Asterisk 22 sends them, and broken ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.ari.events import (
    ApplicationReplaced,
    Channel,
    ChannelDestroyed,
    ChannelUp,
    ConnectedLine,
    DigitReceived,
    Event,
    HangupRequested,
    HoldChanged,
    Place,
    PlaybackEnded,
    StasisEnded,
    StasisStarted,
    channel_id_of,
    parse,
)
from ariagent.ari.listener import Router

CHANNEL: dict[str, Any] = {
    "id": "1795357064.1",
    "name": "PJSIP/anonymous-00000000",
    "state": "Ring",
    "protocol_id": "call-1",
    "caller": {"name": "Ann Other", "number": "+15550100"},
    "connected": {"name": "", "number": ""},
    "accountcode": "",
    "dialplan": {"context": "ariagent-internal", "exten": "7001", "priority": 3, "app_name": "Stasis", "app_data": "x"},
    "creationtime": "2026-11-22T12:00:00.000+0000",
    "language": "en",
}

PARSED = Channel(
    id="1795357064.1",
    name="PJSIP/anonymous-00000000",
    state="Ring",
    caller_number="+15550100",
    caller_name="Ann Other",
    context="ariagent-internal",
    extension="7001",
    priority=3,
    app_name="Stasis",
    app_data="x",
)


def message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": "2026-11-22T12:00:00.000+0000", "application": "ariagent", **fields}


@pytest.mark.parametrize(
    ("received", "event"),
    [
        (message("StasisStart", args=["sales"], channel=CHANNEL), StasisStarted(PARSED, ("sales",))),
        (message("StasisStart", args=[], channel=CHANNEL), StasisStarted(PARSED, ())),
        # Asterisk 22.10.1 sends these for a file that it played, and for one that is missing or unreadable.
        *(
            (
                message(
                    "PlaybackFinished",
                    playback={"id": "p", "media_uri": "sound:/x", "target_uri": "channel:c", "state": state},
                ),
                PlaybackEnded("c", "p", failed),
            )
            for state, failed in (("done", False), ("failed", True))
        ),
        (
            message("StasisStart", args=["seat", "03"], channel=CHANNEL, replace_channel={"id": "old.1"}),
            StasisStarted(PARSED, ("seat", "03"), "old.1"),
        ),
        (message("StasisEnd", channel=CHANNEL), StasisEnded("1795357064.1")),
        (message("ChannelHangupRequest", channel=CHANNEL, cause=16), HangupRequested("1795357064.1")),
        (message("ChannelDestroyed", channel=CHANNEL, cause=16), ChannelDestroyed("1795357064.1", 16)),
        (
            message("ChannelDtmfReceived", channel=CHANNEL, digit="#", duration_ms=100),
            DigitReceived("1795357064.1", "#"),
        ),
        (message("ChannelStateChange", channel={**CHANNEL, "state": "Up"}), ChannelUp("1795357064.1")),
        (
            message("ChannelConnectedLine", channel={**CHANNEL, "connected": {"number": "5551000", "name": "Ann"}}),
            ConnectedLine("1795357064.1", "5551000", "Ann"),
        ),
        (message("ChannelConnectedLine", channel={**CHANNEL, "connected": {}}), ConnectedLine("1795357064.1", "", "")),
        (message("ChannelHold", channel=CHANNEL, musicclass="default"), HoldChanged("1795357064.1", True)),
        (message("ChannelUnhold", channel=CHANNEL), HoldChanged("1795357064.1", False)),
        (message("ApplicationReplaced"), ApplicationReplaced()),
    ],
)
def test_what_matters_is_parsed(received: dict[str, Any], event: Event) -> None:
    assert parse(received) == event


@pytest.mark.parametrize("kind", ["ChannelVarset", "Dial", "BridgeCreated", "", None, 3])
def test_what_does_not_is_nothing(kind: object) -> None:
    assert parse({"type": kind}) is None


def test_a_channel_without_caller_or_dialplan() -> None:
    bare = {"id": "c", "name": "AudioSocket/127.0.0.1:1-uuid", "caller": None, "dialplan": None}
    event = parse(message("StasisStart", args=[], channel=bare))
    assert isinstance(event, StasisStarted)
    assert event.channel == Channel("c", "AudioSocket/127.0.0.1:1-uuid", "")


@pytest.mark.parametrize(
    ("event", "channel_id"),
    [
        (StasisStarted(PARSED, ()), "1795357064.1"),
        (StasisStarted(PARSED, (), "old.1"), "old.1"),
        (StasisEnded("c"), "c"),
        (ChannelDestroyed("c", 16), "c"),
        (DigitReceived("c", "1"), "c"),
        (HoldChanged("c", True), "c"),
        (HangupRequested("c"), "c"),
        (ApplicationReplaced(), None),
    ],
)
def test_whose_event_it_is(event: Event, channel_id: str | None) -> None:
    assert channel_id_of(event) == channel_id


BROKEN = [
    message("StasisStart"),
    message("StasisStart", channel=CHANNEL),
    message("StasisStart", args=None, channel=CHANNEL),
    message("StasisStart", args=[], channel={"name": "x"}),
    message("StasisStart", args=[], channel="c"),
    message("StasisStart", args=[], channel={**CHANNEL, "caller": "me"}),
    message("StasisStart", args=[], channel=CHANNEL, replace_channel={"name": "no id"}),
    message("StasisEnd"),
    message("StasisEnd", channel=None),
    message("ChannelDestroyed", channel=CHANNEL),
    message("ChannelDestroyed", channel=CHANNEL, cause="busy"),
    message("ChannelDtmfReceived", channel=CHANNEL),
]


@pytest.mark.parametrize("broken", BROKEN, ids=json.dumps)
def test_what_lacks_its_parts_is_an_error(broken: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse(broken)


FIELD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(CHANNEL),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "state", "caller", "number", "dialplan"]), inner, max_size=4)
    ),
    max_leaves=6,
)
KINDS = ["StasisStart", "StasisEnd", "ChannelDestroyed", "ChannelDtmfReceived", "ApplicationReplaced"]


@given(
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(["channel", "args", "cause", "digit", "replace_channel"]), FIELD),
)
def test_no_message_stops_the_router(kind: str, fields: dict[str, Any]) -> None:
    seen: list[StasisStarted] = []
    Router(seen.append).route({"type": kind, **fields})
    assert len(seen) <= 1
    assert all(isinstance(event.channel.id, str) for event in seen)


def test_a_place_is_the_same_after_writing_and_reading() -> None:
    place = Place("direct", "7001", 3)
    assert Place.read(str(place)) == place
    for text in ("", "direct", "direct,7001", "direct,,3", ",7001,3", "direct,7001,n", "direct,7001,3,4"):
        assert Place.read(text) is None
