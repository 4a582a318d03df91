"""Texts that count as the same words."""

import pytest

from ariagent.config.agents import OPENINGS
from ariagent.realtime.words import letters, same_words


@pytest.mark.parametrize(
    ("language", "text", "transcript"),
    [
        ("en", "Hello, how can I help you?", "hello how can I help you"),
        ("en-GB", "It's Harbour Cycles.", "It’s Harbour Cycles!"),
        ("en", "Voice mail is full", "Voicemail is full"),
        ("en", "Press 1 for sales", "Press one for sales."),
        ("en", "We open at 9:30", "We open at nine thirty."),
        ("en", "Room 217", "Room two one seven"),
        ("en", "105 bikes", "One hundred and five bikes"),
        ("en", "one hundred five bikes", "105 bikes"),
        ("en", "Since 1987", "Since nineteen eighty-seven"),
        ("en", "12,500 riders", "twelve thousand five hundred riders"),
        ("en", "Call 555-1234", "Call 5551234"),
        ("en", "Salt & pepper, 20% off", "Salt and pepper, twenty percent off"),
        ("es", "¿En qué puedo ayudarle?", "En que puedo ayudarle"),
        ("es", "Son 31 o 28 días, 100 horas", "Son treinta y uno o veintiocho días, cien horas"),
        ("es", "2500", "dos mil quinientos"),
        ("de", "Grüße aus der Straße", "GRUESSE aus der Strasse"),
        (
            "de",
            "21 Räder, 16000 Kunden, 101000 km",
            "Einundzwanzig Räder, sechzehntausend Kunden, hunderteintausend km",
        ),
        ("de", "6000", "sechstausend"),
        ("fr", "Comment puis-je vous aider ?", "comment puis je vous aider"),
        (
            "fr",
            "71, 80, 81, 99 et 200",
            "Soixante et onze, quatre-vingts, quatre-vingt-un, quatre-vingt-dix-neuf et deux cents",
        ),
        ("fr", "01 23", "zéro un vingt-trois"),
        ("it", "Perché 28 e 2000", "perche ventotto e duemila"),
        ("pt", "16 de 1250", "dezasseis de mil duzentos e cinquenta"),
        ("nl", "22 van de 1100", "tweeëntwintig van de duizend honderd"),
        ("pl", "Dzień dobry, 22", "dzien dobry 22"),
        ("el", "Καλημέρα", "καλημερα"),
    ],
)
def test_the_same_said_is_the_same_however_it_is_written(language: str, text: str, transcript: str) -> None:
    assert same_words(text, transcript, language)
    assert same_words(transcript, text, language)


@pytest.mark.parametrize(
    ("language", "text", "transcript"),
    [
        ("en", "Hello, how can I help you?", "Sure! Hello, how can I help you?"),
        ("en", "Hello, how can I help you?", "Hello, how can I help?"),
        ("en", "Hello, how can I help you?", "Hi, how can I help you?"),
        ("en", "Press 1 for sales", "Press two for sales"),
        ("en", "Room 12", "Room 21"),
        ("en", "20 bikes", "20% bikes"),
        ("de", "Guten Tag", "Guten Abend"),
        ("es", "Son 31 días", "Son treinta y dos días"),
        ("pl", "22", "23"),
        ("en", "Hello", ""),
        ("en", "...", "?!"),
        ("en", "", ""),
    ],
)
def test_other_words_are_other_words(language: str, text: str, transcript: str) -> None:
    assert not same_words(text, transcript, language)
    assert not same_words(transcript, text, language)


@pytest.mark.parametrize("language", OPENINGS)
def test_every_shipped_opening_is_itself_and_no_other(language: str) -> None:
    for other, text in OPENINGS.items():
        assert same_words(OPENINGS[language], text.upper().replace(",", " "), language) == (other == language)


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "it", "pt", "nl"])
def test_no_two_numbers_sound_the_same(language: str) -> None:
    from ariagent.realtime.words import _numbers

    said: dict[str, int] = {}
    for number in (*range(1, 2200), *range(9_990, 10_010), 21_000, 100_000, 101_000, 999_999):
        for words in _numbers(number, language):
            assert said.setdefault(words, number) == number


def test_many_numbers_take_no_time() -> None:
    text = " ".join(str(number) for number in range(1000, 1200))
    assert same_words(text, text, "en")
    assert not same_words(text, text + " more", "en")


def test_letters_are_counted_without_marks() -> None:
    assert letters("¿Qué tal, 12?") == 8
