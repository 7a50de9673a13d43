"""In which language is something said? In English, as it stands in the code, or in another that has a catalogue.

A catalogue is a file of gettext's, `locale/<language>/LC_MESSAGES/<domain>.mo`, in the folder that its texts are of.
What the toolkit itself says is in this room's, under the domain "glasstune"; see docs/languages.md.
"""

import gettext
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from engine.errors import InputError

ENGLISH = "en"
DOMAIN = "glasstune"
LOCALE = Path(__file__).parents[1] / "locale"
AUTO = "auto"  # as the environment says: only for who asks for it
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in gettext's order

_spoken = ENGLISH


def languages() -> list[str]:
    """What can be spoken: English, and what there is a catalogue of messages for."""
    return [ENGLISH, *sorted(path.parts[-3] for path in LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))]


def language_of(asked: str) -> str:
    """The language of this name; of "auto", the first of the environment's that there is, or English.

    Raises InputError for one that there is not.
    """
    if asked == AUTO:
        wanted = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "")
        codes = [code.partition(".")[0].partition("_")[0] for code in wanted.split(":")]
        return next((code for code in codes if code in languages()), ENGLISH)
    if asked not in languages():
        raise InputError(f"there is no language {asked!r}; there are: {', '.join(languages())}, and {AUTO}")
    return asked


def spoken() -> str:
    """The language that is spoken now."""
    return _spoken


def speak(language: str) -> None:
    """From now on, in this process, messages are in this language. Raises InputError for one that there is not."""
    global _spoken
    _spoken = language_of(language)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """As `speak`, for a while."""
    before = _spoken
    speak(language)
    try:
        yield
    finally:
        speak(before)


@cache
def catalogue(domain: str, folder: Path, language: str) -> gettext.NullTranslations:
    """The catalogue of a domain in a `locale` folder; where there is none, one that leaves everything as it is."""
    return gettext.translation(domain, folder, [language], fallback=True)


def tr(message: str, /, **fields: object) -> str:
    """A message in the language that is spoken, in English if it is not translated, with its {fields} filled in."""
    said = catalogue(DOMAIN, LOCALE, _spoken).gettext(message) if message else ""
    return said.format(**fields) if fields else said


def in_script(code: str) -> list[str]:
    """What a script for a browser says by a `tr` of its own, with a text in double quotes."""
    return list(dict.fromkeys(re.findall(r'\btr\("([^"\\\n]+)"', code)))
