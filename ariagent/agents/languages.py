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
