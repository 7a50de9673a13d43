"""Every setting, tried with everything that is wrong: a training that could begin, or one sentence. Never a trace.

The settings are read from their own list, so that a new one is tried too.
"""

from dataclasses import fields

import pytest
from torch import nn

from engine.commands.finetune import COMMAND
from engine.errors import InputError
from engine.recording.recorder import Recorder
from engine.training.finetune import finetune
from engine.training.methods import METHODS, method_options
from engine.training.prepare import Prepared
from engine.training.request import Request
from glasstune import CaptureCallback, capture

WRONG = [
    None, True, -1, 0, 1.5, 10**12, 10**400, float("inf"), float("nan"), -1e308, "", "x" * 300, "\0", "(", "(a+)+$", "~nobody",
    [], [[]], [""], {}, {"a": 1}, {"": None}, b"x", object(),
]  # fmt: skip
TYPED = [
    "",
    "x" * 300,
    "-1",
    "0",
    "1.5",
    "inf",
    "nan",
    "1e400",
    "1" * 5000,
    "(",
    "{",
    "[" * 2000,
    "a=b",
    "=",
    "--",
    "\x1b[2J",
    "²",
]
DATA = [{"prompt": f"say {word}", "completion": word} for word in ("a", "b", "c")]


class WouldTrain(BaseException):
    """Everything was found to be right, and the model would be loaded now."""


@pytest.fixture(autouse=True)
def before_training(monkeypatch, tokenizer, tmp_path):
    def model(self):
        raise WouldTrain

    monkeypatch.setattr(Prepared, "model", model)
    known = ("embedded", None)
    monkeypatch.setattr(
        "engine.training.prepare.load_tokenizer", lambda source: tokenizer if source in known else load(source)
    )
    monkeypatch.chdir(tmp_path)


def load(source):
    from engine.models import load_tokenizer

    return load_tokenizer(source)


def sentence(error):
    said = str(error)
    assert said and "\n" not in said and len(said) < 700, said
    return said


@pytest.mark.parametrize("name", [about.name for about in fields(Request)])
def test_of_finetune(name, tmp_path):
    for value in WRONG:
        told = {
            "data": DATA,
            "out": tmp_path / "run",
            "steps": None if name == "epochs" else 1,
            "skills": 0,
            "progress": False,
        }
        try:
            finetune(**{**told, name: value})
        except WouldTrain:
            continue
        except InputError as error:
            sentence(error)
    assert not any(path.suffix != ".lock" for path in tmp_path.iterdir()), "and nothing was written"


@pytest.mark.parametrize("name", method_options())
def test_of_methods(name):
    for kind in METHODS.values():
        for value in WRONG if name in {about.name for about in fields(kind)} else ():
            try:
                kind(**{name: value})
            except InputError as error:
                assert name in sentence(error)


@pytest.mark.parametrize("name", [about.name for about in fields(Recorder)])
def test_of_capture(name, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.recording.recorder.find_show", lambda: None)  # live=True would serve a page
    for number, value in enumerate(WRONG):
        told = {"model": nn.Linear(2, 1), "out": tmp_path / "runs" / str(number), "total": 1, "say": False}
        try:
            with capture(**{**told, name: value}) as recorder:
                recorder.step(loss=1.0)
        except InputError as error:
            sentence(error)
            assert not (tmp_path / "runs" / str(number)).exists(), "nothing was written"
        else:
            assert recorder.run.status == "finished" and recorder.run.steps


@pytest.mark.parametrize("name", [about.name for about in fields(CaptureCallback) if about.init])
def test_of_the_callback(name, tmp_path):
    for value in WRONG:
        try:
            CaptureCallback(**{"out": tmp_path, name: value})
        except InputError as error:
            sentence(error)


@pytest.mark.parametrize("name", [*(about.name for about in fields(Request)), *method_options()])
def test_of_the_command_line(name, tmp_path, capsys):
    (tmp_path / "data.jsonl").write_text(
        "".join(f'{{"prompt": "say {word}", "completion": "{word}"}}\n' for word in "abc")
    )
    main = COMMAND.main("finetune")
    flag = f"--{name.replace('_', '-')}"
    for value in TYPED:
        given = ["--data", "data.jsonl", "--out", "run", "--skills", "0", "--method", "qlora", f"{flag}={value}"]
        try:
            assert main(given) == 2
        except WouldTrain:
            continue
        except SystemExit as ended:
            assert ended.code == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said and said.rstrip("\n").split("\n")[-1].count("error: ") == 1, said
        assert "\x1b" not in said
