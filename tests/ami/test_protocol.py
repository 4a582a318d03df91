"""The manager interface's wire format, from real messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.ami import protocol
from ariagent.ami.protocol import Decoder, Message, Value, challenge_key, encode
from ariagent.errors import AmiError

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
STREAM = (
    GREETING
    + b"Response: Success\r\nActionID: 1\r\nChallenge: 960051318\r\n\r\n"
    + "Event: QueueMember\r\nQueue: support\r\nName: Jürgen 電話\r\nLocation: PJSIP/1004\r\n".encode()
    + b"PausedReason: \r\n\r\n"
    + b"Event: X\r\nChanVariable: a=1\r\nChanVariable: b=c: d\r\n\r\n"
)
MESSAGES = [
    {"response": "Success", "actionid": "1", "challenge": "960051318"},
    {"event": "QueueMember", "queue": "support", "name": "Jürgen 電話", "location": "PJSIP/1004", "pausedreason": ""},
    {"event": "X", "chanvariable": "a=1"},
]


def decoded(*parts: bytes) -> list[Message]:
    decoder = Decoder()
    return [message for part in parts for message in decoder.feed(part)]


def test_the_stream_may_be_cut_anywhere() -> None:
    assert [cut for cut in range(len(STREAM)) if decoded(STREAM[:cut], STREAM[cut:]) != MESSAGES] == []


def test_byte_by_byte() -> None:
    assert decoded(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == MESSAGES


def test_the_greeting_says_the_version() -> None:
    decoder = Decoder()
    decoder.feed(GREETING[:-1])
    assert decoder.version == ""
    decoder.feed(GREETING[-1:])
    assert decoder.version == "11.0.0"


@pytest.mark.parametrize("junk", [b"SSH-2.0-OpenSSH\r\n", b"\r\n", b"\0" * 300, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_another_protocol_is_refused(junk: bytes) -> None:
    with pytest.raises(AmiError, match="not a manager interface"):
        Decoder().feed(junk)


def test_a_line_without_end_takes_its_message_with_it_and_no_memory() -> None:
    decoder = Decoder()
    decoder.feed(GREETING + b"Event: Big\r\nValue: ")
    for _ in range(64):
        decoder.feed(b"x" * 65536)
        assert len(decoder._line) <= protocol.MAX_LINE_BYTES
    assert decoder.feed(b"\r\nMore: 1\r\n\r\nEvent: Next\r\n\r\n") == [{"event": "Next"}]
    assert decoder.dropped == 1


def test_a_message_without_end_is_dropped_too() -> None:
    decoder = Decoder()
    decoder.feed(GREETING)
    for number in range(3000):
        decoder.feed(b"Name%d: %s\r\n" % (number, b"x" * 1000))
    assert len(decoder._message) == 0
    assert decoder.feed(b"\r\nEvent: Next\r\n\r\n") == [{"event": "Next"}]
    assert decoder.dropped == 1


@given(st.lists(st.binary(max_size=200)))
def test_garbage_after_the_greeting_raises_nothing(parts: list[bytes]) -> None:
    decoder = Decoder()
    decoder.feed(GREETING)
    for part in parts:
        for message in decoder.feed(part):
            assert all(isinstance(text, str) for pair in message.items() for text in pair)


def test_an_action_as_it_is_sent() -> None:
    fields: dict[str, Value] = {
        "Interface": "Local/01@ariagent-seat/nm",
        "Paused": True,
        "Priority": 3,
        "Variable": ["a=1", "b=2"],
    }
    assert encode("QueuePause", "7", fields) == (
        b"Action: QueuePause\r\nActionID: 7\r\nInterface: Local/01@ariagent-seat/nm\r\nPaused: true\r\nPriority: 3\r\n"
        b"Variable: a=1\r\nVariable: b=2\r\n\r\n"
    )


@pytest.mark.parametrize("bad", ["x\r\nAction: Logoff", "x\n", "\r", "a\0b"])
def test_a_value_cannot_begin_another_field(bad: str) -> None:
    for fields in ({"Reason": bad}, {"Variable": ["ok", bad]}):
        with pytest.raises(AmiError, match="line break"):
            encode("QueuePause", "1", fields)
    with pytest.raises(AmiError, match="line break"):
        encode(bad, "1", {})


@pytest.mark.parametrize("name", ["", "A: b", "A\r\n", "Größe", "a b"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(AmiError, match="name of a field"):
        encode("Ping", "1", {name: "x"})


def test_what_asterisk_would_throw_away_is_not_sent() -> None:
    with pytest.raises(AmiError, match="more than the 1000"):
        encode("Setvar", "1", {"Value": "ü" * 500})
    with pytest.raises(AmiError, match="lines"):
        encode("Originate", "1", {"Variable": ["a=1"] * 130})


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Za-z]{0,8}", fullmatch=True), st.text(max_size=100), max_size=8))
def test_what_is_sent_is_read_as_it_was_meant_or_refused(fields: dict[str, str]) -> None:
    try:
        sent = encode("Test", "1", fields)
    except AmiError:
        assert any(c in value for value in fields.values() for c in "\r\n\0")
        return
    (message,) = decoded(GREETING, sent)
    expected = {"action": "Test", "actionid": "1"}
    for name, value in fields.items():
        expected.setdefault(name.lower(), value.encode(errors="replace").decode())
    assert message == expected


def test_the_answer_to_a_challenge() -> None:
    # md5 of "960051318secret", by md5sum.
    assert challenge_key("960051318", "secret") == "6f079377a808780bce171f0eb5e2f675"
