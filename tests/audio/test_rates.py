import numpy as np
import pytest

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.audio.g711 import decode_alaw, encode_ulaw
from ariagent.audio.rates import ModelCodec, carries_wide_audio, choose_format
from ariagent.errors import ConfigurationError


@pytest.mark.parametrize(
    ("version", "wide"),
    [
        ("20.16.0", False),
        ("20.17.0", True),
        ("20.21.0-rc1", True),
        ("21.11.0", False),
        ("21.12.3", True),
        ("22.6.0", False),
        ("22.7.0", True),
        ("22.10.1", True),
        ("22.10.1~dfsg+~cs6.15.60671435-1", True),
        ("23.0.0", False),
        ("23.1.0", True),
        ("24.0.0", True),
        ("18.26.4", False),
        ("certified/20.7-cert8", False),
        ("certified-22.8-cert1", True),
        ("Asterisk 22.10.1", True),
        ("GIT-master-f0c1c1a7", True),
        ("GIT-22-5a1f2e", True),
        ("GIT-18-5a1f2e", False),
        ("", True),
    ],
)
def test_wide_audio_by_version(version: str, wide: bool) -> None:
    assert carries_wide_audio(version) is wide


def test_auto_takes_the_models_rate_where_asterisk_can() -> None:
    assert choose_format("22.10.1", "auto", "pcm") == SLIN24
    assert choose_format("22.6.0", "auto", "pcm") == SLIN8
    assert choose_format("22.10.1", "auto", "pcmu") == SLIN8
    assert choose_format("22.10.1", "auto", "pcma") == SLIN8


def test_a_wanted_format_is_taken() -> None:
    assert choose_format("22.10.1", "slin", "pcm") == SLIN8
    assert choose_format("22.10.1", "slin16", "pcm") == SLIN16
    assert choose_format("22.10.1", "slin24", "pcmu") == SLIN24
    assert choose_format("20.5.0", "slin", "pcmu") == SLIN8


@pytest.mark.parametrize("wanted", ["slin16", "slin24"])
def test_what_an_old_asterisk_cannot_carry_is_a_configuration_error(wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Asterisk 22\.6\.0 carries 8 kHz only") as caught:
        choose_format("22.6.0", wanted, "pcm")  # type: ignore[arg-type]
    assert "22.7" in caught.value.remedy


def sine(rate_hz: int, ms: float, hz: float = 440.0) -> bytes:
    n = np.arange(int(rate_hz * ms / 1000))
    return np.asarray(8000 * np.sin(2 * np.pi * hz * n / rate_hz), "<i2").tobytes()


def test_equal_rates_cost_nothing() -> None:
    codec = ModelCodec(SLIN24, "pcm")
    pcm = sine(24_000, 20)
    assert codec.identity
    assert codec.to_model(pcm) is pcm
    assert codec.from_model(pcm) is pcm
    assert codec.end_item() == b""


def test_g711_on_an_8_khz_leg_is_only_a_table() -> None:
    codec = ModelCodec(SLIN8, "pcmu")
    pcm = sine(8_000, 20)
    assert not codec.identity
    assert codec.to_model(pcm) == encode_ulaw(np.frombuffer(pcm, np.int16))
    codec = ModelCodec(SLIN8, "pcma")
    assert codec.from_model(codec.to_model(pcm)) == decode_alaw(codec.to_model(pcm)).tobytes()
    assert codec.end_item() == b""


@pytest.mark.parametrize("fmt", [SLIN8, SLIN16, SLIN24])
@pytest.mark.parametrize(("encoding", "bytes_per_20_ms"), [("pcm", 960), ("pcmu", 160), ("pcma", 160)])
def test_every_20_ms_frame_becomes_20_ms(fmt: AudioFormat, encoding: str, bytes_per_20_ms: int) -> None:
    codec = ModelCodec(fmt, encoding)  # type: ignore[arg-type]
    for _ in range(5):
        assert len(codec.to_model(sine(fmt.rate_hz, 20))) == bytes_per_20_ms


@pytest.mark.parametrize("fmt", [SLIN8, SLIN16])
def test_an_item_keeps_its_length_and_its_place(fmt: AudioFormat) -> None:
    """No delay is left in an item, and nothing of an item leaks into the next."""
    codec = ModelCodec(fmt, "pcm")
    for _ in range(3):
        data = sine(24_000, 500)
        pcm = b"".join(codec.from_model(data[at : at + 1001]) for at in range(0, len(data), 1001)) + codec.end_item()
        assert len(pcm) == fmt.n_bytes(500)
        difference = np.frombuffer(pcm, "<i2").astype(int) - np.frombuffer(sine(fmt.rate_hz, 500), "<i2")
        inside = slice(fmt.rate_hz // 100, -fmt.rate_hz // 100)
        assert np.abs(difference[inside]).max() <= 4
    assert codec.end_item() == b""


def test_an_item_shorter_than_the_delay_survives() -> None:
    codec = ModelCodec(SLIN8, "pcm")
    assert codec.from_model(sine(24_000, 2)) == b""
    assert len(codec.end_item()) == SLIN8.n_bytes(2)
