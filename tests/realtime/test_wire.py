"""Frames of our own making, read by the library's server side."""

import pytest
from websockets.frames import Opcode
from websockets.server import ServerProtocol

from ariagent.realtime.wire import TextFramer


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
