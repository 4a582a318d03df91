"""How long texts take to say, and what cannot be speech of them."""

import pytest

from ariagent.config.agents import OPENINGS
from ariagent.realtime.duration import least_ms, most_ms, not_spoken
from ariagent.realtime.words import letters

SPEECH_MS, NOISE_MS = 90.0, 325.0
"""For each letter, measured: as speech, and as PCM at 16 kHz that is played as G.711."""


@pytest.mark.parametrize("language", OPENINGS)
def test_an_opening_as_speech_and_as_noise(language: str) -> None:
    text = OPENINGS[language]
    n = letters(text)
    assert least_ms(text, language) < SPEECH_MS * n / 2
    assert SPEECH_MS * n * 1.3 < most_ms(text, language) < NOISE_MS * n
    assert not_spoken("pcmu", SPEECH_MS * n, text, language) == ""
    assert "acknowledged audio/pcmu and does not speak it" in not_spoken("pcmu", NOISE_MS * n, text, language)


def test_pcm_that_is_long_is_no_mistaken_g711() -> None:
    assert not_spoken("pcm", 1e6, "Hello", "en") == ""


@pytest.mark.parametrize(
    ("text", "language", "spoken_ms"),
    [
        ("Call 1800 555 0199 now.", "en", 6000),  # "one eight zero zero, five five five ..."
        ("It costs 1,234,567.89 dollars.", "en", 8500),
        ("Sie zahlen 1.999,- EUR.", "de", 4000),
        ("Write to support@acme.com", "en", 3500),
        ("ACME IBM", "en", 3000),
        ("No.", "en", 1200),
        ("\u60a8\u597d\uff0c\u8fd9\u91cc\u662f\u81ea\u52a8\u52a9\u7406\u3002", "zh", 3000),
        ("\u304a\u96fb\u8a71\u3042\u308a\u304c\u3068\u3046\u3054\u3056\u3044\u307e\u3059", "ja", 3000),
        ("\uc548\ub155\ud558\uc138\uc694", "ko", 1500),
        ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "ar", 1500),
        ("Room 12345678901234567890", "fi", 12000),
    ],
)
def test_what_is_read_out_counts_and_not_what_is_written(text: str, language: str, spoken_ms: float) -> None:
    assert least_ms(text, language) < spoken_ms < most_ms(text, language)


def test_a_slow_session_takes_longer_and_a_fast_one_may_not_be_fast() -> None:
    assert most_ms("Hello there", "en", 0.25) == pytest.approx(4 * most_ms("Hello there", "en"))
    assert most_ms("Hello there", "en", 1.5) == most_ms("Hello there", "en")
    assert least_ms("Hello there", "en", 1.5) < least_ms("Hello there", "en")


def test_a_text_without_a_letter_is_pauses() -> None:
    assert (least_ms("...", "en"), most_ms("...", "en") > 0) == (0.0, True)
