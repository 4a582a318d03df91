"""Whether a transcript says the same words as a text (CORE).

A transcript is written differently from what was asked for although the same was said: other punctuation, other case,
a number in figures or in words. Texts are compared as letters only, without spaces, marks and accents, and with every
number in the ways it can be read out.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice, product

_FORMS_TRIED = 256
"""Combinations of readings of one text's numbers."""

_SYMBOLS = {
    "en": {"&": "and", "%": "percent"},
    "es": {"&": "y", "%": "por ciento"},
    "de": {"&": "und", "%": "Prozent"},
    "fr": {"&": "et", "%": "pour cent"},
    "it": {"&": "e", "%": "per cento"},
    "pt": {"&": "e", "%": "por cento"},
    "nl": {"&": "en", "%": "procent"},
}

_UNITS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
    "diecisiete dieciocho diecinueve",
    "de": "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn "
    "siebzehn achtzehn neunzehn",
    "fr": "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dixsept "
    "dixhuit dixneuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
    "sedici diciassette diciotto diciannove",
    "pt": "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis "
    "dezessete dezoito dezenove",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien "
    "zeventien achttien negentien",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "de": "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
    "fr": "vingt trente quarante cinquante soixante soixante quatrevingt quatrevingt",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "nl": "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
}
_HUNDREDS = {
    "es": "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos",
    "pt": "cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos",
}
_HUNDRED = {"en": "hundred", "de": "hundert", "fr": "cent", "it": "cento", "nl": "honderd"}
_THOUSAND = {"en": "thousand", "es": "mil", "de": "tausend", "fr": "mille", "it": "mila", "pt": "mil", "nl": "duizend"}
_ONE_MORE = {"en": "one", "de": "ein"}  # before hundred and thousand; the others say none
_PORTUGAL = {"dezesseis": "dezasseis", "dezessete": "dezassete", "dezenove": "dezanove"}


def same_words(text: str, transcript: str, language: str) -> bool:
    """Whether ``transcript`` is what one hears when ``text`` is read out in ``language`` (as ``en`` or ``en-GB``).

    Case, punctuation, spaces, accents and the ways to write a letter make no difference; figures and number words are
    equal in en, es, de, fr, it, pt and nl. A text without any letter or figure is like no other.
    """
    language = language[:2].lower()
    wanted = set(islice(_readings(text, language), _FORMS_TRIED))
    return any(reading in wanted for reading in islice(_readings(transcript, language), _FORMS_TRIED))


def readings(text: str, language: str) -> list[str]:
    """The letters of what one hears when ``text`` is read out, once for each way to read its numbers."""
    return list(islice(_readings(text, language[:2].lower()), _FORMS_TRIED))


def letters(text: str) -> int:
    """How many letters and figures a text has."""
    return sum(letter.isalnum() for letter in text)


def _readings(text: str, language: str) -> Iterator[str]:
    """The letters of a text, once for each way to read its numbers; nothing where it has neither."""
    for symbol, word in _SYMBOLS.get(language, {}).items():
        text = text.replace(symbol, f" {word} ")
    # 1,200 and 1.200 and 1 200 are one number.
    text = re.sub(r"(?<=\d)[., \u00a0\u202f](?=\d{3}(?!\d))", "", text)
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFKD", text))
    ways = [_spoken(part, language) if part.isdecimal() else (_plain(part),) for part in parts]
    for way in product(*ways):
        if reading := _folded("".join(way), language):
            yield reading


def _plain(text: str) -> str:
    text = text.casefold().replace("œ", "oe").replace("æ", "ae").replace("ø", "o")
    return "".join(letter for letter in text if letter.isalnum())


def _folded(reading: str, language: str) -> str:
    """Fold German spellings (fuer is für). This is done last, so that both texts have the same words side by side."""
    return re.sub(r"([aou])e", r"\1", reading) if language == "de" else reading


def _spoken(figures: str, language: str) -> tuple[str, ...]:
    """The ways to read a run of figures: as a number, by pairs, one by one."""
    if language not in _UNITS:
        return (figures,)
    units = _UNITS[language].split()
    one_by_one = "".join(units[int(figure)] for figure in figures)
    ways = {one_by_one: None}
    significant = figures.lstrip("0")
    zeros = units[0] * (len(figures) - len(significant))
    if significant and len(significant) <= 6:
        ways |= {zeros + words: None for words in _numbers(int(significant), language)}
    if len(figures) == 4 and figures[0] != "0" and figures[2] != "0":
        pairs = product(_numbers(int(figures[:2]), language), _numbers(int(figures[2:]), language))
        ways |= {first + second: None for first, second in pairs}
    return tuple(ways)


def _numbers(number: int, language: str) -> list[str]:
    """A number from 1 to 999999 in words, and the other ways to say it."""
    thousands, rest = divmod(number, 1000)
    words = _below_1000(rest, language) if rest else ""
    if thousands:
        words = _thousands(thousands, language) + words
    others = [words]
    if language == "en":
        others.append(re.sub(r"hundred(?=[a-z])(?!thousand)", "hundredand", words))
    elif language == "pt":
        others.append(re.sub("|".join(_PORTUGAL), lambda found: _PORTUGAL[found[0]], words))
        others += [re.sub(r"mil(?=[a-z])", "mile", other) for other in tuple(others)]
    elif language in ("de", "nl"):
        others.append(re.sub(r"^(ein|een)(?=hundert|tausend|honderd|duizend)", "", words))
    return list(dict.fromkeys(others))


def _thousands(thousands: int, language: str) -> str:
    if thousands > 1:
        count = _below_1000(thousands, language)
        if language == "de" and count.endswith("eins"):
            count = count[:-1]
        return count + _THOUSAND[language]
    return "mille" if language == "it" else _ONE_MORE.get(language, "") + _THOUSAND[language]


def _below_1000(number: int, language: str) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_100(rest, language)
    after = _below_100(rest, language) if rest else ""
    if language in _HUNDREDS:
        if number == 100:
            return "cien" if language == "es" else "cem"
        joint = "e" if language == "pt" and rest else ""
        return _HUNDREDS[language].split()[hundreds - 1] + joint + after
    count = _UNITS[language].split()[hundreds] if hundreds > 1 else _ONE_MORE.get(language, "")
    plural = "s" if language == "fr" and hundreds > 1 and not rest else ""
    return count + _HUNDRED[language] + plural + after


def _below_100(number: int, language: str) -> str:
    units = _UNITS[language].split()
    if number < 20:
        return units[number]
    tens, unit = divmod(number, 10)
    ten = _TENS[language].split()[tens - 2]
    match language:
        case "fr" if tens in (7, 9):
            return ten + ("et" if number == 71 else "") + units[unit + 10]
        case "fr" if number == 80:
            return ten + "s"
        case "fr" if unit == 1 and tens != 8:
            return ten + "et" + units[1]
    if not unit:
        return ten
    match language:
        case "de" | "nl":
            joint = "und" if language == "de" else "en"
            return ("ein" if number % 10 == 1 and language == "de" else units[unit]) + joint + ten
        case "es" if tens == 2:
            return "veinti" + units[unit]
        case "es" | "pt":
            return ten + ("y" if language == "es" else "e") + units[unit]
        case "it" if unit in (1, 8):
            return ten[:-1] + units[unit]
    return ten + units[unit]
