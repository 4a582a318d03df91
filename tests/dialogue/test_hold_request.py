"""Sentences of callers who want the agent to wait, and sentences that only sound like it."""

import pytest

from ariagent.dialogue.hold_request import LONGEST_TEXT, asks_to_wait

WAIT = {
    "en": [
        "Hold on.",
        "hold on please",
        "Hang on a second, I'm looking for it.",
        "Okay, just a moment please.",
        "One moment.",
        "one second i have to get my card",
        "Can you hold on?",
        "Let me look, give me two minutes.",
        "Wait a minute!",
        "Wait.",
        "Please wait.",
        "Bear with me, my computer is slow.",
        "I'll be right back.",
        "Um, a sec.",
        "Please don't hang up",
        "Hold on a second, okay?",
    ],
    "es": [
        "Un momento, por favor.",
        "Espere un momentito.",
        "Espera",
        "Deme un segundo, ahora lo busco",
        "No cuelgue.",
    ],
    "de": [
        "Einen Moment bitte.",
        "Moment, ich hole die Karte.",
        "Warten Sie kurz.",
        "Bleiben Sie bitte dran!",
        "Können Sie einen Augenblick warten? Einen kleinen Moment.",
        "Sekunde!",
        "Ja, Moment mal bitte",
    ],
    "fr": [
        "Un instant, s'il vous plaît.",
        "Attendez une seconde",
        "Ne quittez pas.",
        "Euh, deux minutes.",
        "Attends !",
    ],
    "it": ["Un attimo, per favore.", "Aspetti un momento", "Aspetta.", "Resti in linea.", "Solo un secondo"],
    "pt": ["Só um momento, por favor.", "Espere um pouco", "Aguarde.", "Um minutinho.", "Não desligue!"],
    "nl": ["Een momentje alstublieft.", "Wacht even", "Blijf even hangen", "Ogenblik!", "Geef me een minuut"],
}
OTHER = {
    "en": [
        "",
        "...",
        "I want to hold on to my old number.",
        "I was on hold for an hour.",
        "It stopped just a minute ago.",
        "Hold on, how much was it?",
        "Wait a minute, is that with tax?",
        "The second one.",
        "I would like to wait for a person of your team.",
        "The waiting time was long",
        "Every moment counts",
        "holdon",
    ],
    "es": ["En este momento no tengo.", "El segundo, por favor.", "La lista de espera es larga"],
    "de": [
        "Im Moment habe ich keine Karte.",
        "Moment, was kostet das?",
        "Ich warte auf die Lieferung",
        "Die zweite Minute",
    ],
    "fr": ["Pour le moment, non merci.", "J'attends ma commande."],
    "it": ["In questo momento no.", "Il secondo piatto"],
    "pt": ["Neste momento não.", "O segundo pedido"],
    "nl": ["Op dit moment niet.", "Ik wacht op mijn bestelling"],
}


@pytest.mark.parametrize(("language", "text"), [(lang, text) for lang, texts in WAIT.items() for text in texts])
def test_a_request_to_wait(language: str, text: str) -> None:
    assert asks_to_wait(text, language)
    assert asks_to_wait(text, f"{language}-XX")
    assert asks_to_wait(text.upper(), None)
    assert asks_to_wait(text, "sv")


@pytest.mark.parametrize(("language", "text"), [(lang, text) for lang, texts in OTHER.items() for text in texts])
def test_no_request_to_wait(language: str, text: str) -> None:
    assert not asks_to_wait(text, language)
    assert not asks_to_wait(text, None)


def test_a_language_of_ours_is_the_only_one_that_counts() -> None:
    assert not asks_to_wait("Wacht even", "en")


def test_a_long_turn_is_none() -> None:
    assert asks_to_wait("Hold on. " + "I am looking for it " * 3)
    assert not asks_to_wait("Hold on. " + "I am looking for it " * (LONGEST_TEXT // 20))
