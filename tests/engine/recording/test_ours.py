"""Nothing of a user's is deleted: what is not a Run of ours, written for this very purpose, stays or is moved aside."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from torch import nn
from transformers import TrainerCallback

from animations.studio import runs
from engine.files import aside
from engine.recording.folder import claim_folder
from engine.recording.lock import lock, unlock
from engine.recording.ours import clear
from glasstune import CaptureCallback, InputError, LoRA, Run, capture, finetune
from tests.engine.small import BRIEF

from .test_capture import make, trainer_of

OPTIONS: dict = {**BRIEF, "steps": 8, "batch_size": 2, "every": 2}


def contents(folder: Path) -> dict[str, str]:
    """Every file, by name and digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def own(tmp_path, lora_run) -> Path:
    """A finished Run of ours."""
    return Path(shutil.copytree(lora_run.path, tmp_path / "runs" / "mine"))


@pytest.mark.parametrize("notes", [
    "notes.txt", "captures/notes.txt", "adapter/merged/model.gguf", "model", "checkpoints/step-000004 copy/rest.json",
    "captures/step-999999.safetensors/mine", "mine.part",
])  # fmt: skip
def test_a_file_of_the_users_anywhere_in_a_run_keeps_it(own, notes):
    (own / notes).parent.mkdir(parents=True, exist_ok=True)
    (own / notes).write_text("mine")
    before = contents(own)
    with pytest.raises(InputError, match=r"is not deleted: .* in it is not a run's"):
        finetune("embedded", "spanish", "lora", out=own, overwrite=True, **OPTIONS)
    assert contents(own) == before
    said = clear(own)
    assert said and str(own.with_name("mine.kept-1")) in said
    assert contents(own.with_name("mine.kept-1")) == before and not own.exists()


def test_a_run_of_ours_makes_room_and_a_name_that_is_taken_is_left(own):
    kept = own.with_name("mine.kept-1")
    kept.write_text("taken")
    link = own.with_name("link")
    link.symlink_to(own)
    said = clear(link)
    assert said and own.is_dir() and link.with_name("link.kept-1").is_symlink()
    assert clear(own) is None and not own.exists() and clear(own) is None
    own.write_text("a file")
    assert aside(own) == own.with_name("mine.kept-2") and kept.read_text() == "taken"


@pytest.mark.parametrize("what", ["a run", "a film's run with notes", "a broken recipe", "a file", "an old film's run"])
def test_a_films_run_does_not_take_the_place_of_a_users(what, own, monkeypatch, capsys):
    monkeypatch.setenv("GLASSTUNE_RUNS", str(own.parent))
    monkeypatch.setitem(
        runs.RECIPES, "lora", runs.Recipe("spanish", "lora", {"r": 2}, {"steps": 1, "skills": 0, "answers": False})
    )
    folder = runs.folder_of("lora")
    own.rename(folder)
    if what != "a run":
        recipe = {"data": "spanish", "method": "lora", "base": "another"}
        (folder / "recipe.json").write_text(json.dumps(recipe) if what != "a broken recipe" else "{")
    if what.endswith("notes"):
        (folder / "notes.txt").write_text("mine")
    if what == "a file":
        shutil.rmtree(folder)
        folder.write_text("mine")
    before = contents(folder)
    kept = folder.with_name(f"{folder.name}.kept-1")
    assert runs._made("lora", progress=False).steps == [0, 1]
    if what == "an old film's run":
        assert not kept.exists() and not capsys.readouterr().err
    else:
        assert str(kept) in capsys.readouterr().err
        assert contents(kept) == before if kept.is_dir() else kept.read_text() == "mine"
    assert runs._made("lora", progress=False).info.raw == Run.load(folder).info.raw  # it is found, not made again


def test_a_run_of_a_name_as_long_as_any_is_made_and_made_again(tmp_path):
    out = tmp_path / ("r" * 255)
    for overwrite in (False, True):
        with capture(nn.Linear(2, 2), out, overwrite=overwrite, say=False) as loop:
            loop.step(loss=1.0)
    assert Run.load(out).status == "finished" and list(tmp_path.iterdir()) == [out]
    (out / "mine.txt").touch()
    assert clear(out) is not None and not out.exists() and len(list(tmp_path.iterdir())) == 1


