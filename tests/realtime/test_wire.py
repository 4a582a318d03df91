"""Frames of our own making, read by the library's server side."""

import json
from base64 import b64encode
from binascii import b2a_base64

import pytest
from websockets.frames import Opcode
from websockets.server import ServerProtocol

from ariagent.realtime.wire import APPEND_HEAD, APPEND_TAIL, TextFramer


def server() -> ServerProtocol:
    """The far end of an open connection."""
    from websockets.protocol import OPEN

    protocol = ServerProtocol(max_size=None)
    protocol.state = OPEN
    protocol.parser = protocol.parse()
    next(protocol.parser)
    return protocol


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 1351, 65_535, 65_536, 200_000])
def test_a_payload_of_any_length_arrives(length: int) -> None:
    payload = bytes(at % 251 for at in range(length))
    far_end = server()
    far_end.receive_data(TextFramer().frame(payload))
    (frame,) = far_end.events_received()
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, payload)  # type: ignore[union-attr]


def test_audio_is_appended_as_one_base64_text() -> None:
    audio, far_end = bytes(range(256)), server()
    far_end.receive_data(TextFramer().frame(APPEND_HEAD, b2a_base64(audio, newline=False), APPEND_TAIL))
    (frame,) = far_end.events_received()
    message = json.loads(frame.data)  # type: ignore[union-attr]
    assert message == {"type": "input_audio_buffer.append", "audio": b64encode(audio).decode()}


def test_frames_arrive_one_after_another_whatever_the_cuts() -> None:
    framer, far_end = TextFramer(), server()
    payloads = [f"message {number}".encode() for number in range(3000)]  # more than one pool of keys
    stream = b"".join(framer.frame(payload) for payload in payloads)
    for at in range(0, len(stream), 7):
        far_end.receive_data(stream[at : at + 7])
    assert [frame.data for frame in far_end.events_received()] == payloads  # type: ignore[union-attr]


def test_no_key_is_used_for_two_frames_in_a_row() -> None:
    framer = TextFramer()
    keys = {framer.frame(b"x" * 100)[2:6] for _ in range(5000)}
    assert len(keys) > 4990
