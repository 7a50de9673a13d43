"""python -m engine.inspect: what it says of healthy and of faulty adapters, each fault with its remedy."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.inspect.__main__ import main
from engine.inspect.diagnose import diagnose
from engine.inspect.report import matrix_by_matrix, modules_table, open_two, show_comparison, summary
from engine.measure import effective_rank, norm, relative_norm, singular_values
from engine.terminal import Terminal
from glasstune import InputError, Run, capture
from tests.engine.small import save_adapter, save_base, small_model
from visualize.plots import plot_loss

TARGETS = ["q_proj", "v_proj"]


@pytest.fixture
def base(tmp_path):
    return save_base(tmp_path / "base")


@pytest.fixture
def adapter(base, tmp_path):
    return save_adapter(tmp_path / "adapter", base, target_modules=TARGETS)[1]


def change(folder, edit):
    path = folder / "adapter_model.safetensors"
    save_file({name: edit(name, value) for name, value in load_file(path).items()}, path)


def configure(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def log(folder, **columns):
    length = len(next(iter(columns.values())))
    history = [{"step": at + 1, **{name: values[at] for name, values in columns.items()}} for at in range(length)]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": length, "log_history": history}))


def faults(folder, base=None, level="fault"):
    return [finding for finding in diagnose(Run.from_adapter(folder, base)) if finding.level == level]


def test_a_healthy_adapter_has_no_fault(adapter):
    log(adapter, loss=[3 - at / 10 for at in range(20)], learning_rate=[1e-4] * 20, grad_norm=[1.0] * 20)
    findings = diagnose(Run.from_adapter(adapter))
    assert {finding.level for finding in findings} == {"fine"}
    said = " ".join(finding.what for finding in findings)
    assert "4 of 4 matrices changed" in said and "its place in its base" in said and "loss fell" in said


@pytest.mark.parametrize(
    "spoil, said, remedy",
    [
        (lambda f: change(f, lambda n, v: v * ("lora_A" in n)), "B is still zero in all 4 modules", "after get_peft_model"),
        (lambda f: change(f, lambda n, v: v * np.nan if "0.self_attn.q" in n else v), "NaN or infinity in 1 of 4",
         "lower learning rate"),
        (lambda f: change(f, lambda n, v: v * np.inf), "NaN or infinity in 4 of 4", "lower learning rate"),
        (lambda f: configure(f, lora_alpha=0), "the scaling is zero", "set lora_alpha"),
        (lambda f: configure(f, target_modules=["query", "value"]), "target_modules names 'query', 'value'",
         "the base has .*q_proj"),
        (lambda f: configure(f, base_model_name_or_path="embedded"), "is not the one it was trained on: 4",
         "base_model_name_or_path"),
        (lambda f: log(f, loss=[1.0] * 3, learning_rate=[0.0] * 3), "the learning rate was 0 at all 3", "set learning_rate"),
        (lambda f: log(f, loss=[1.0] * 3, grad_norm=[0.0] * 3), "the gradient norm was 0", "enable_input_require_grads"),
        (lambda f: log(f, loss=[1.0, float("nan")]), "the loss is no number from step 2", "lower learning rate"),
        (lambda f: log(f, loss=[1.0, float("inf"), 1.0]), "no number at 1 of 3 logged steps, first at step 2", "clipping"),
        (lambda f: log(f, loss=[0.0] * 4), "the loss is exactly 0", "all are -100"),
    ],
)  # fmt: skip
def test_each_fault_is_found_with_its_remedy(adapter, spoil, said, remedy):
    spoil(adapter)
    (found,) = faults(adapter)
    assert said in found.what
    assert pd.Series([found.remedy]).str.contains(remedy).all()


def test_a_prefix_that_hides_an_adapter_from_peft(adapter):
    path = adapter / "adapter_model.safetensors"
    save_file({name.replace(".model.", ".model._orig_mod.", 1): v for name, v in load_file(path).items()}, path)
    (found,) = faults(adapter)
    assert "PEFT would not load 8" in found.what and "unwrapped" in found.remedy


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda f: change(f, lambda n, v: v * ("lora_B" not in n or "v_proj" in n)), "no change at all in 2 of 4"),
        (lambda f: change(f, lambda n, v: v * np.float32(1e-15) if "lora_B" in n else v), "which float32 cannot add"),
        (lambda f: change(f, lambda n, v: v * np.float32(1e-42) if "lora_B" in n else v), "which float32 cannot add"),
        (lambda f: log(f, loss=[2.0, 2.1] * 20), "did not fall clearly"),
        (lambda f: configure(f, target_modules=["q_proj", "v_proj", "qq_proj"]), "names 'qq_proj', and"),
    ],
)
def test_what_may_be_meant_is_a_doubt(adapter, spoil, said):
    spoil(adapter)
    assert not faults(adapter)
    (found,) = faults(adapter, level="doubt")
    assert said in found.what and found.remedy


def looped(out, every: int, steps: int = 40, model=None, **options):
    """A plain loop that says its learning rate at every step, and its loss (which falls) at some; 0: at none."""
    model = model or torch.nn.Linear(3, 2, bias=False)
    with capture(model, out, say=False, **options) as recorder:
        for step in range(steps):
            torch.nn.init.normal_(model.weight)
            recorder.step(learning_rate=1e-3, **({"loss": 3 - step / 20} if every and step % every == 0 else {}))
    return recorder.run


@pytest.mark.parametrize(
    "every, said", [(1, "the training loss fell"), (2, "the training loss fell"), (10, ""), (0, "")]
)
def test_a_loss_that_was_not_logged_is_none_that_is_no_number(tmp_path, capsys, every, said):
    run = looped(tmp_path / "run", every)
    found = diagnose(run)
    assert all(finding.level == "fine" for finding in found)
    assert any(said in finding.what for finding in found) and len(run.losses) == (40 // every if every else 0)
    assert (f"{len(run.losses)} logged losses, 3 to" in "\n".join(summary(run))) is bool(every)
    with nullcontext() if every else pytest.raises(InputError, match="logged no training loss"):
        plot_loss(run)


def test_a_run_that_is_not_whole_says_so(tmp_path, capsys):
    def spoil(**values):
        info = json.loads((tmp_path / "run" / "run.json").read_text())
        (tmp_path / "run" / "run.json").write_text(json.dumps({**info, **values}))
        return [finding.what for finding in diagnose(Run.load(tmp_path / "run")) if finding.level == "doubt"]

    model = torch.nn.Linear(3, 2, bias=False)
    looped(tmp_path / "run", 1, steps=4, model=model, total=6)
    assert not spoil()
    assert spoil(status="running") == ["it has not ended: it is being trained still, or was killed"]
    (said,) = spoil(status="stopped", why="before training: KeyboardInterrupt")
    assert said == "it was stopped, before training: KeyboardInterrupt"
    (said,) = spoil(status="incomplete", why="at step 4: No space left on device")
    assert "ended before training did, at step 4: No space left on device" in said
    run = looped(tmp_path / "run", 1, steps=2, model=model, resumed=4)  # gone on with, and seen to its end
    assert run.info.why is None and run.status == "finished" and len(run.metrics) == 6
    assert "an earlier capture ended at step 4: No space" in run.info.notes[0] and not spoil()


def test_an_adapter_of_nothing(adapter):
    path = adapter / "adapter_model.safetensors"
    save_file({name: value[:0] for name, value in load_file(path).items()}, path)
    assert "8 (base_model.model." in faults(adapter)[0].what and "empty, as DeepSpeed ZeRO-3" in faults(adapter)[0].what


def test_a_parameter_that_holds_nothing_is_no_division_by_zero(tmp_path):
    model = torch.nn.Linear(3, 2)
    model.empty = torch.nn.Parameter(torch.zeros(0, 3))
    with capture(model, tmp_path / "run", every=1, say=False) as recorder:
        torch.nn.init.ones_(model.weight)
        recorder.step(loss=1.0)
    assert any("1 of 3 tensors (1 of 2 matrices) changed" in found.what for found in diagnose(recorder.run))


def test_the_table_is_what_is_measured(adapter):
    run = Run.from_adapter(adapter)
    table = modules_table(run)
    assert sorted(table.index) == sorted(run.modules)
    assert list(table["relative"]) == sorted(table["relative"], reverse=True)
    for name, row in table.iterrows():
        assert row["norm"] == norm(run, name) and row["relative"] == relative_norm(run, name)
        assert row["effective_rank"] == effective_rank(singular_values(run, name)) and row["of"] == 4


def test_ranks_are_computed_of_the_first_few_only(adapter):
    run = Run.from_adapter(adapter)
    whole, part = modules_table(run), modules_table(run, ranks=3)
    assert list(whole.index) == list(part.index) and part["effective_rank"].isna().sum() == len(run.modules) - 3
    assert part["effective_rank"].iloc[:3].equals(whole["effective_rank"].iloc[:3])


def test_without_the_base_the_table_is_by_norm(adapter):
    configure(adapter, base_model_name_or_path="nobody/nothing")
    table = modules_table(Run.from_adapter(adapter))
    assert table["relative"].isna().all() and list(table["norm"]) == sorted(table["norm"], reverse=True)


def test_the_summary_says_what_was_trained(adapter):
    said = "\n".join(summary(Run.from_adapter(adapter)))
    share = 100 * (4 * 2 * 2 * 32 * 2 + 0) / small_model().num_parameters()
    assert "rank 4, alpha 8, targets q_proj, v_proj" in said and "weights trained" in said
    assert share > 0


def test_comparing_a_run_with_itself_and_with_another(adapter, base, tmp_path):
    run = Run.from_adapter(adapter)
    same = matrix_by_matrix(run, run)
    np.testing.assert_allclose(same[["overlap_in", "overlap_out", "cosine"]], 1, atol=1e-3)
    shutil.copytree(adapter, tmp_path / "other")
    torch.manual_seed(9)
    change(tmp_path / "other", lambda name, value: torch.randn_like(value))
    other = matrix_by_matrix(run, Run.from_adapter(tmp_path / "other"))
    assert len(other) == 4 and list(other["chance"]) == [4 / 32] * 4
    assert other["overlap_in"].mean() == pytest.approx(4 / 32, abs=0.08), "strangers overlap as chance has it"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_kind_of_path(adapter, base, tmp_path, lora_run, capsys):
    model = small_model()
    model.model.layers[0].mlp.up_proj.weight.data += 0.1
    model.save_pretrained(tmp_path / "tuned")
    output = tmp_path / "out"
    shutil.copytree(adapter, output / "checkpoint-20")
    log(output / "checkpoint-20", loss=[3 - at / 10 for at in range(20)])
    tuned = str(tmp_path / "tuned")
    for arguments, said in (
        ([str(adapter)], "adapter, lora"),
        ([str(adapter / "adapter_model.safetensors")], "adapter, lora"),
        ([str(base), str(adapter)], "adapter, lora"),
        ([str(adapter), str(base)], "adapter, lora"),
        ([str(base), tuned], "checkpoints, unknown"),
        ([tuned, "--base", str(base)], "checkpoints, unknown"),
        ([str(output)], "trainer output, lora"),
        ([str(lora_run.path)], "run, lora"),
        ([str(adapter), str(output / "checkpoint-20")], "Do they go the same way?"),
    ):
        assert main(arguments) == 0, arguments
        printed = capsys.readouterr().out
        assert said in printed.replace("\n", " "), arguments
        assert "Did it learn anything?" in printed and "Traceback" not in printed
    assert "model.layers.0.mlp.up_proj" in open_two(str(base), tuned)[0].modules


def test_a_hub_id_that_is_downloaded_is_looked_at_as_a_folder_is(base, adapter, tmp_path, monkeypatch, capsys):
    """By what lies there, whichever stands first: a base, what was tuned from it, an adapter."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    for name, folder in (("base", base), ("adapter", adapter)):
        place = tmp_path / "hub" / f"models--owner--{name}"
        shutil.copytree(folder, place / "snapshots" / ("a" * 40))
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("a" * 40)
    alone = Run.from_adapter(adapter, base).modules
    for both in (("owner/base", adapter), (adapter, "owner/base"), ("owner/base", "owner/adapter")):
        run, other = open_two(*map(str, both))
        assert other is None and run.modules == alone and run.base == "owner/base" and run.weight(alone[0]).any()
    small_model(seed=1).save_pretrained(tmp_path / "tuned")
    run, other = open_two("owner/base", "tuned")
    assert other is None and run.norms.equals(Run.from_checkpoints(base, tmp_path / "tuned", progress=False).norms)
    assert main(["owner/base"]) == 2
    assert "owner/base is a whole model: give its base before it" in capsys.readouterr().err