class Stop(TrainerCallback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.at:
            raise KeyboardInterrupt


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Calls finetune, cut off at a step, as a kill does."""
    import engine.training.finetune as module

    whole = module.make_trainer

    def go(at: int | None, **options) -> Run | None:
        def cut(*args):
            trainer = whole(*args)
            if at is not None:
                trainer.add_callback(Stop(at))
            return trainer

        monkeypatch.setattr(module, "make_trainer", cut)
        try:
            return finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "run", **OPTIONS, **options)
        except KeyboardInterrupt:
            return None

    return go


@pytest.mark.parametrize("lost", ["step", "folder", "half"])
def test_without_its_checkpoint_a_run_is_not_begun_anew(stopped, lost, tmp_path):
    stopped(7, checkpoint=3)
    out = tmp_path / "run"
    checkpoint = out / "checkpoints" / "step-000006"
    if lost == "half":
        (checkpoint / "rest.json").write_text("{")
        said = r"rest.json cannot be read .*; give another folder, or overwrite=True instead"
    else:
        shutil.rmtree(checkpoint if lost == "step" else checkpoint.parent)
        said = "cannot be resumed: its checkpoints are gone; give another folder, or overwrite=True instead"
    before = contents(out)
    with pytest.raises(InputError, match=said):
        stopped(None, checkpoint=3, resume=True)
    after = contents(out)
    assert before == after if lost != "half" else before.keys() == after.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert stopped(None, checkpoint=3, overwrite=True).status == "finished"


def test_a_run_that_has_only_begun_makes_room_but_not_with_notes_in_it(stopped, tmp_path, capsys):
    stopped(2, checkpoint=4)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert stopped(2, checkpoint=4, resume=True) is None
    assert (tmp_path / "run.kept-1" / "notes.txt").read_text() == "mine" and "run.kept-1" in capsys.readouterr().err
    assert stopped(None, checkpoint=4, resume=True).status == "finished"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.kept-1"}


def test_of_two_that_begin_in_one_folder_one_gets_it(tmp_path, monkeypatch):
    out = tmp_path / "run"
    (out / "captures").mkdir(parents=True)  # as a kill leaves it
    for half in ("metrics.jsonl", ".run.json.999999999.part", "captures/.step-000001.safetensors.999999999.part"):
        (out / half).touch()
    held = claim_folder(out)
    assert {path.name for path in out.rglob("*")} == {"captures", "run.lock"}
    with pytest.raises(InputError, match="is being written by another process"):
        claim_folder(out)
    with monkeypatch.context() as late:  # that one looked before the first one had its lock
        late.setattr("engine.recording.folder.check_free", lambda out, overwrite: Path(out))
        with pytest.raises(InputError, match="is being written by another process"):
            claim_folder(out)
        unlock(out, held)
        real = lock(out)

        def locked(folder):
            (folder / "run.json").write_text("{}")  # the first one is done meanwhile
            return real

        late.setattr("engine.recording.folder.lock", locked)
        with pytest.raises(InputError, match="already holds another run"):
            claim_folder(out)
    assert (out / "run.json").read_text() == "{}"


def test_a_users_copy_of_a_checkpoint_outlives_training(stopped, tmp_path, capsys):
    stopped(5, checkpoint=2)
    folder = tmp_path / "run" / "checkpoints"
    shutil.copytree(folder / "step-000004", folder / "step-000004-best")
    before = contents(folder / "step-000004-best")
    assert stopped(None, checkpoint=2, resume=True).status == "finished" and not folder.exists()
    assert contents(folder.with_name("checkpoints.kept-1") / "step-000004-best") == before
    assert "checkpoints.kept-1" in capsys.readouterr().err


@pytest.mark.parametrize("first", ["finished", "stopped"])
@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
@pytest.mark.parametrize("search", [False, True])
def test_a_second_train_with_the_same_callback_leaves_the_first_ones_run(first, options, search, tmp_path):
    callback = CaptureCallback(tmp_path / "run", every=1, say=False, **options)
    stop = Stop(2 if first == "stopped" else -1)
    trainer = trainer_of(tmp_path / "t", make(), callback, more=[stop], auto_find_batch_size=search)
    try:
        trainer.train()
    except KeyboardInterrupt:
        assert first == "stopped"
    stop.at = -1
    callback.settle()
    ends = ("run.json", "start-scratch.safetensors", "run.lock")  # the Run is closed, which these say
    before = {name: digest for name, digest in contents(tmp_path / "run").items() if name not in ends}
    with pytest.raises(InputError, match=r"earlier train\(\), which stays; give this one a CaptureCallback of its own"):
        trainer.train()
    assert contents(tmp_path / "run").items() >= before.items() and "norms.jsonl" in before
    assert Run.load(tmp_path / "run").status == first and not (tmp_path / "run" / "run.lock").exists()
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    trainer.train()
    assert Run.load(tmp_path / "run").steps == [0, 1, 2, 3, 4]


def test_a_smaller_batch_begins_the_same_run_again(tmp_path):
    class TooLarge(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            if state.train_batch_size == 4 and state.global_step == 2:
                raise RuntimeError("CUDA out of memory.")

    callback = CaptureCallback(tmp_path / "run", every=1, say=False)
    trainer_of(tmp_path / "t", make(), callback, more=[TooLarge()], auto_find_batch_size=True).train()
    assert callback.run.steps == [0, 1, 2, 3, 4] and callback.run.status == "finished"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("run")] == ["run"]
