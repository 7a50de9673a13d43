"""What does a film say in another language? Its file's prose, replaced from the catalogue that lies beside it.

What the studio says for every film goes through `tr`; what a model is asked and answers is never translated.
"""

import sys
from pathlib import Path
from types import ModuleType

from animations.studio.films import FOLDER, check_film
from engine.language.source import Prose, translate
from engine.language.speaking import DOMAIN, ENGLISH, catalogue
from engine.language.speaking import LOCALE as LOCALE_OF_ALL
from engine.reading import read_text

LOCALE = FOLDER / "locale"
# What a film says, and what it writes into its pictures.
PROSE = Prose(
    said=frozenset({"say", "label", "fitted", "words", "corner", "named", "Figure", "Axis"}),
    silent=frozenset({"color"}),
    titles=frozenset({"title", "question", "name", "asks"}),
    returns=True,
    tables=False,
)


def domain_of(film: str) -> str:
    """What a film's catalogue is called: a lesson may have the same name."""
    return f"film-{film}"


def catalogue_of(film: str, language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{domain_of(film)}.mo"


def film_said(film: str, language: str) -> ModuleType | None:
    """The film's module with its prose in a language; None where it has no catalogue, or English is asked for."""
    check_film(film)
    if language == ENGLISH or not catalogue_of(film, language).is_file():
        return None
    name = f"animations.{language}.{film}"
    if name not in sys.modules:
        file = FOLDER / f"{film}.py"
        said = translate(read_text(file), PROSE, catalogue(domain_of(film), LOCALE, language).gettext)
        module = ModuleType(name)
        module.__file__ = str(file)
        sys.modules[name] = module
        try:
            exec(compile(said, str(file), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def files_of(film: str, language: str) -> list[Path]:
    """What a film's words depend on besides its code: the catalogues of a language."""
    if language == ENGLISH:
        return []
    found = [catalogue_of(film, language), LOCALE_OF_ALL / language / "LC_MESSAGES" / f"{DOMAIN}.mo"]
    return [file for file in found if file.is_file()]
