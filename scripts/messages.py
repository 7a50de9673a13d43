"""What is to be said in other languages? Catalogues of gettext's, from the texts as they stand in the code.

python scripts/messages.py update             after English was edited: the catalogues hold its texts again
python scripts/messages.py update fr lora     the same, and begin a French one of the lesson lora
python scripts/messages.py update de claims   the same for the ledger's sentences, whose trials take long to load
python scripts/messages.py check              status 1 if what is called complete is not, or a catalogue is wrong

A catalogue is locale/<language>/LC_MESSAGES/<domain>.po, for an editor or any of gettext's tools, and
beside it the .mo that is read when Glasstune runs, which both commands compare. "glasstune" is what the toolkit says;
every lesson has its own, and every film: "film-lora". docs/languages.md says more.
"""

import argparse
import ast
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from animations.studio.films import FOLDER as FILM_FOLDER  # noqa: E402
from animations.studio.films import films  # noqa: E402
from animations.studio.language import LOCALE as FILM_LOCALE  # noqa: E402
from animations.studio.language import PROSE as FILM_PROSE  # noqa: E402
from animations.studio.language import domain_of  # noqa: E402
from engine.language.source import fields, headings, messages  # noqa: E402
from engine.language.speaking import DOMAIN, LOCALE, in_script  # noqa: E402
from lessons.teaching.course import FOLDER, lessons  # noqa: E402
from lessons.teaching.language import LEDGER, PROSE  # noqa: E402

COMPLETE = {"de": ("lora", "film-lora")}  # what must be translated whole
_TOOLKIT = ("engine", "visualize", "animations", "lessons")
FILMS = {domain_of(film): film for film in films()}
_SAID = {"tr": 0, "Skill": 1}  # the number of the argument that is said
_TABLES = ROOT / "lessons" / "teaching"  # their headings are said, too
_HOW = "run `python scripts/messages.py update`, translate what is empty in {path}, and run it again"


def texts(domain: str) -> Iterator[tuple[str, str]]:
    """Every text of a domain, and the file that it is in."""
    if domain == LEDGER:
        from lessons.claims.ledger import CLAIMS  # it loads every trial
        from lessons.claims.verdict import VERDICTS, Answer

        for claim in CLAIMS.values():
            said = (claim.sentence, claim.effect, claim.unit, *claim.conditions)
            yield from ((text, claim.id) for text in said if text)
        yield from ((word, "verdicts") for word in (*VERDICTS, *get_args(Answer)))
    elif film := FILMS.get(domain):
        file = FILM_FOLDER / f"{film}.py"
        yield from ((text, file.name) for text in messages(file.read_text(encoding="utf-8"), FILM_PROSE))
    elif domain != DOMAIN:
        file = FOLDER / f"{domain}.py"
        yield from ((text, file.name) for text in messages(file.read_text(encoding="utf-8"), PROSE))
    else:
        for path in sorted((ROOT / "lessons" / "site" / "static").glob("*.js")):
            place = str(path.relative_to(ROOT))
            yield from ((text, place) for text in in_script(path.read_text(encoding="utf-8")))
        for path in (path for room in _TOOLKIT for path in sorted((ROOT / room).rglob("*.py"))):
            tree, place = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(ROOT))
            yield from ((text, place) for text in marked(tree))
            if path.parent == _TABLES:
                yield from ((text, place) for _, text in headings(tree))


