"""The language that a text is written in."""

import unicodedata
from functools import cache
from typing import Any

NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "es": "Spanish", "fi": "Finnish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
# Above it a text may be English: of short ones the probability is shared by related languages.
MAX_ENGLISH = 0.04
# From it on the language has a name; below, it is a guess.
MIN_PROBABILITY = 0.9


def foreign_language(text: str) -> str | None:
    """Return the language of a text, in words; None if it is English, or too short to say."""
    ranked = _identifier().rank(text)
    (language, probability), english = ranked[0], dict(ranked)["en"]
    if english > MAX_ENGLISH and not _other_script(text):
        return None
    if language != "en" and probability >= MIN_PROBABILITY:
        return NAMES[language]
    return "another language than English"


def _other_script(text: str) -> bool:
    """Return whether most letters of a text are not Latin."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return latin * 2 < len(letters)


@cache
def _identifier() -> Any:
    # Imported late: loading the model takes 0.4 s, and only texts of people need it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(["en", *NAMES])
    return identifier
