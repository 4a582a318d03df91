"""How the silence between a sentence and what follows it is found among a caller's packets."""

import numpy as np
import pytest

from lab.benchcalls import tone
from lab.codecs import make_codec
from lab.handoffbench import gap_after_first_sound
from lab.rtp import RtpPacket

FRAME = 160


def packets(*parts: tuple[float, int]) -> list[RtpPacket]:
    """Seconds of a tone with this peak, one after another."""
    pcm = np.concatenate([tone(seconds, peak=peak) for seconds, peak in parts])
    codec = make_codec("ulaw")
    frames = range(len(pcm) // FRAME)
    payloads = [codec.encode(pcm[FRAME * n : FRAME * (n + 1)]) for n in frames]
    return [RtpPacket(0.02 * n, n, FRAME * n, False, 0, payload) for n, payload in zip(frames, payloads, strict=True)]


def test_the_silence_after_the_first_sound_is_measured() -> None:
    heard = packets((0.1, 0), (0.5, 9000), (0.06, 0), (0.5, 400))
    assert gap_after_first_sound(heard) == pytest.approx(80)


def test_packets_that_did_not_come_are_silence_too() -> None:
    heard = packets((0.5, 9000), (0.3, 0), (0.5, 4000))
    there = [packet for packet in heard if packet.arrival < 0.52 or packet.arrival > 0.79]
    assert gap_after_first_sound(there) == pytest.approx(320)


def test_a_sound_that_follows_without_a_silent_packet_is_the_next_one() -> None:
    heard = packets((0.5, 9000), (0.04, 0), (2.0, 4000), (4.0, 0), (2.0, 4000))
    there = [packet for packet in heard if not 0.5 <= packet.arrival < 0.54]
    assert gap_after_first_sound(there, lasts_s=0.5) == pytest.approx(60)


@pytest.mark.parametrize("parts", [((0.5, 0),), ((0.5, 9000),), ((0.2, 0), (0.5, 9000), (0.3, 0))])
def test_without_a_second_sound_there_is_none(parts: tuple[tuple[float, int], ...]) -> None:
    assert gap_after_first_sound(packets(*parts)) is None
