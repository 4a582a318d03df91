"""Words of a caller that are only polite, by language."""

import pytest

from ariagent.dialogue.politeness import LONGEST_TEXT, is_only_polite


@pytest.mark.parametrize(
    ("language", "text", "polite"),
    [
        ("en", "Thank you.", True),
        ("en", "Oh, thank you so much, have a nice day, bye-bye!", True),
        ("en", "Yes, please do that.", True),
        ("en", "Thanks a lot", True),
        ("en", "You", False),
        ("en", "Thank you, but I have another question.", False),
        ("en", "No thank you.", False),
        ("en", "No.", False),
        ("en", "Okay?", False),
        ("en", "Please cancel my order.", False),
        ("en", "", False),
        ("en", "thank you " * 20, False),
        ("de", "Vielen Dank.", True),
        ("de", "Danke schön, tschüss!", True),
        ("de", "Ja, gerne.", True),
        ("de", "Nein, Moment.", False),
        ("fr", "D’accord, merci beaucoup, au revoir.", True),
        ("es", "Muchas gracias, adiós.", True),
        ("it", "Va bene, grazie mille.", True),
        ("pt-BR", "Obrigado, tchau.", True),
        ("nl", "Dank je wel, tot ziens.", True),
        ("xx", "thank you", True),
    ],
)
def test_what_is_only_polite(language: str, text: str, polite: bool) -> None:
    assert is_only_polite(text, language) is polite


def test_a_longer_turn_says_something() -> None:
    assert is_only_polite(("thank you " * 12)[:LONGEST_TEXT].strip(), "en")
    assert not is_only_polite("thank you " * 13, "en")


def test_the_sites_own_words_for_i_am_listening_are_polite() -> None:
    assert not is_only_polite("Jawohl, danke.", "de")
    assert is_only_polite("Jawohl, danke.", "de", ("jawohl",))
