"""Whether a caller's words are only polite: thanks, a goodbye, agreement. No I/O.

Over a goodbye or the sentence before a transfer such words call nothing off. Only plain ones count: a word that is not
known makes the turn one that wants an answer.
"""

import re

from ariagent.text import unaccented

LONGEST_TEXT = 120
"""Characters; a longer turn says something."""

_POLITE = {
    "en": (
        "thank thanks bye goodbye good cheers great perfect wonderful lovely excellent super brilliant alright fine "
        "okay ok yes yeah yep sure right please cool uh-huh mhm mm hm aha welcome",
        "you so very much a lot that's that is would be will the all it and oh well i again for your help have nice "
        "lovely day evening weekend night one too do go ahead then kind of so to us sir madam dear now see just me "
        "could put through",
    ),
    "es": (
        "gracias adios hasta luego perfecto vale bueno si claro ok okay bien genial estupendo de nada favor encantado",
        "muchas muy mil por su tu ayuda a usted ti igualmente que tenga buen buena un una dia tarde noche pues y "
        "entonces acuerdo ya amable es eso",
    ),
    "de": (
        "dank danke dankeschon tschuss tschuess wiederhoren wiederhoeren auf wiedersehen gut gerne gern perfekt super "
        "prima toll ja okay ok alles klar genau bitte schon schonen servus ciao ade mhm",
        "vielen herzlichen besten ihnen dir sehr fur ihre hilfe und einen schon schonen tag abend noch wochenende "
        "gleichfalls auch das ist ware dann na ach das mir das lieb nett von bis",
    ),
    "fr": (
        "merci revoir parfait oui d'accord daccord ok okay bien super genial entendu volontiers plait bonne mhm",
        "beaucoup bien au a vous toi pour votre aide et journee soiree bonne bon tres c'est gentil s'il vous te alors "
        "je mille",
    ),
    "it": (
        "grazie arrivederci ciao perfetto si va bene certo ok okay benissimo ottimo volentieri prego buona favore mhm",
        "mille molte tante a lei te per il suo tuo aiuto e una buona giornata serata allora molto gentile cosi per",
    ),
    "pt": (
        "obrigado obrigada tchau adeus ate logo perfeito sim esta bem certo ok okay claro otimo bom boa favor mhm",
        "muito pela pelo sua ajuda a um uma o dia tarde noite e entao ta por para voce senhor senhora igualmente",
    ),
    "nl": (
        "dank bedankt dag doei tot ziens horens prima perfect ja goed graag oke okay ok fijn super alsjeblieft "
        "alstublieft mhm",
        "je u wel hartelijk heel erg voor de hulp en een fijne goede dag avond nog hetzelfde dan is dat tot",
    ),
}
"""Polite words by language: at least one of the first words, and words that may come with them."""


def is_only_polite(text: str, language: str, agreement: tuple[str, ...] | None = None) -> bool:
    """Whether ``text``, a caller's turn, only thanks, agrees or takes leave. ``agreement``: the site's own words for
    "I am listening"."""
    if not text.strip() or len(text) > LONGEST_TEXT or text.rstrip(" \"'").endswith("?"):
        return False
    cores, beside = _POLITE.get(language[:2].lower(), _POLITE["en"])
    core = {*_words(cores), *_words(" ".join(agreement or ()))}
    said = _words(text)
    return any(word in core for word in said) and all(word in core or word in _words(beside) for word in said)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", unaccented(text.casefold().replace("\u2019", "'")))
