"""Fields of the server's events, and what is none."""

import pytest

from ariagent.realtime.events import Usage
from ariagent.realtime.fields import (
    LARGEST,
    MalformedError,
    identifier,
    label,
    mapping,
    number,
    piece,
    text,
    usage,
    words,
)

NO_NUMBERS: list[object] = [None, True, "7", [], {}, float("nan"), float("inf"), LARGEST + 1, -LARGEST - 1, 10**400]


def test_a_mapping() -> None:
    assert mapping({"session": {"id": 1}}, "session") == {"id": 1}


def test_a_text() -> None:
    assert text({"item_id": ""}, "item_id") == ""


@pytest.mark.parametrize("value", [0, 7, -3, 2.5, LARGEST, -LARGEST])
def test_a_number(value: float) -> None:
    read = number({"audio_end_ms": value}, "audio_end_ms")
    assert (read, type(read)) == (value, float)


@pytest.mark.parametrize("message", [{}, {"x": None}, {"x": []}, {"x": "text"}, {"x": 3}])
def test_no_mapping(message: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        mapping(message, "x")


@pytest.mark.parametrize("message", [{}, {"x": None}, {"x": {}}, {"x": 3}, {"x": b"text"}])
def test_no_text(message: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        text(message, "x")


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_number(value: object) -> None:
    with pytest.raises(MalformedError):
        number({"x": value}, "x")


def test_a_number_that_is_missing() -> None:
    with pytest.raises(MalformedError):
        number({}, "x")


class TestUsage:
    def test_each_count_has_its_place(self) -> None:
        value = {
            "input_token_details": {
                "text_tokens": 11,
                "audio_tokens": 12,
                "cached_tokens_details": {"text_tokens": 3, "audio_tokens": 4},
            },
            "output_token_details": {"text_tokens": 5, "audio_tokens": 6},
        }
        assert usage(value) == Usage(11, 12, 3, 4, 5, 6)
        assert usage({**value, "unbilled": True}) == Usage(11, 12, 3, 4, 5, 6, free=True)
        assert not usage({**value, "unbilled": "yes"}).free

    @pytest.mark.parametrize("value", [None, 3, "many", [], {}, {"input_token_details": 3}, {"total_tokens": 9}])
    def test_there_may_be_none(self, value: object) -> None:
        assert usage(value) == Usage()

    @pytest.mark.parametrize("count", [None, "7", 2.5, True, [7], {"n": 7}])
    def test_a_count_that_is_none_is_left_out_alone(self, count: object) -> None:
        value = {"output_token_details": {"text_tokens": count, "audio_tokens": 6}}
        assert usage(value) == Usage(output_audio=6)

    @pytest.mark.parametrize(
        "value",
        [
            {"output_token_details": {"text_tokens": -1}},
            {"output_token_details": {"text_tokens": 64_001}},
            {"output_token_details": {"text_tokens": 40_000, "audio_tokens": 40_000}},
            {"input_token_details": {"audio_tokens": 256_001}},
            {"input_token_details": {"audio_tokens": 200_000, "text_tokens": 200_000}},
            {"input_token_details": {"audio_tokens": 10**400}},
            {"input_token_details": {"audio_tokens": 5, "cached_tokens_details": {"audio_tokens": 6}}},
            {"input_token_details": {"text_tokens": 5, "cached_tokens_details": {"text_tokens": 6}}},
            {"input_tokens": 10, "input_token_details": {"text_tokens": 6, "audio_tokens": 6}},
            {"output_tokens": 10, "output_token_details": {"text_tokens": 6, "audio_tokens": 6}},
        ],
    )
    def test_counts_that_cannot_be_are_refused_together(self, value: object) -> None:
        with pytest.raises(MalformedError):
            usage(value)

    def test_a_sum_may_hold_what_has_no_price(self) -> None:
        value = {"input_tokens": 100, "input_token_details": {"text_tokens": 6, "image_tokens": 94}}
        assert usage(value) == Usage(input_text=6)


@pytest.mark.parametrize(("length", "fits"), [(256, True), (257, False)])
def test_an_id_is_short(length: int, fits: bool) -> None:
    message = {"item_id": "i" * length}
    if fits:
        assert identifier(message, "item_id") == "i" * length
    else:
        with pytest.raises(MalformedError):
            identifier(message, "item_id")


def test_words_are_cut() -> None:
    assert words({"transcript": "w" * 20_000}, "transcript") == "w" * 16_000


HALVES = [
    ("a table \ud83d", "a table \ufffd"),
    ("\ude00 a table", "\ufffd a table"),
    ("\ude00\ud83d", "\ufffd\ufffd"),
    ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ("una mañana 😀", "una mañana 😀"),
]


@pytest.mark.parametrize(("came", "read"), HALVES)
def test_half_of_a_surrogate_pair_is_no_text(came: str, read: str) -> None:
    for reader in (text, identifier, words):
        assert reader({"x": came}, "x") == read
    assert label(came, 100) == read
    assert piece({"x": came}, "x") == came


@pytest.mark.parametrize(("value", "said"), [("abc", "ab"), (123, "12"), (None, ""), (True, ""), ([1], ""), ({}, "")])
def test_what_a_server_says_in_passing(value: object, said: str) -> None:
    assert label(value, 2) == said
