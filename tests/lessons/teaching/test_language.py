"""A lesson is given in another language: whole where it is called complete, and as the same program."""

import gettext
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from engine.language.speaking import speaking
from lessons.handout.notebooks import make_notebook
from lessons.teaching import stage
from lessons.teaching.asking import exercise, predict
from lessons.teaching.course import FOLDER
from lessons.teaching.language import said_in
from lessons.teaching.percent import read_cells
from tests.programs import run_module

ROOT = Path(__file__).parents[3]


def test_the_catalogues_are_right_and_complete_where_they_are_said_to_be():
    """Whoever edits English is told what to do: the message names the command and the file."""
    done = subprocess.run([sys.executable, "scripts/messages.py", "check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_lora_in_german_walks_through(tmp_path):
    done = run_module("lessons", "lora", "--auto", "--quick", "--no-film", "--language", "de", "--out", tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    for said in (
        "Vorhersage: ",
        "Gemessen: nur B",
        "Übung: ",
        "Die Antwort: ",
        "Die Lektion dauerte",
        "vergessen (Nats",
    ):
        assert said in done.stdout
    assert not re.search(r"Predict|Measured: only|Exercise:|The answer|picture:", done.stdout)


def test_a_notebook_speaks_the_language_it_is_in(tmp_path):
    path = make_notebook("lora", tmp_path, edition="student", language="de")
    cells = nbformat.read(path, 4).cells
    assert path.name == "lora.de.ipynb" and cells[0].source.startswith("# LoRA: Fine-Tuning")
    assert next(cell for cell in cells if cell.id == "install").source.endswith('speak("de")')
    assert "statt der Punkte" in next(cell for cell in cells if cell.id.startswith("answer")).source


def test_a_lesson_without_a_catalogue_stays_as_it_is_and_that_is_said(small, capsys):
    assert said_in(small, "de") == small.read_text(encoding="utf-8")
    assert "the lesson small is not translated yet" in capsys.readouterr().out


def test_cells_keep_their_lines():
    """So that a traceback of a translated lesson is true of the file that one opens."""
    file = FOLDER / "lora.py"
    before, after = read_cells(file.read_text(encoding="utf-8")), read_cells(said_in(file, "de"))
    for one, other in zip(before, after, strict=True):
        assert (one.kind, one.line, one.tags) == (other.kind, other.line, other.tags)


def test_questions_and_tables_are_said_in_it_and_answers_are_kept_with_it(watched):
    typed, said = watched
    stage.current().lesson = "lora"
    typed += ["2", "falsch", "7"]
    with speaking("de"):
        predict("Welche?", {"diese": "", "jene": "darum"}).reveal("jene")
        exercise("Wie viele?", answer=7, hint="zähle")
        stage.show(
            pd.DataFrame({"norm of delta-W": [1.0], "it says": ["weights"]}, index=pd.Index(["m"], name="module"))
        )
    told = said.getvalue()
    assert "Gemessen: jene - wie vorhergesagt.\nWarum: darum" in told and "Noch nicht. Hinweis: zähle" in told
    assert "Norm von delta-W" in told and "Modul" in told and "Antwort" in told
    assert "weights" in told, "what a model says is no heading"
    kept = stage.current()
    from lessons.teaching import progress

    assert {one["language"] for one in progress.load(kept.lesson)["exercises"].values()} == {"de"}


@pytest.mark.parametrize("name", ["LANG", "LANGUAGE"])
def test_the_machines_language_is_not_followed(name, monkeypatch, watched):
    _, said = watched
    monkeypatch.setenv(name, "de_DE.UTF-8")
    stage.current().interactive = False
    predict("Which?", ["one", "other"]).reveal("one")
    assert "Measured: one" in said.getvalue()


def test_what_the_ledger_says_in_a_complete_lesson_is_translated_too():
    """Mended by: python scripts/messages.py update de claims, and a translation."""
    from lessons.claims.ledger import CLAIMS

    called = re.search(r'ledger\((".+")\)', (FOLDER / "lora.py").read_text(encoding="utf-8"))
    assert called
    claims = [CLAIMS[name] for name in re.findall(r'"([\w-]+)"', called[1])]
    said = {text for claim in claims for text in (claim.sentence, claim.effect, claim.unit, *claim.conditions) if text}
    catalogue = gettext.translation("claims", FOLDER / "locale", ["de"])
    known = {text for text in said if catalogue.gettext(text) != text}
    assert {text for text in said - known if re.search(r"[a-z]{4}", text)} == set()
