"""The HTTP answer to the request for a WebSocket, cut at every place."""

import pytest

from ariagent.realtime.upgrade import MAX_HEAD_BYTES, MAX_TEXT_BYTES, Answer, Upgrade

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def taken(data: bytes, size: int = 1) -> Answer | None:
    """The fate of an answer that comes in pieces of this size."""
    upgrade = Upgrade()
    for at in range(0, len(data), size):
        if (answer := upgrade.take(data[at : at + size])) is not None:
            return answer
    return None


@pytest.mark.parametrize("size", range(1, len(ACCEPTED) + 8))
def test_frames_follow_an_accepted_connection(size: int) -> None:
    answer = taken(ACCEPTED + b"\x81\x02{}", size)
    assert answer is not None
    assert not answer.refused
    assert answer.head == ACCEPTED
    assert b"\x81\x02{}".startswith(answer.rest)


@pytest.mark.parametrize(
    ("head", "text", "told"),
    [
        (b"Content-Length: 2\r\n", b"no", b"no"),
        (b"content-length:0 \r\n", b"", b""),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nno\r\n4;x=y\r\n way\r\n0\r\n\r\n", b"no way"),
        (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b""),
    ],
)
def test_a_refusal_ends_where_it_says(head: bytes, text: bytes, told: bytes) -> None:
    answer = taken(b"HTTP/1.1 403 Forbidden\r\n" + head + b"\r\n" + text)
    assert answer == Answer(b"HTTP/1.1 403 Forbidden\r\n\r\n" + told)


def test_a_refusal_may_end_with_the_connection() -> None:
    upgrade = Upgrade()
    assert upgrade.take(b"HTTP/1.1 500 Oh\r\nX: y\r\n\r\nwell") is None
    assert upgrade.take(b"", is_all=True) == Answer(b"HTTP/1.1 500 Oh\r\n\r\nwell")


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 999999999\r\n"])
def test_a_refusal_that_does_not_end_is_cut(head: bytes) -> None:
    answer = taken(b"HTTP/1.1 403 Forbidden\r\n" + head + b"\r\n" + b"1\r\na\r\n" * MAX_TEXT_BYTES, 1000)
    assert answer is not None
    assert answer.refused
    assert answer.head.startswith(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    assert len(answer.head) < MAX_TEXT_BYTES + 100


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_text_is_not_waited_for(status: bytes) -> None:
    answer = taken(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert answer is not None
    assert answer.refused


def test_what_is_no_http_is_handed_on_at_once() -> None:
    assert taken(b"SSH-2.0-OpenSSH_9.2\r\n") == Answer(b"S")


def test_a_head_that_does_not_end_is_cut() -> None:
    answer = taken(b"HTTP/1.1 101 Switching Protocols\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES, 10_000)
    assert answer is not None
    assert answer.refused
    assert len(answer.head) < MAX_HEAD_BYTES + 10_000
