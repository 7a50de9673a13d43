"""Nothing is called unchanged that was not looked at: every tensor is compared, whatever its shape and its name."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.inspect.__main__ import main
from engine.inspect.diagnose import diagnose
from engine.inspect.report import modules_table
from engine.recording.callback import capture
from glasstune import InputError, Run
from tests.engine.small import save_base, small_model
from visualize import plots


def tuned(base, folder, edit, rename=lambda name: name):
    """A copy of a checkpoint, its tensors edited and renamed."""
    folder.mkdir()
    tensors = {rename(name): edit(name, value.clone()) for name, value in load_file(base / "model.safetensors").items()}
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / "model.safetensors")
    if (base / "config.json").is_file():
        (folder / "config.json").write_text((base / "config.json").read_text())
    return folder


def said(run, level=None):
    return " | ".join(finding.what for finding in diagnose(run) if level in (None, finding.level))


KINDS = {
    "biases": ("gpt2", lambda name: name.endswith(".bias"), 13),
    "biases of an encoder": ("bert", lambda name: name.endswith("bias"), 19),
    "norms": ("llama", lambda name: "norm" in name, 5),
    "one norm": ("llama", lambda name: name == "model.norm.weight", 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_matrix_changes_too(kind, tmp_path):
    model, chosen, count = KINDS[kind]
    base = save_base(tmp_path / "base", model)
    run = Run.from_checkpoints(base, tuned(base, tmp_path / "tuned", lambda n, v: v + 0.25 * chosen(n)), progress=False)
    table = modules_table(run)
    moved = table[table["norm"] > 0]
    assert len(moved) == count and f"{count} of {len(run.info.modules)} tensors (0 of" in said(run, "fine")
    for name, row in moved.iterrows():
        size = run.module(name).shape[0]
        assert row["norm"] == pytest.approx(0.25 * size**0.5, rel=1e-5) and np.isnan(row["effective_rank"])
    assert not said(run, "fault")


def test_convolutions_and_stacks_of_experts(tmp_path):
    torch.manual_seed(0)
    weights = {"conv.weight": torch.randn(6, 4, 3, 3), "layers.0.experts.gate_up_proj": torch.randn(3, 8, 5),
               "layers.0.conv1d.weight": torch.randn(6, 2, 3), "scale": torch.tensor(2.0)}  # fmt: skip
    for name, step in (("base", 0), ("tuned", 1)):
        (tmp_path / name).mkdir()
        save_file({key: value + step * torch.outer(torch.arange(value.shape[0]) + 1.0, torch.ones(value[0].numel()))
                   .reshape(value.shape) if value.ndim else value + 0.5 * step
                   for key, value in weights.items()}, tmp_path / name / "model.safetensors")  # fmt: skip
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    table = modules_table(run)
    assert table.loc["conv", "norm"] == pytest.approx(np.sqrt(sum(n**2 for n in range(1, 7)) * 36), rel=1e-5)
    assert table.loc["conv", "of"] == 6 and table.loc["conv", "effective_rank"] == pytest.approx(1, abs=1e-2)
    assert table.loc["layers.0.conv1d", "of"] == 6
    stack = table.loc["layers.0.experts.gate_up_proj"]  # each expert's change is one number everywhere: rank 1
    assert stack["of"] == 5 and stack["effective_rank"] == pytest.approx(1, abs=1e-2)
    assert stack["norm"] == pytest.approx(np.sqrt((1 + 4 + 9) * 40), rel=1e-5)
    assert table.loc["scale", "norm"] == 0.5
    assert "4 of 4 tensors" in said(run, "fine")


RENAMED = {
    "another version's": (lambda n: n.replace("model.", "model.language_model.", 1), lambda n: f"language_model.{n}"),
    "a prefix": (lambda n: n, lambda n: n.removeprefix("model.")),
    "compiled": (lambda n: f"_orig_mod.{n}", lambda n: n),
    "compiled layer by layer": (lambda n: n.replace(".mlp.", "._orig_mod.mlp."), lambda n: n),
    "FSDP's": (lambda n: n.replace("layers.", "_fsdp_wrapped_module.layers."), lambda n: n),
    "checkpointing's": (lambda n: n.replace("mlp.", "mlp._checkpoint_wrapped_module."), lambda n: n),
    "DDP's": (lambda n: f"module.{n}", lambda n: n),
}


@pytest.mark.parametrize("kind", RENAMED)
def test_renamed_tensors_are_found(kind, tmp_path):
    after, before = RENAMED[kind]
    plain = save_base(tmp_path / "plain")
    base = tuned(plain, tmp_path / "base", lambda n, v: v, before)
    run = Run.from_checkpoints(base, tuned(plain, tmp_path / "tuned", lambda n, v: v + 0.5, after), progress=False)
    assert len(run.info.modules) == len(load_file(plain / "model.safetensors")) and not run.info.differences
    for name, about in run.info.modules.items():
        assert run.norm(name) == pytest.approx(0.5 * np.prod(about.shape) ** 0.5, rel=1e-4)
        assert after(about.in_base if kind not in ("another version's", "a prefix") else "") in (
            "",
            about.parameter,
        ) or (about.in_base.split(".")[-2:] == about.parameter.split(".")[-2:])


def test_what_has_no_counterpart_is_never_called_unchanged(tmp_path):
    base = save_base(tmp_path / "base")
    other = tuned(base, tmp_path / "tuned", lambda n, v: v + ("up_proj" in n), lambda n: n.replace("up_proj", "w3"))
    run = Run.from_checkpoints(base, other, progress=False)
    assert not said(run, "fault") and "nothing changed" not in said(run)
    doubts = said(run, "doubt")
    assert "2 (model.layers.0.mlp.w3.weight, ...): only in the tuned" in doubts
    assert "2 (model.layers.0.mlp.up_proj.weight, ...): only in the base" in doubts
    assert "the 19 that could be compared did not change" in doubts


def test_nothing_changed_where_every_tensor_was_compared(tmp_path, capsys):
    base = save_base(tmp_path / "base")
    same = tuned(base, tmp_path / "same", lambda n, v: v)
    assert main([str(base), str(same)]) == 1
    assert "nothing changed in all 21 tensors" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("tied_side", ["base", "tuned"])
def test_a_tied_head_is_compared_with_the_embedding(tmp_path, tied_side):
    embedding, head = torch.randn(16, 4), torch.randn(16, 4)
    config = json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
        tied = name == tied_side
        save_file({"model.embed_tokens.weight": embedding, **({} if tied else {"lm_head.weight": head})},
                  tmp_path / name / "model.safetensors")  # fmt: skip
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    sign = 1 if tied_side == "base" else -1
    np.testing.assert_allclose(run.delta("lm_head"), sign * (head - embedding).numpy(), rtol=1e-6)
    assert run.norm("model.embed_tokens") == 0 and "1 of 2 matrices changed" in said(run)
    assert "its head as well" in run.info.notes[0]


def test_a_backbone_has_no_head_to_be_tied(tmp_path):
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"architectures": ["LlamaModel"]}))
    save_file({"embed_tokens.weight": torch.ones(8, 2)}, tmp_path / "base" / "model.safetensors")
    save_file({"embed_tokens.weight": torch.ones(8, 2), "lm_head.weight": torch.zeros(8, 2)},
              tmp_path / "tuned" / "model.safetensors")  # fmt: skip
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert run.info.differences == {"only in the tuned": ["lm_head.weight"]}


def test_types_that_differ_are_compared_as_numbers(tmp_path):
    base = save_base(tmp_path / "base")
    other = tuned(base, tmp_path / "tuned", lambda n, v: v.bfloat16())
    run = Run.from_checkpoints(base, other, progress=False)
    name = "model.layers.0.mlp.up_proj"
    before = load_file(base / "model.safetensors")[f"{name}.weight"]
    np.testing.assert_array_equal(run.delta(name), (before.bfloat16().float() - before).numpy())


def test_whole_numbers_are_compared_and_buffers_are_not_missed(tmp_path):
    for name, count in (("base", 3), ("tuned", 5)):
        (tmp_path / name).mkdir()
        save_file({"norm.num_batches": torch.tensor(count), "w.weight": torch.ones(2, 2)}
                  | ({"rotary_emb.inv_freq": torch.ones(4)} if name == "base" else {}),
                  tmp_path / name / "model.safetensors")  # fmt: skip
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    assert run.norm("norm.num_batches") == 2 and run.norm("w") == 0
    assert list(run.info.differences) == ["in one only, but a library computes them anew"]
    assert "not compared" not in said(run)


def test_tensors_that_were_not_gathered_and_those_that_no_file_holds(tmp_path):
    base = save_base(tmp_path / "base")
    other = tuned(base, tmp_path / "tuned", lambda n, v: v.new_empty(0) if "q_proj" in n else v + 1)
    run = Run.from_checkpoints(base, other, progress=False)
    assert "2 (model.layers.0.self_attn.q_proj.weight, ...): empty, as DeepSpeed ZeRO-3" in said(run, "fault")
    (other / "model.safetensors").rename(other / "model-00001-of-00001.safetensors")
    names = [*load_file(other / "model-00001-of-00001.safetensors"), "model.layers.9.mlp.up_proj.weight"]
    weight_map = dict.fromkeys(names, "model-00001-of-00001.safetensors")
    (other / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    run = Run.from_checkpoints(base, other, progress=False)
    assert "1 (model.layers.9.mlp.up_proj.weight) named in the index, but no file holds it" in said(run, "fault")


# --- a captured run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def biases_only(tmp_path_factory):
    folder = tmp_path_factory.mktemp("biases")
    model = small_model("gpt2")
    model.save_pretrained(folder / "base")
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.endswith(".bias")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with capture(model, folder / "run", total=2, every=1) as recorder:
        for _ in range(2):
            loss = model(input_ids=torch.arange(12)[None], labels=torch.arange(12)[None]).loss
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
    return Run.load(folder / "run"), model, folder / "base"


def test_a_captured_run_of_biases_is_looked_at(biases_only, capsys):
    run, model, base = biases_only
    before = load_file(base / "model.safetensors")
    assert run.modules == [] and len(run.info.modules) == 13
    for name, after in model.named_parameters():
        if name.endswith(".bias"):
            assert run.norm(name) == pytest.approx(float((after.detach() - before[name]).norm()), rel=1e-4)
    assert main([str(run.path)]) == 0
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "13 of 13 tensors (0 of 0 matrices) changed" in shown and "a vector" in shown


@pytest.mark.parametrize("name", ["plot_delta", "plot_factors", "plot_spectrum", "plot_energy", "plot_weight"])
def test_a_picture_of_a_matrix_says_that_there_is_none(biases_only, name):
    with pytest.raises(InputError, match=r"changed no matrix.*it changed 13 parameters.*plot_layers and plot_norms"):
        getattr(plots, name)(biases_only[0])
    with pytest.raises(InputError, match=r"has the shape \(128,\), and this picture shows a matrix"):
        getattr(plots, name)(biases_only[0], module="transformer.h.0.mlp.c_fc.bias")


def test_pictures_of_the_whole_model_draw_biases(biases_only):
    run = biases_only[0]
    drawn = plots.plot_layers(run, relative=False).images[0].get_array()
    assert drawn.shape == (2, 6) and drawn[0].max() == pytest.approx(
        max(run.norm(name) for name in run.info.modules if ".h.0." in name), rel=1e-6
    )
    assert plots.plot_norms(run).get_lines()
    plt.close("all")