def test_the_exit_status_tells_scripts(adapter, capsys):
    change(adapter, lambda name, value: value * ("lora_A" in name))
    assert main([str(adapter)]) == 1
    assert main(["/nowhere/at/all"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: /nowhere/at/all does not exist") and said.count("\n") == 1


def test_a_whole_model_alone_asks_for_its_base(base, capsys):
    assert main([str(base)]) == 2
    assert "is a whole model: give its base before it" in capsys.readouterr().err


def test_two_that_share_nothing(adapter, tmp_path):
    bert = save_adapter(tmp_path / "b", save_base(tmp_path / "bert", "bert"), "bert", target_modules=["query"])[1]
    pair = Run.from_adapter(adapter), Run.from_adapter(bert)
    assert matrix_by_matrix(*pair).empty
    with pytest.raises(InputError, match="changed no matrix of the same name and size"):
        show_comparison(*pair, matrix_by_matrix(*pair), Terminal())


def test_a_narrow_terminal_cuts_nothing_that_matters(adapter):
    from engine.inspect.report import show

    console = Terminal(width=60, record=True)
    assert not show(Run.from_adapter(adapter), console)
    assert "4 of 4 matrices changed" in console.export_text().replace("\n", " ")


def test_two_adapters_are_opened_beside_the_base_that_is_given(monkeypatch):
    asked = []
    monkeypatch.setattr(Run, "open", lambda path, base=None: asked.append((path, base)))
    open_two("one", "other", "base")
    assert asked == [("one", "base"), ("other", "base")]
