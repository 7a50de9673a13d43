"""What a Trainer left: of which training each checkpoint is, and at which step the result stands."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from engine.inspect.__main__ import main
from engine.inspect.diagnose import diagnose
from engine.run.stores.state import STATE
from glasstune import InputError, Run
from tests.engine.small import save_adapter, save_base, small_model


def state(step, seed=0, **more):
    """What a Trainer that logs each step has written by `step`: every training has losses of its own."""
    log = [{"step": at, "loss": 3 + seed - at / 10, "learning_rate": 1e-3} for at in range(1, step + 1)]
    log += [{"step": at, "eval_loss": 4 + seed - at / 10} for at in range(10, step + 1, 10)]
    return {"global_step": step, "max_steps": 30, "log_history": log} | more


def write(folder, about, when=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE).write_text(json.dumps(about))
    if when is not None:
        os.utime(folder / STATE, (when, when))


def scale(folder, by):
    path = folder / "adapter_model.safetensors"
    save_file({name: value * by for name, value in load_file(path).items()}, path)


@pytest.fixture
def output(tmp_path):
    """Checkpoints 10, 20 and 30, each with B and A larger than before."""
    base = save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    for step in (10, 20, 30):
        place = tmp_path / "out" / f"checkpoint-{step}"
        shutil.copytree(tmp_path / "adapter", place)
        scale(place, step)
        write(place, state(step))
    return tmp_path / "out"


def copy_to_root(output, step):
    for file in (output / f"checkpoint-{step}").glob("adapter_*"):
        shutil.copy(file, output)


def test_one_training_is_as_before(output):
    run = Run.open(output)
    assert run.steps == [10, 20, 30] and run.result == 30 and not run.info.notes
    write(output, state(30))
    copy_to_root(output, 30)
    assert Run.open(output).steps == [10, 20, 30] and Run.open(output).result == 30


def test_the_best_that_was_loaded_at_the_end_is_the_result(output, capsys):
    copy_to_root(output, 20)
    write(output, state(30, best_global_step=20, best_model_checkpoint="out/checkpoint-20"))
    run, module = Run.open(output), "model.layers.0.self_attn.q_proj"
    assert run.steps == [10, 20, 30] and run.result == 20
    np.testing.assert_array_equal(run.delta(module), run.delta(module, 20))
    assert run.norm(module) == pytest.approx(run.norm(module, 30) * (20 / 30) ** 2, rel=1e-5)
    assert run.when(20) == "step 20, the result" and run.when(30) == "step 30"
    assert main([str(output)]) == 0
    assert "the result is step 20: the folder's own weights are those of checkpoint-20" in capsys.readouterr().out


def test_the_step_is_found_by_equality_whatever_the_state_says(output):
    copy_to_root(output, 10)
    assert Run.open(output).result == 10  # no state beside it


def test_a_result_that_equals_no_checkpoint(output):
    copy_to_root(output, 30)
    scale(output, 5)
    write(output, state(30))
    run, module = Run.open(output), "model.layers.0.self_attn.q_proj"
    alone = Run.from_adapter(output)
    assert run.result == 30 and run.norm(module) == alone.norm(module)
    assert "stand here in the place of checkpoint-30" in run.info.notes[0]
    write(output, state(35))
    run = Run.open(output)
    assert run.steps == [10, 20, 30, 35] and run.result == 35 and not run.info.notes


def test_of_two_folders_of_one_number_the_trainers_own_name_counts_and_the_other_is_named(output):
    shutil.copytree(output / "checkpoint-20", output / "checkpoint-0020")
    scale(output / "checkpoint-0020", 7)
    norms = Run.open(output).norms
    run = Run.open(output)
    assert run.steps == [10, 20, 30] and run.info.notes == (
        "checkpoint-0020 has the number of checkpoint-20, and is left out",
    )
    shutil.rmtree(output / "checkpoint-0020")
    assert Run.open(output).norms.equals(norms)


def test_two_trainings_are_not_joined_and_the_folders_own_state_decides(output):
    for step in (10, 20):
        write(output / f"checkpoint-{step}", state(step, seed=1))
    write(output, state(20, seed=1))
    run = Run.open(output)
    assert run.steps == [10, 20] and run.info.steps == 20 and run.metrics.loss.loc[20] == pytest.approx(2)
    assert len(run.metrics) == 20 and run.info.notes == (
        "checkpoint-30 is of another training, whose log differs, and is left out",
    )
    write(output, state(30))
    run = Run.open(output)
    assert run.steps == [30] and len(run.metrics) == 30 and len(run.info.notes) == 2


def test_without_an_own_state_the_last_written_decides(output):
    for step in (10, 20, 30):
        write(output / f"checkpoint-{step}", state(step, seed=int(step < 30)), when=1000 + step * (step < 30))
    run = Run.open(output)
    assert run.steps == [10, 20] and list(run.skill_losses["held out"]) == [4, 3]
    for step in (10, 20, 30):
        os.utime(output / f"checkpoint-{step}" / STATE, (1000, 1000))  # as after `cp -r`
    with pytest.raises(InputError, match=r"several trainings \(checkpoint-10, checkpoint-20, checkpoint-30\)"):
        Run.open(output)


def test_a_training_that_went_on_from_a_checkpoint_is_one(output):
    for step in (10, 20, 30):
        write(output / f"checkpoint-{step}", state(step, max_steps=20 if step < 30 else 40))
    assert Run.open(output).steps == [10, 20, 30]


def test_whole_models_sharded_or_not(tmp_path):
    base, model = save_base(tmp_path / "base"), small_model()
    for step in (10, 20):
        model.model.norm.weight.data += 1
        model.save_pretrained(tmp_path / "out" / f"checkpoint-{step}")
        write(tmp_path / "out" / f"checkpoint-{step}", state(step))
    for file in (tmp_path / "out" / "checkpoint-10").glob("*.safetensors"):
        shutil.copy(file, tmp_path / "out")
    run = Run.from_trainer_output(tmp_path / "out", base)
    assert run.result == 10 and run.norm("model.norm") == pytest.approx(32**0.5)
    assert not [finding for finding in diagnose(run) if finding.level == "fault"]


def empty(file, part):
    """As DeepSpeed ZeRO-3 leaves tensors that it has not gathered."""
    save_file({name: w.new_zeros(0) if part in name else w for name, w in load_file(file).items()}, file)


def test_a_step_that_zero_3_left_empty_is_a_sentence_and_the_others_are_read(output):
    empty(output / "checkpoint-20" / "adapter_model.safetensors", "layers.0.")
    run, (first, second) = Run.open(output), Run.open(output).modules
    for ask in (run.delta, run.factors, run.norm, run.moved, run.rounding):
        with pytest.raises(InputError, match=f"checkpoint-20 does not tell .*{first}: .*ZeRO-3.*zero_to_fp32.py"):
            ask(first, 20)
    assert run.norm(second, 20) and run.norm(first, 10) and run.norm(first, 30)
    write(output, state(30, best_global_step=10))
    copy_to_root(output, 10)
    empty(output / "checkpoint-30" / "adapter_model.safetensors", "lora_B")
    run = Run.open(output)
    assert run.result == 10 and run.weight(first).shape == (32, 32)  # W is asked of the result, not of the last step


def test_a_whole_model_that_zero_3_left_empty_is_a_sentence(tmp_path):
    base, model = save_base(tmp_path / "base"), small_model()
    for step in (10, 20):
        model.save_pretrained(tmp_path / "out" / f"checkpoint-{step}")
        write(tmp_path / "out" / f"checkpoint-{step}", state(step))
    empty(tmp_path / "out" / "checkpoint-10" / "model.safetensors", "layers.0.")
    run, module = Run.open(tmp_path / "out", base), "model.layers.0.self_attn.q_proj"
    with pytest.raises(InputError, match=f"checkpoint-10 does not tell the change of {module}: .*zero_to_fp32.py"):
        run.norm(module, 10)
    assert run.norm(module, 20) == 0 and run.norm("model.layers.1.self_attn.q_proj", 10) == 0