def marked(tree: ast.AST) -> Iterator[str]:
    """What the toolkit's own code says by `tr`. (Babel's extractor does not look into f-strings before Python 3.12.)"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SAID:
            given = node.args[_SAID[node.func.id]]
            if isinstance(given, ast.Constant):
                yield str(given.value)


def template(domain: str) -> Catalog:
    found = Catalog(domain=domain, project="Glasstune", charset="utf-8", fuzzy=False)
    for text, place in texts(domain):
        found.add(text, locations=[(place, 0)], flags=["python-brace-format"] if fields(text) else [])
    return found


def folder_of(domain: str) -> Path:
    if domain in FILMS:
        return FILM_LOCALE
    return LOCALE if domain == DOMAIN else FOLDER / "locale"


def path_of(domain: str, language: str) -> Path:
    return folder_of(domain) / language / "LC_MESSAGES" / f"{domain}.po"


def known() -> list[tuple[str, str]]:
    """(language, domain) of every catalogue that there is."""
    folders = (LOCALE, FOLDER / "locale", FILM_LOCALE)
    found = [path for folder in folders for path in folder.glob("*/LC_MESSAGES/*.po")]
    return sorted((path.parts[-3], path.stem) for path in found)


def read(domain: str, language: str) -> Catalog:
    path = path_of(domain, language)
    if not path.exists():
        return Catalog(language, domain, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=domain, abort_invalid=True)


def compiled(catalogue: Catalog) -> bytes:
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def is_compiled(catalogue: Catalog, mo: Path) -> bool:
    """Does the .mo say the same? Its header may tell of another version of Babel."""
    if not mo.exists():
        return False
    with mo.open("rb") as file:
        known = {message.id: message.string for message in read_mo(file) if message.id}
    return known == {one.id: one.string for one in catalogue if one.id and one.string and not one.fuzzy}


def update(domain: str, language: str) -> None:
    """Bring a catalogue up to the texts. What has changed a little is marked as fuzzy, with the old translation."""
    catalogue, wanted = read(domain, language), template(domain)
    wanted.creation_date = catalogue.creation_date  # else each update would be a change
    catalogue.update(wanted, update_header_comment=False)
    catalogue.header_comment = f"# What Glasstune's {domain} says, in {catalogue.locale.english_name}."
    catalogue.obsolete.clear()
    path = path_of(domain, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, width=110, include_lineno=False, no_location=domain != DOMAIN)


def compile_anew(domain: str, language: str) -> None:
    path = path_of(domain, language)
    if not is_compiled(written := read(domain, language), path.with_suffix(".mo")):
        path.with_suffix(".mo").write_bytes(compiled(written))


def wrong(domain: str, language: str) -> Iterator[str]:
    """What is the matter with a catalogue."""
    path = path_of(domain, language)
    catalogue, how = read(domain, language), _HOW.format(path=path.relative_to(ROOT))
    for message in catalogue:
        if message.id and message.string and not message.fuzzy and fields(str(message.string)) != fields(_id(message)):
            yield f"{path.name} ({language}): the translation of {_id(message)!r} has not the same {{fields}}"
    mo = path.with_suffix(".mo")
    if not is_compiled(catalogue, mo):
        yield f"{mo.name} ({language}) is not what {path.name} says; run `python scripts/messages.py update`"
    if domain in COMPLETE.get(language, ()) and (missing := untranslated(domain, catalogue)):
        first = re.sub(r"\s+", " ", missing[0])[:70]
        yield f"{domain} is not complete in {language}: {len(missing)} texts, {first!r} the first; {how}"


def untranslated(domain: str, catalogue: Catalog) -> list[str]:
    every = dict.fromkeys(text for text, _ in texts(domain))
    return [text for text in every if not (one := catalogue.get(text)) or not one.string or one.fuzzy]


def _id(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["update", "check"])
    parser.add_argument("language", nargs="?", help="of a catalogue to begin")
    parser.add_argument("domains", nargs="*", help=f"{DOMAIN}, {', '.join([*lessons(), *FILMS])}")
    chosen = parser.parse_args()
    if unknown := set(chosen.domains) - {DOMAIN, LEDGER, *lessons(), *FILMS}:
        parser.error(f"no catalogue called {min(unknown)!r}")
    if chosen.what == "update":
        named = {(chosen.language, domain) for domain in chosen.domains}
        for language, domain in sorted({*known(), *named}):
            if domain != LEDGER or (language, domain) in named:
                update(domain, language)
            compile_anew(domain, language)
        return 0
    found = [line for language, domain in known() for line in wrong(domain, language)]
    for language, domain in known():
        if domain != LEDGER and (missing := untranslated(domain, read(domain, language))):
            print(f"{domain} ({language}): {len(missing)} texts are not translated yet")
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
