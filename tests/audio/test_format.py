import pytest

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat


@pytest.mark.parametrize(("fmt", "samples"), [(SLIN8, 160), (SLIN16, 320), (SLIN24, 480), (AudioFormat(44_100), 882)])
def test_a_frame_is_20_ms(fmt: AudioFormat, samples: int) -> None:
    assert fmt.frame_samples == samples
    assert fmt.frame_bytes == 2 * samples
    assert fmt.ms(fmt.frame_bytes) == 20.0
    assert fmt.bytes_per_ms * 20 == pytest.approx(fmt.frame_bytes)


def test_silence_is_whole_samples() -> None:
    assert SLIN24.silence(20) == bytes(960)
    assert len(SLIN8.silence(0.3)) == 4
    assert SLIN8.silence(0) == b""


def test_lengths_and_bytes_agree_for_every_millisecond() -> None:
    for ms in range(200):
        assert SLIN8.ms(SLIN8.n_bytes(ms)) == ms


@pytest.mark.parametrize("rate_hz", [0, -8000, 8001, 11_025])
def test_a_rate_without_whole_frames_is_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match="whole 20 ms frames"):
        AudioFormat(rate_hz)


def test_formats_compare_by_rate() -> None:
    assert AudioFormat(8000) == SLIN8
    assert str(SLIN24) == "slin/24000"
