"""What does a lesson say in another language? Its file, its prose replaced from the catalogue that lies beside it."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from engine.language.source import Prose, translate
from engine.language.speaking import AUTO, ENGLISH, catalogue, languages, spoken, tr
from engine.reading import read_text
from engine.terminal import note
from lessons.teaching.course import FOLDER, about, file_of
from lessons.teaching.session import current

LEDGER = "claims"  # the catalogue of what the ledger says
# What a lesson asks and shows.
PROSE = Prose(
    frozenset({"predict", "exercise", "exercise_code", "show", "conclude", "reveal", "withhold"}),
    frozenset({"name", "solution", "test"}),
)


def add_language(parser: ArgumentParser) -> None:
    """In which language a lesson is to be. Nothing but this decides it: a machine's own language is not followed."""
    parser.add_argument(
        "--language",
        default=ENGLISH,
        help=f"{', '.join(languages())}; or {AUTO}, as LANGUAGE or LANG says (default: en)",
    )


def locale_of(file: Path) -> Path:
    """Where the catalogues of a lesson lie: beside its file, one's own as those of the course."""
    return file.parent / "locale"


def said_in(file: Path, language: str) -> str:
    """A lesson's source in a language; what is not translated stays in English, and where nothing is, that is said."""
    source = read_text(file)
    if language == ENGLISH:
        return source
    if file.stem not in translated(locale_of(file), language):
        note(f"the lesson {file.stem} is not translated yet; its own text is in English (docs/languages.md)")
    return translate(source, PROSE, _gettext(file.stem, locale_of(file), language))


def translated(folder: Path, language: str) -> list[str]:
    """The lessons that there is a catalogue for."""
    return sorted(path.stem for path in folder.glob(f"{language}/LC_MESSAGES/*.mo"))


def title_of(lesson: str) -> str:
    """A lesson's title in the language that is spoken."""
    file = file_of(lesson)
    return _gettext(file.stem, locale_of(file), spoken())(about(lesson).title)


def heading(text: str) -> str:
    """What a table's column is called, in the language that is spoken: its name in the data is English, and a key."""
    if not text.strip():
        return text
    said = _gettext(current().lesson, FOLDER / "locale", spoken())(text)
    return said if said != text else tr(text)


def of_ledger(text: str) -> str:
    """What the claims' ledger says: a sentence, what was measured, its unit, a condition, an answer."""
    return _gettext(LEDGER, FOLDER / "locale", spoken())(text) if text else ""


def _gettext(lesson: str, folder: Path, language: str) -> Callable[[str], str]:
    return catalogue(lesson, folder, language).gettext
