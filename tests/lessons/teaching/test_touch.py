"""A run is offered to be touched: its page in a notebook, in a terminal the command for it, at no cost."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import InputError
from lessons.teaching import touch as touching
from lessons.teaching.session import Session, configure, current

RUN = SimpleNamespace(path=Path("runs/my lora-1/first"), name="first")
COMMAND = "glasstune page 'runs/my lora-1/first' -o first.html"


@pytest.fixture
def shown(monkeypatch):
    said, displayed, before = [], [], current()
    monkeypatch.setattr(touching, "show", said.append)
    monkeypatch.setattr("IPython.display.display", displayed.append)
    monkeypatch.setattr(touching, "show_page", lambda run: ("the page of", run.name))
    yield said, displayed
    configure(before)


@pytest.mark.parametrize(("notebook", "quick"), [(False, False), (False, True), (True, True)])
def test_in_a_terminal_and_with_the_quick_preset_no_page_is_made(notebook, quick, shown, monkeypatch):
    monkeypatch.setattr(touching, "in_notebook", lambda: notebook)
    configure(Session(quick=quick))
    touching.touch(RUN)
    assert shown[0] == [f"To touch it in a browser: {COMMAND}"] and shown[1] == []


def test_in_a_notebook_the_page_stands_there(shown, monkeypatch):
    monkeypatch.setattr(touching, "in_notebook", lambda: True)
    configure(Session(quick=False))
    touching.touch(RUN)
    assert shown[1] == [("the page of", "first")] and shown[0] == []


def test_where_it_cannot_stand_the_reason_and_the_command_are_said(shown, monkeypatch, capsys):
    def missing(run):
        raise InputError("show_page needs anywidget, which is not installed")

    monkeypatch.setattr(touching, "in_notebook", lambda: True)
    monkeypatch.setattr(touching, "show_page", missing)
    configure(Session(quick=False))
    touching.touch(RUN)
    assert "needs anywidget" in capsys.readouterr().out and COMMAND in shown[0][0]
