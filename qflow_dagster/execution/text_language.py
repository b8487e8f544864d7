"""The language that a text is written in."""

from functools import cache
from typing import Any

NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "es": "Spanish", "fi": "Finnish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
# Below it the language of a short text is a guess, and English is assumed.
MIN_PROBABILITY = 0.9


def foreign_language(text: str) -> str | None:
    """Return the name of the language of a text; None if it is English, or too short to say."""
    language, probability = _identifier().classify(text)
    return NAMES[language] if language != "en" and probability >= MIN_PROBABILITY else None


@cache
def _identifier() -> Any:
    # Imported late: loading the model takes 0.4 s, and only texts of people need it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(["en", *NAMES])
    return identifier
