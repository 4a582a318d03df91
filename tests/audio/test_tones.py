"""Machines' tones, and everything that sounds a little like them; made here, at several rates, levels and codecs."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from ariagent.audio.tones import MOST_HOLE_FRAMES, VOICEMAIL_WITHIN_S, Machine, MachineEar, WithoutHoles
from ariagent.caller.noise import KINDS, NOISE_HZ, NoiseMaker
from ariagent.caller.voice import Voice, tool_of
from lab.codecs import G722, convert_rate
from lab.music import chords
from lab.packages import default_lab_dir, ensure_tool
from tests.examples import examples

Wave = NDArray[np.float64]
EACH_FORMAT = pytest.mark.parametrize(
    "fmt",
    [pytest.param(fmt, id=str(fmt), marks=pytest.mark.long if fmt != SLIN8 else ()) for fmt in (SLIN8, SLIN16, SLIN24)],
)


def tone(hz: float, seconds: float, rate_hz: int, level: float = 0.1) -> Wave:
    """``level`` is the amplitude, 1 for full scale."""
    return np.asarray(32767 * level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz))


def quiet(seconds: float, rate_hz: int) -> Wave:
    return np.zeros(round(seconds * rate_hz))


def reversing(seconds: float, rate_hz: int, depth: float = 0.0) -> Wave:
    """V.8's answer tone: reversals each 450 ms; ``depth`` of its 15 Hz modulation."""
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    sign = np.where(at_s // 0.45 % 2, -1, 1)
    return np.asarray(tone(2100, seconds, rate_hz) * sign * (1 + depth * np.sin(2 * np.pi * 15 * at_s)))


def flags(seconds: float, rate_hz: int) -> Wave:
    bit = (np.arange(round(seconds * rate_hz)) / rate_hz * 300).astype(int) % 8
    hz = np.where((bit == 0) | (bit == 7), 1850, 1650)
    return np.asarray(3276 * np.sin(2 * np.pi * np.cumsum(hz) / rate_hz))


def bursts(hz: float, on_s: float, off_s: float, count: int, rate_hz: int, level: float = 0.1) -> Wave:
    return np.tile(np.concatenate([tone(hz, on_s, rate_hz, level), quiet(off_s, rate_hz)]), count)


def pcm(*waves: Wave) -> bytes:
    return np.clip(np.round(np.concatenate(waves)), -32768, 32767).astype("<i2").tobytes()


def with_noise(wave: Wave, snr_db: float, seed: int = 1) -> Wave:
    """White noise this much below the wave's loudest second."""
    power = float(np.max(np.abs(wave))) ** 2 / 2
    return wave + np.random.default_rng(seed).normal(0, np.sqrt(power / 10 ** (snr_db / 10)), len(wave))


def heard(audio: bytes, fmt: AudioFormat, lead_ms: float = 7.0) -> list[Machine]:
    """The audio in frames of 20 ms, with silence around."""
    ear = MachineEar(fmt)
    whole = fmt.silence(lead_ms) + audio + fmt.silence(4000)
    frames = (whole[at : at + fmt.frame_bytes] for at in range(0, len(whole), fmt.frame_bytes))
    return [machine for frame in frames if (machine := ear.hear(frame)) is not None]


def through_g722(audio: bytes, rate_hz: int) -> bytes:
    codec = G722()
    samples = convert_rate(np.frombuffer(audio, "<i2"), rate_hz, 16000)
    samples = np.append(samples, np.zeros(-len(samples) % 320, np.int16))
    frames = [codec.decode(codec.encode(samples[at : at + 320])) for at in range(0, len(samples), 320)]
    return convert_rate(np.concatenate(frames), 16000, rate_hz).astype("<i2").tobytes()


CODECS: dict[str, Callable[[bytes, int], bytes]] = {
    "linear": lambda audio, rate_hz: audio,
    "ulaw": lambda audio, rate_hz: decode_ulaw(encode_ulaw(np.frombuffer(audio, "<i2"))).tobytes(),
    "alaw": lambda audio, rate_hz: decode_alaw(encode_alaw(np.frombuffer(audio, "<i2"))).tobytes(),
    "g722": through_g722,
}

MACHINES: dict[str, tuple[Machine, Callable[[int], Wave]]] = {
    "one CNG": ("fax", lambda rate: bursts(1100, 0.5, 3.0, 1, rate)),
    "CNG, low and short": ("fax", lambda rate: bursts(1064, 0.44, 3.0, 2, rate)),
    "CNG, high and long": ("fax", lambda rate: bursts(1136, 0.57, 3.0, 2, rate)),
    "CED": ("fax", lambda rate: tone(2100, 2.6, rate)),
    "V.21 flags": ("fax", lambda rate: flags(1.2, rate)),
    "ANS with reversals": ("modem", lambda rate: reversing(3.3, rate)),
    "ANSam": ("modem", lambda rate: reversing(3.3, rate, depth=0.2)),
    "Bell": ("modem", lambda rate: tone(2225, 2.0, rate)),
    "V.22": ("modem", lambda rate: tone(2250, 2.0, rate)),
    "calling tone": ("modem", lambda rate: bursts(1300, 0.6, 1.7, 2, rate)),
    "one 1300 Hz beep": ("voicemail", lambda rate: bursts(1300, 0.6, 2.0, 1, rate)),
    "short beep": ("voicemail", lambda rate: tone(1000, 0.26, rate)),
    "low beep": ("voicemail", lambda rate: tone(440, 0.5, rate)),
    "high beep": ("voicemail", lambda rate: tone(1950, 0.4, rate)),
    "long beep": ("voicemail", lambda rate: tone(1400, 2.2, rate)),
}


def heard_through_codecs(audio: bytes, fmt: AudioFormat) -> dict[str, list[Machine]]:
    """Machines by the codec through which they are heard."""
    return {codec: heard(coded(audio, fmt.rate_hz), fmt) for codec, coded in CODECS.items()}


@EACH_FORMAT
def test_each_machine_is_heard_once(fmt: AudioFormat) -> None:
    found = {
        name: heard_through_codecs(pcm(quiet(0.3, fmt.rate_hz), make(fmt.rate_hz)), fmt)
        for name, (_, make) in MACHINES.items()
    }
    assert found == {name: {codec: [machine] for codec in CODECS} for name, (machine, _) in MACHINES.items()}


@pytest.mark.parametrize("level", [5.0, 1.0, 0.2])
def test_each_machine_is_heard_in_noise_at_any_level(level: float) -> None:
    def in_noise(wave: Wave) -> list[Machine]:
        return heard(pcm(with_noise(np.concatenate([wave, quiet(3.0, 8000)]) * level, 15.0)), SLIN8)

    found = {name: in_noise(make(8000)) for name, (_, make) in MACHINES.items()}
    assert found == {name: [machine] for name, (machine, _) in MACHINES.items()}


@given(st.integers(0, 1000), st.sampled_from(sorted(MACHINES)), st.lists(st.integers(1, 20_000), min_size=1))
@example(157, "V.21 flags", [640]).via("half of its frames held no zero")
@settings(max_examples=examples(40), deadline=None)
def test_neither_the_moment_nor_the_pieces_matter(lead_ms: int, name: str, sizes: list[int]) -> None:
    machine, make = MACHINES[name]
    audio = SLIN8.silence(lead_ms) + pcm(make(8000)) + SLIN8.silence(4000)
    ear = MachineEar(SLIN8)
    found, at = [], 0
    for size in sizes * (len(audio) // (2 * sum(sizes)) + 1):
        found.append(ear.hear(audio[at : at + 2 * size]))
        at += 2 * size
    assert [what for what in found if what is not None] == [machine]


def test_two_fax_calling_tones_are_one_fax_whatever_is_between() -> None:
    talk = with_noise(tone(300, 3.0, 8000), 0.0)
    burst = tone(1100, 0.5, 8000)
    assert heard(pcm(burst, talk, burst, talk), SLIN8) == ["fax"]


def frames(audio: bytes, fmt: AudioFormat = SLIN8) -> list[bytes]:
    return [audio[at : at + fmt.frame_bytes] for at in range(0, len(audio), fmt.frame_bytes)]


@pytest.mark.parametrize("seed", range(5))
def test_a_beep_with_holes_is_heard(seed: int) -> None:
    """Asterisk, short of time, makes the holes: the rest of the beep comes later."""
    rng = np.random.default_rng(seed)
    hz = float(rng.uniform(420, 1950))
    beep = frames(pcm(tone(hz, 0.4, 8000)))
    holed = [part for frame in beep for part in (*[SLIN8.silence(20)] * int(rng.integers(0, MOST_HOLE_FRAMES)), frame)]
    audio = [*frames(SLIN8.silence(500)), *holed, *frames(SLIN8.silence(4000))]
    with_holes, without = MachineEar(SLIN8), MachineEar(SLIN8)
    holes = WithoutHoles()
    assert [machine for frame in audio if (machine := without.hear(holes.take(frame)))] == ["voicemail"]
    assert [machine for frame in audio if (machine := with_holes.hear(frame))] == []


def test_only_short_silence_between_sounds_is_a_hole() -> None:
    """A pause stays as long as it is, and so does the silence after the last sound."""
    sound, silence = pcm(tone(1000, 0.02, 8000)), SLIN8.silence(20)
    for pause, left in ((MOST_HOLE_FRAMES, 0), (MOST_HOLE_FRAMES + 1, MOST_HOLE_FRAMES + 1), (50, 50)):
        holes = WithoutHoles()
        audio = [silence] * 3 + [sound] + [silence] * pause + [sound] + [silence] * 20
        taken = b"".join(holes.take(frame) for frame in audio)
        assert taken == b"".join([silence] * 3 + [sound] + [silence] * left + [sound] + [silence] * 20)


def test_a_beep_right_after_a_greeting_is_heard() -> None:
    talk = with_noise(tone(300, 3.0, 8000), 0.0)
    assert heard(pcm(talk, tone(1000, 0.5, 8000)), SLIN8) == ["voicemail"]


def test_a_beep_that_goes_over_into_something_else_is_none() -> None:
    talk = with_noise(tone(300, 3.0, 8000), 0.0)
    assert heard(pcm(tone(1000, 0.5, 8000), talk), SLIN8) == []


def test_a_beep_after_the_first_minute_is_none_but_a_fax_is_a_fax() -> None:
    late = quiet(VOICEMAIL_WITHIN_S, 8000)
    assert heard(pcm(late, tone(1000, 0.5, 8000)), SLIN8) == []
    assert heard(pcm(late, tone(1100, 0.5, 8000)), SLIN8) == ["fax"]


OTHERS: dict[str, Callable[[int], Wave]] = {
    "white noise": lambda rate: np.random.default_rng(2).normal(0, 3000, 20 * rate),
    "hum": lambda rate: tone(50, 10, rate) + tone(100, 10, rate, 0.02),
    "American ringing": lambda rate: bursts(440, 2.0, 4.0, 2, rate) + bursts(480, 2.0, 4.0, 2, rate),
    "American busy": lambda rate: bursts(480, 0.5, 0.5, 8, rate) + bursts(620, 0.5, 0.5, 8, rate),
    "American dial tone": lambda rate: tone(350, 8, rate) + tone(440, 8, rate),
    "European ringing": lambda rate: bursts(425, 1.0, 4.0, 3, rate),
    "European busy": lambda rate: bursts(425, 0.5, 0.5, 8, rate),
    "British ringing": lambda rate: bursts(400, 0.4, 2.0, 4, rate) + bursts(450, 0.4, 2.0, 4, rate),
    "a tone without end": lambda rate: tone(1000, 20, rate),
    "a click of a tone": lambda rate: bursts(1000, 0.1, 1.0, 4, rate),
    "a tone that is hardly there": lambda rate: bursts(1100, 0.5, 3.0, 2, rate, 0.003),
    "a whistle": lambda rate: np.asarray(
        3000 * np.sin(2 * np.pi * np.cumsum(np.linspace(900, 1100, rate // 2)) / rate)
    ),
    "hold music": lambda rate: chords(rate).astype(float),
    "one chord": lambda rate: chords(rate)[: 2 * rate].astype(float),
}


NOTHING: dict[str, list[Machine]] = {codec: [] for codec in CODECS}


@EACH_FORMAT
def test_what_is_no_machine(fmt: AudioFormat) -> None:
    found = {name: heard_through_codecs(pcm(make(fmt.rate_hz)), fmt) for name, make in OTHERS.items()}
    assert found == dict.fromkeys(OTHERS, NOTHING)


def dialled(twist_db: float, seconds: float, rate: int) -> bytes:
    """Each key of a telephone, with a pause behind it."""
    keys = itertools.product((697, 770, 852, 941), (1209, 1336, 1477, 1633))
    waves = [
        np.append(tone(low, seconds, rate) + tone(high, seconds, rate, 0.1 * 10 ** (twist_db / 20)), quiet(0.8, rate))
        for low, high in keys
    ]
    return pcm(*waves)


@EACH_FORMAT
def test_keys_are_no_machines(fmt: AudioFormat) -> None:
    ways = list(itertools.product((0.0, 8.0, -8.0), (0.06, 0.3, 1.6)))
    found = {way: heard_through_codecs(dialled(*way, fmt.rate_hz), fmt) for way in ways}
    assert found == dict.fromkeys(ways, NOTHING)


def test_singing_is_no_machine() -> None:
    voices = list(itertools.product((110, 220, 440, 523, 660, 880), (6.0, 12.0, 20.0), (0.0, 0.005, 0.02)))
    assert [voice for voice in voices if heard(sung(*voice), SLIN8)] == []


def sung(pitch_hz: int, octave_db: float, vibrato: float) -> bytes:
    at_s = np.arange(6400) / 8000
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + vibrato * np.sin(2 * np.pi * 5.5 * at_s))) / 8000
    voice = sum(10 ** (-octave_db * np.log2(n) / 20) * np.sin(n * phase) for n in range(1, int(3800 / pitch_hz) + 1))
    envelope = np.minimum(1, np.minimum(at_s / 0.06, (0.8 - at_s) / 0.1))
    return pcm(3000 * envelope * voice, quiet(2.0, 8000))


TEXTS = (
    "Hello, my name is Anna and I would like to know where my order four seven one one is, please.",
    "Room two, moon, soon, you, too, who, blue, shoe, loop, noon, June. Oooooh no.",
    "Mmm hmm. Uh huh. Aaaaah. Eeeee. Hmmmmm, let me see. La la la la.",
    "Can you put me through to a human being? One two three four five six seven eight nine zero.",
)


@pytest.mark.parametrize("name", ["kal", "kal16", "awb", "rms", "slt", "es", "es-419"])
@EACH_FORMAT
async def test_speech_is_no_machine(name: str, fmt: AudioFormat) -> None:
    tool = await asyncio.to_thread(ensure_tool, tool_of(name), default_lab_dir())
    voice = Voice(tool, name, fmt)
    speech = b"".join([await voice.say(text) + fmt.silence(1200) for text in TEXTS])
    for codec in ("linear", "ulaw"):
        assert heard(CODECS[codec](speech, fmt.rate_hz), fmt) == []


async def test_noises_around_a_caller_are_no_machines(tmp_path: Path) -> None:
    flite = await asyncio.to_thread(ensure_tool, "flite", default_lab_dir())
    for kind in KINDS:
        track = await NoiseMaker(flite, tmp_path).track(kind, 30.0, 1)
        samples = convert_rate(np.asarray(track, np.int16), NOISE_HZ, 8000)
        assert np.max(samples) > 3000
        assert heard(samples.astype("<i2").tobytes(), SLIN8) == []
