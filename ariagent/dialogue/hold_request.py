"""Whether a caller's words mean "hold on", in the languages that openings are given in. No I/O.

Only plain requests count: a missed one is asked about a little early, and the model has a tool for the rest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ariagent.text import unaccented

_CLAUSES = re.compile(r"[.,;:!?…¿¡()\u2013\u2014]+|\s-\s")
LONGEST_TEXT = 300
"""Characters; a long turn is no request to wait."""


@dataclass(frozen=True, slots=True)
class _Phrases:
    """Patterns of words without accents, apostrophes as spaces."""

    anywhere: str
    """Words that count at the start or the end of a clause."""
    start: str
    """Words that count at the start of a clause."""
    whole: str
    """All of it."""
    fillers: str
    """Words around a clause that do not count."""
    not_before: str
    """Words that, following, make the phrase something else: "hold on to"."""


_UNIT_EN = r"(?:moment|mo|second|sec|minute|min|bit|while)"
_UNIT_ES = r"(?:momento|momentito|segundo|segundito|minuto|minutito|instante|ratito|poco)s?"
_UNIT_DE = r"(?:moment|momentchen|augenblick|sekunde|sekundchen|minute|minutchen)n?"
_UNIT_FR = r"(?:petite? )?(?:moment|instant|seconde|minute)s?"
_UNIT_IT = r"(?:momento|momentino|attimo|attimino|secondo|secondino|minuto|minutino|minuti|secondi)"
_UNIT_PT = (
    r"(?:momento|momentinho|segundo|segundinho|minuto|minutinho|instante|instantinho|bocadinho|pouco|pouquinho)s?"
)
_UNIT_NL = r"(?:moment|momentje|ogenblik|ogenblikje|seconde|secondje|minuut|minuutje|minuten|tel|tellen)"

_PHRASES: Mapping[str, _Phrases] = {
    "en": _Phrases(
        anywhere=rf"(?:hold|hang) on(?: (?:just )?(?:a|one) {_UNIT_EN})?|hold the line|stay on the line|bear with me"
        rf"|wait (?:just )?(?:a|one|up)(?: {_UNIT_EN})?"
        rf"|just (?:a|one) {_UNIT_EN}|give me (?:just )?(?:a|an|one|two|five|a few|a couple of|\d+) {_UNIT_EN}s?"
        r"|be right back|be back in a (?:moment|second|sec|minute)|(?:don t|do not) (?:hang up|go away)",
        start=rf"one {_UNIT_EN}|please wait",
        whole=rf"(?:a |two |five )?{_UNIT_EN}s?|wait",
        fillers="please okay ok oh uh um uhm hm er yes yeah no so and well sorry now then right",
        not_before="to ago later of",
    ),
    "es": _Phrases(
        anywhere=rf"(?:espere|espera|espereme|esperame|aguarde|aguarda)(?: solo)?(?: un| unos| una)? {_UNIT_ES}"
        rf"|(?:deme|dame) (?:un|unos|dos|cinco|\d+) {_UNIT_ES}|(?:solo|tan solo) un {_UNIT_ES}"
        r"|un (?:momentito|segundito|minutito|ratito)|no (?:cuelgue|cuelgues)|ahora (?:mismo )?vuelvo",
        start=r"un (?:momento|segundo|minuto|instante)",
        whole=rf"espere|espera|espereme|esperame|aguarde|aguarda|{_UNIT_ES}",
        fillers="por favor si vale bueno ok okay eh ah ay pues perdon ya",
        not_before="despues antes de que",
    ),
    "de": _Phrases(
        anywhere=rf"(?:einen|ein|eine|nen|ne)(?: kleinen| kurzen| kleine| kurze)? {_UNIT_DE}|moment mal|augenblick mal"
        r"|warten sie (?:mal|kurz)|warte (?:mal|kurz)|bleiben sie (?:bitte )?(?:mal )?(?:kurz )?(?:dran|am apparat)"
        r"|bleib (?:mal )?(?:kurz )?dran|bin gleich (?:wieder da|zuruck)",
        start=rf"{_UNIT_DE}|kleinen moment|kurzen moment|warten sie bitte",
        whole=r"warten sie|warte|kurz",
        fillers="bitte ja nein okay ok ah ach oh ahm hm also so na entschuldigung mal noch",
        not_before="auf spater lang lange her",
    ),
    "fr": _Phrases(
        anywhere=rf"(?:attendez|attends|patientez)(?: juste)? (?:un|une|deux|cinq|quelques) {_UNIT_FR}"
        rf"|juste (?:un|une|deux) {_UNIT_FR}"
        rf"|(?:donnez moi|donne moi|laissez moi|laisse moi) (?:un|une|deux|cinq|quelques|\d+) {_UNIT_FR}"
        r"|ne (?:quittez|quitte) pas|ne (?:raccrochez|raccroche) pas|je reviens tout de suite",
        start=rf"(?:un|une|deux) {_UNIT_FR}",
        whole=rf"attendez|attends|patientez|{_UNIT_FR}",
        fillers="s il vous te plait oui non ok okay d accord euh ah alors bon pardon voila",
        not_before="apres plus de que",
    ),
    "it": _Phrases(
        anywhere=rf"(?:aspetti|aspetta|attenda|attendi|mi aspetti|mi attenda)(?: solo)?(?: un| due)? {_UNIT_IT}"
        rf"|un (?:attimo|attimino|momentino)|solo un {_UNIT_IT}|(?:mi dia|dammi) (?:un|due|cinque|\d+) {_UNIT_IT}"
        r"|(?:rimanga|resti|resta) in linea|non (?:riattacchi|riattaccare|riagganci)|torno subito",
        start=r"un (?:momento|secondo|minuto)",
        whole=rf"aspetti|aspetta|attenda|{_UNIT_IT}",
        fillers="per favore cortesia prego si no ok okay eh ah allora scusi scusa ecco",
        not_before="fa dopo di",
    ),
    "pt": _Phrases(
        anywhere=rf"(?:espere|espera|aguarde|aguarda)(?: so| ai)?(?: um| uns)? {_UNIT_PT}|so um {_UNIT_PT}"
        rf"|(?:me de|me da|de me|da me) (?:so )?(?:um|uns|dois|cinco|\d+) {_UNIT_PT}"
        r"|um (?:momentinho|segundinho|minutinho|instantinho|bocadinho)|nao (?:desligue|desliga)|ja volto|volto ja",
        start=r"um (?:momento|segundo|minuto|instante)",
        whole=rf"espere|espera|aguarde|aguarda|{_UNIT_PT}",
        fillers="por favor se faz sim ok okay ta bom e ah entao desculpe olha la ai",
        not_before="depois atras de que",
    ),
    "nl": _Phrases(
        anywhere=r"(?:wacht|wacht u|wachten)(?: nog)? (?:even|eventjes|heel even|een momentje|een ogenblikje)"
        r"|even wachten"
        rf"|(?:geef me|geef mij) (?:even|(?:een|twee|vijf|\d+) {_UNIT_NL})|(?:een )?(?:momentje|ogenblikje|minuutje)"
        r"|(?:blijf|blijft u) (?:even )?(?:aan de lijn|hangen)|ben zo terug|niet ophangen",
        start=rf"een {_UNIT_NL}|even geduld",
        whole=rf"wacht|wachten|wacht u|{_UNIT_NL}",
        fillers="alstublieft alsjeblieft ja nee ok okay eh ah oh nou sorry dus even hoor",
        not_before="geleden later op",
    ),
}


def asks_to_wait(text: str, language: str | None = None) -> bool:
    """Whether ``text``, a caller's turn, asks for a moment. ``language`` as ``en`` or ``en-GB``; None or an unknown
    language: in any known language."""
    if len(text) > LONGEST_TEXT:
        return False
    clauses = [words for clause in _CLAUSES.split(text) if (words := _words(clause))]
    asked = text.rstrip(" \"'").endswith("?")
    base = (language or "")[:2].lower()
    return any(_in_language(name, clauses, asked) for name in ([base] if base in _PHRASES else _PHRASES))


def _in_language(language: str, clauses: list[list[str]], asked: bool) -> bool:
    pattern, fillers = _compiled(language)
    kept = [core for words in clauses if (core := _without_fillers(words, fillers))]
    for n, words in enumerate(kept):
        if match := pattern.search(" ".join(words)):
            # "Hold on, how much was it?" wants an answer; "Can you hold on?" does not.
            continues = n + 1 < len(kept) or match.end() < len(match.string)
            return not (asked and continues)
    return False


def _without_fillers(words: list[str], fillers: frozenset[str]) -> list[str]:
    first, last = 0, len(words)
    while first < last and words[first] in fillers:
        first += 1
    while last > first and words[last - 1] in fillers:
        last -= 1
    return words[first:last]


@cache
def _compiled(language: str) -> tuple[re.Pattern[str], frozenset[str]]:
    p = _PHRASES[language]
    following = rf"(?![a-z0-9])(?! (?:{'|'.join(p.not_before.split())})\b)"
    pattern = re.compile(
        rf"^(?:{p.whole})$|^(?:{p.anywhere}|{p.start}){following}|(?<![a-z0-9])(?:{p.anywhere})$",
    )
    return pattern, frozenset(p.fillers.split())


def _words(clause: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", unaccented(clause.casefold()))
