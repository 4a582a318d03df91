"""Messages, and what is none, at a bounded cost."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.realtime.decoding import MOST_VALUES, audio, read
from ariagent.realtime.fields import MalformedError


@pytest.mark.parametrize("data", ['{"type":"x","a":[1,-2.5,"é"]}', '{"type":"x","a":[1,-2.5,"é"]}'.encode()])
def test_a_message_in_a_text_or_a_binary_frame(data: str | bytes) -> None:
    assert read(data) == {"type": "x", "a": [1, -2.5, "é"]}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff", "binary frame"),
        (b"{", "binary frame"),
        ("{", "not JSON"),
        ("[" * 15_000, "not JSON"),
        ('{"a":' * 9_000, "not JSON"),
        ("[]", "no type"),
        ('{"type":1}', "no type"),
        ("[" + ",".join(["[]"] * MOST_VALUES) + "]", "too many values"),
        ('{"type":"x",' + ",".join(f'"{n}":{{}}' for n in range(MOST_VALUES)) + "}", "too many values"),
        ("[" + ",".join(["1"] * (MOST_VALUES + 2)) + "]", "too many values"),
    ],
)
def test_what_is_none(data: str | bytes, what: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert caught.value.what == what


def test_long_texts_are_no_values() -> None:
    message = {"type": "response.output_audio.delta", "delta": "AAAA" * 200_000}
    assert read(json.dumps(message)) == message


def test_a_number_of_thousands_of_figures_is_not_reckoned_with() -> None:
    found = read('{"type":"x","a":' + "1" * 17_000 + ',"b":' + "7" * 20 + "}")
    assert (found["a"], found["b"]) == (float("inf"), 77777777777777777777)


def test_half_of_a_surrogate_pair_is_read() -> None:
    """Servers that cut words in UTF-16 send one in each of two messages."""
    assert read('{"type":"x","delta":"\\ud83d"}')["delta"] == "\ud83d"


class TestAudio:
    @given(st.binary(max_size=200))
    def test_is_what_was_written(self, sound: bytes) -> None:
        assert audio(base64.b64encode(sound).decode()) == sound

    def test_of_a_server_that_leaves_bits_behind_the_end(self) -> None:
        assert audio("AAB=") == bytes(2)

    @pytest.mark.parametrize(
        "written", ["AAA", "AAA*", "AAA\n", "AA=A", 'AA"A', "AAAé", "AAA\ud800", "AAAAA===", "====", "A==="]
    )
    def test_that_is_none(self, written: str) -> None:
        with pytest.raises(ValueError):
            audio(written)
