"""Languages by their codes, in the words that the model is told."""

from collections.abc import Iterable

NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "ms": "Malay",
    "nb": "Norwegian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sr": "Serbian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


TRANSCRIBED = frozenset(
    [
        "af",
        "ar",
        "az",
        "be",
        "bg",
        "bs",
        "ca",
        "cs",
        "cy",
        "da",
        "de",
        "el",
        "en",
        "es",
        "et",
        "fa",
        "fi",
        "fr",
        "gl",
        "he",
        "hi",
        "hr",
        "hu",
        "hy",
        "id",
        "is",
        "it",
        "ja",
        "kk",
        "kn",
        "ko",
        "lt",
        "lv",
        "mi",
        "mk",
        "mr",
        "ms",
        "ne",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sr",
        "sv",
        "sw",
        "ta",
        "th",
        "tl",
        "tr",
        "uk",
        "ur",
        "vi",
        "zh",
    ]
)
"""Codes that OpenAI's transcription takes. Source: the error message of its server for any other code."""
_SAME = {
    "nb": "no",
    "nn": "no",
    "fil": "tl",
    "iw": "he",
    "in": "id",
    "cmn": "zh",
    "yue": "zh",
    "ara": "ar",
    "ces": "cs",
    "cze": "cs",
    "dan": "da",
    "deu": "de",
    "ger": "de",
    "ell": "el",
    "gre": "el",
    "eng": "en",
    "spa": "es",
    "fin": "fi",
    "fra": "fr",
    "fre": "fr",
    "heb": "he",
    "hin": "hi",
    "hun": "hu",
    "ita": "it",
    "jpn": "ja",
    "kor": "ko",
    "nld": "nl",
    "dut": "nl",
    "nor": "no",
    "nob": "no",
    "nno": "no",
    "pol": "pl",
    "por": "pt",
    "ron": "ro",
    "rum": "ro",
    "rus": "ru",
    "swe": "sv",
    "tur": "tr",
    "ukr": "uk",
    "vie": "vi",
    "zho": "zh",
    "chi": "zh",
}
"""Other codes of the same languages, and of languages that are transcribed as these."""


def transcribed(code: str) -> str:
    """The code of a language in the form that transcriptions take (ISO 639-1, without a region): ``pt`` of ``pt-BR``,
    ``pt_br`` or ``por``, ``no`` of ``nb``. An unknown code is returned without its region."""
    plain = base(code.strip().lower().replace("_", "-"))
    return _SAME.get(plain, plain)


def base(code: str) -> str:
    """The language of a code without its region: ``pt`` of ``pt-BR``."""
    return code.partition("-")[0]


def name(code: str) -> str:
    """``Portuguese (pt-BR)`` of ``pt-BR``, ``German`` of ``de``; an unknown code is its own name."""
    known = NAMES.get(base(code))
    if known is None:
        return f"the language with the code {code}"
    return known if base(code) == code else f"{known} ({code})"


def spoken(codes: Iterable[str], joined_by: str) -> str:
    """Their names as one phrase: ``Spanish, German or French``."""
    names = [name(code) for code in codes]
    return f" {joined_by} ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
