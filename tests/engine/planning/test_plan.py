"""A plan is of the real thing: it counts what a run then holds, and leaves nothing behind."""

import pytest

from engine.finetune import main
from engine.planning.plan import plan_finetuning
from glasstune import InputError, LoRA, QLoRA, finetune


def size_of(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_is_planned_is_what_a_run_then_takes(tmp_path):
    told = {"steps": 4, "skills": 1, "batch_size": 4, "every": 1, "evaluate_at": 2, "progress": False, "answers": False}
    plan = plan_finetuning("embedded", "spanish", LoRA(r=4), out=tmp_path / "run", **told)
    assert not list(tmp_path.iterdir()), "nothing is written"
    run = finetune("embedded", "spanish", LoRA(r=4), out=tmp_path / "run", **told)
    assert plan.steps == 4 and plan.captures == len(run.steps) == 5 and plan.evaluations == len(run.skills)
    assert plan.trainable == sum(run.info.modules[m].r * sum(run.shape(m)) for m in run.modules)
    assert plan.captured == pytest.approx(size_of(run.path / "captures"), rel=0.1)
    adapter = run.path / "adapter" / "adapter_model.safetensors"
    assert plan.result == pytest.approx(adapter.stat().st_size, rel=0.2)
    state = 8 * plan.trainable + 4 * 2 * len(run.modules)  # two moments a weight, and of each A and B the steps done
    assert plan.held[1:] == (4 * plan.trainable, state) and plan.checkpoint == 4 * plan.trainable + state
    assert plan.copied == 4 * plan.trainable and plan.seconds_a_step > 0 and plan.seconds_an_evaluation > 0


def test_of_four_bits_and_of_an_optimizer_without_moments_what_is_there_is_counted(tmp_path):
    told = {"steps": 4, "skills": 0, "batch_size": 4, "answers": False, "out": tmp_path / "run"}
    plan, whole = (
        plan_finetuning(method=method, trainer={"optim": "sgd"}, **told) for method in (QLoRA(r=2), LoRA(r=2))
    )
    assert plan.parameters == whole.parameters and whole.held[2] == 0 and whole.checkpoint == whole.held[1]


def test_a_dry_run_says_memory_time_and_disk(tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        main(["--out", str(out), "--method", "full", "--steps", "3", "--skills", "1", "--batch-size", "2", "--dry-run"])
        == 0
    )
    said = capsys.readouterr().out
    for word in ("memory: ", "s a step, measured", "evaluations of about", "disk: ", "Nothing was kept or written."):
        assert word in said, said
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="learning_rate is -1"):
        plan_finetuning(out=out, learning_rate=-1.0)
