"""G.711 against values of the recommendation's tables, and its round-trip bounds over every sample and code."""

import numpy as np
import pytest

from ariagent.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


def one(value: int) -> np.ndarray:
    return np.array([value], np.int16)


# Table 2a/2b of G.711 (14-bit output values, here times 4): the ends of the eight segments.
@pytest.mark.parametrize(
    ("codes", "values"),
    [
        ("ff fe f0 ef df cf", [0, 8, 120, 132, 396, 924]),
        ("bf af 9f 8f 80", [1980, 4092, 8316, 16764, 32124]),
        ("7f 7e 00", [0, -8, -32124]),
    ],
)
def test_ulaw_decodes_the_table(codes: str, values: list[int]) -> None:
    assert decode_ulaw(bytes.fromhex(codes)).tolist() == values


# Table 1a/1b of G.711 (13-bit output values, here times 8).
@pytest.mark.parametrize(
    ("codes", "values"),
    [
        ("d5 d4 c5 f5 e5", [8, 24, 264, 528, 1056]),
        ("95 85 b5 a5 aa", [2112, 4224, 8448, 16896, 32256]),
        ("55 2a", [-8, -32256]),
    ],
)
def test_alaw_decodes_the_table(codes: str, values: list[int]) -> None:
    assert decode_alaw(bytes.fromhex(codes)).tolist() == values


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, 0xFF),
        (3, 0xFF),
        (4, 0xFE),
        (123, 0xF0),
        (124, 0xEF),
        (-4, 0x7E),
        (-124, 0x6F),
        (32767, 0x80),
        (-32768, 0x00),
    ],
)
def test_ulaw_encodes_at_the_decision_values(value: int, code: int) -> None:
    assert encode_ulaw(one(value)) == bytes([code])


@pytest.mark.parametrize(
    ("value", "code"), [(0, 0xD5), (15, 0xD5), (16, 0xD4), (-1, 0x55), (-17, 0x54), (32767, 0xAA), (-32768, 0x2A)]
)
def test_alaw_encodes_at_the_decision_values(value: int, code: int) -> None:
    assert encode_alaw(one(value)) == bytes([code])


def test_every_code_survives_a_round_trip() -> None:
    assert encode_alaw(decode_alaw(EVERY_CODE)) == EVERY_CODE
    ulaw = encode_ulaw(decode_ulaw(EVERY_CODE))
    assert [code for code in range(256) if ulaw[code] != code] == [0x7F]  # minus zero comes back as zero


@pytest.mark.parametrize(("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)])
def test_round_trip_error_is_within_half_a_step(encode, decode) -> None:  # type: ignore[no-untyped-def]
    samples = EVERY_SAMPLE.astype(int)
    error = np.abs(decode(encode(EVERY_SAMPLE)).astype(int) - samples)
    within = np.abs(samples) <= 32124
    assert np.all(error[within] <= np.maximum(8, (np.abs(samples[within]) + 132) / 32 + 1))
    assert error.max() <= 644  # full scale is clipped to the last output value


@pytest.mark.parametrize(("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)])
def test_decoding_follows_the_samples_in_order(encode, decode) -> None:  # type: ignore[no-untyped-def]
    assert np.all(np.diff(decode(encode(EVERY_SAMPLE)).astype(int)) >= 0)


def test_strided_and_empty_input() -> None:
    assert encode_ulaw(EVERY_SAMPLE[::7]) == encode_ulaw(EVERY_SAMPLE[::7].copy())
    assert encode_ulaw(np.empty(0, np.int16)) == b""
    assert decode_alaw(b"").size == 0


def test_decoded_samples_may_be_written_to() -> None:
    decode_ulaw(EVERY_CODE)[0] = 1
    assert decode_ulaw(EVERY_CODE)[0] == -32124
