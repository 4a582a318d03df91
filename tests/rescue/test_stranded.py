"""Stranded callers, found in the manager interface's list of all channels."""

from ariagent.rescue.stranded import Stranded, Way, stranded, without_audio


def status(channel: str, **fields: str) -> dict[str, str]:
    usual = {"application": "Stasis", "data": "ariagent", "channelstate": "6", "uniqueid": "1.1", "linkedid": "1.0"}
    return {"event": "Status", "channel": channel, "calleridnum": "5551000", **usual, **fields}


def ways(*channels: dict[str, str]) -> list[tuple[str, Way]]:
    return [(one.moved_by, one.way) for one in stranded(channels, "ariagent")]


def test_a_seats_caller_is_transferred_from_its_first_half() -> None:
    seat = status("Local/03@ariagent-seat-0000001a;2", data="ariagent,seat,03")
    assert ways(seat) == [("Local/03@ariagent-seat-0000001a;1", Way.TRANSFER)]
    assert stranded([seat], "ariagent") == [
        Stranded("Local/03@ariagent-seat-0000001a;2", Way.TRANSFER, "1.0", "5551000")
    ]


def test_a_direct_caller_is_redirected_answered_or_not() -> None:
    assert ways(status("PJSIP/a-1"), status("PJSIP/b-1", channelstate="4")) == [
        ("PJSIP/a-1", Way.REDIRECT),
        ("PJSIP/b-1", Way.REDIRECT),
    ]


def test_what_is_no_caller_is_hung_up() -> None:
    rings = status("Local/03@ariagent-seat-1;2", channelstate="4", data="ariagent,seat,03")
    warm = status("Local/support@ariagent-warm-1;1", uniqueid="ariagent-warm-1")
    assert ways(rings, warm) == [(rings["channel"], Way.HANG_UP), (warm["channel"], Way.HANG_UP)]


def test_all_others_are_left_alone() -> None:
    assert not ways(
        status("PJSIP/a-1", application="Queue", data="ariagent"),
        status("PJSIP/a-1", data="ariagent-call,x"),
        status("AudioSocket/127.0.0.1:9092-1", data="ariagent,7"),
        {"event": "Status"},
    )


def test_who_hears_nothing_has_no_audio_channel_in_the_bridge() -> None:
    listed = (
        status("PJSIP/heard-1", bridgeid="a"),
        status("AudioSocket/127.0.0.1:9092-1", bridgeid="a"),
        status("Local/03@ariagent-seat-1;2", bridgeid="b"),
        status("AudioSocket/127.0.0.1:9092-2", bridgeid="b", application="AppDial2"),
        status("PJSIP/alone-1", bridgeid="c"),
        status("PJSIP/nowhere-1"),
        status("Local/04@ariagent-seat-2;2", bridgeid=""),
        status("AudioSocket/127.0.0.1:9092-3", bridgeid=""),
        # They do not have it yet, or are no callers of ours.
        status("PJSIP/rings-1", channelstate="4"),
        status("Local/05@ariagent-seat-3;2", channelstate="4"),
        status("Local/support@ariagent-warm-1;1", uniqueid="ariagent-warm-1"),
        status("PJSIP/elsewhere-1", application="Queue"),
        status("PJSIP/others-1", data="night"),
        {"event": "Status"},
    )
    assert without_audio(listed, "ariagent") == {"PJSIP/alone-1", "PJSIP/nowhere-1", "Local/04@ariagent-seat-2;2"}
