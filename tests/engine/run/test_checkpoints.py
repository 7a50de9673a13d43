"""Two checkpoints, and what a Trainer leaves behind: the deltas are the difference of the files, streamed."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.measure import norm, relative_norm
from engine.run.tensors import Tensors, to_float32
from glasstune import InputError, Run
from tests.engine.small import save_adapter, save_base, small_model


@pytest.fixture
def pair(tmp_path):
    """A base and a tuned model, in folders."""
    base, model = save_base(tmp_path / "base"), small_model()
    torch.manual_seed(5)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path / "tuned")
    return base, tmp_path / "tuned"


def shard(folder):
    """Split a checkpoint into three files and an index, as transformers does with large ones."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {f"model-0000{at}-of-00003.safetensors": list(tensors)[at::3] for at in range(3)}
    for file, inside in names.items():
        save_file({name: tensors[name] for name in inside}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, inside in names.items() for name in inside}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("sharded", ["neither", "base", "tuned", "both"])
def test_deltas_are_the_difference_of_the_files(pair, sharded):
    before, after = (load_file(folder / "model.safetensors") for folder in pair)
    for folder, name in zip(pair, ("base", "tuned"), strict=True):
        if sharded in (name, "both"):
            shard(folder)
    run = Run.from_checkpoints(*pair, progress=False)
    assert {about.parameter for about in run.info.modules.values()} == set(after)
    assert len(run.modules) == sum(value.ndim == 2 for value in after.values())
    for module in run.modules:
        delta = (after[f"{module}.weight"] - before[f"{module}.weight"]).numpy()
        np.testing.assert_array_equal(run.delta(module), delta)
        np.testing.assert_array_equal(run.weight(module), before[f"{module}.weight"].numpy())
        assert norm(run, module) == pytest.approx(np.linalg.norm(delta), rel=1e-5)
        assert relative_norm(run, module) == pytest.approx(
            np.linalg.norm(delta) / np.linalg.norm(before[f"{module}.weight"].numpy()), rel=1e-5
        )
    assert not any(run.info.differences.values()) and run.info.notes == ()
    with pytest.raises(InputError, match="it has a delta but no factors"):
        run.factors(run.modules[0])


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_every_floating_type_is_read_as_torch_reads_it(tmp_path, dtype):
    torch.manual_seed(0)
    values = torch.cat([torch.randn(700) * 30, torch.tensor([0.0, -0.0, 1e-6, -3e-8])]).to(dtype)
    save_file({"x": values}, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(Tensors(tmp_path).read("x"), values.float().numpy())


@pytest.mark.parametrize("dtype, stored", [(torch.float8_e4m3fn, "F8_E4M3"), (torch.float8_e5m2, "F8_E5M2")])
def test_every_eight_bit_float_is_right(dtype, stored):
    raw = np.arange(256, dtype=np.uint8)
    ours = to_float32(memoryview(raw.tobytes()), stored, np.empty(256, np.float32))
    np.testing.assert_array_equal(ours, torch.from_numpy(raw).view(dtype).float().numpy())


def test_half_of_a_delta_is_exact_in_bfloat16(pair):
    for folder in pair:
        path = folder / "model.safetensors"
        save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path)
    before, after = (load_file(folder / "model.safetensors") for folder in pair)
    run = Run.from_checkpoints(*pair, progress=False)
    name = run.modules[0]
    expected = after[f"{name}.weight"].float() - before[f"{name}.weight"].float()
    np.testing.assert_array_equal(run.delta(name), expected.numpy())


def test_what_differs_is_listed(pair):
    path = pair[1] / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = torch.zeros(100, 32)
    tensors["new.weight"] = torch.zeros(2, 2)
    del tensors["model.norm.weight"]
    save_file(tensors, path)
    run = Run.from_checkpoints(*pair, progress=False)
    differences = run.info.differences
    assert differences["shapes differ"] == ["lm_head.weight (96, 32) -> (100, 32)"]
    assert differences["only in the tuned"] == ["new.weight"]
    assert differences["only in the base"] == ["model.norm.weight"]
    assert len(run.info.notes) == 3 and "lm_head" not in run.modules


def test_a_prefix_that_one_of_the_two_has_does_not_matter(pair):
    path = pair[0] / "model.safetensors"
    save_file({name.removeprefix("model."): value for name, value in load_file(path).items()}, path)
    run = Run.from_checkpoints(*pair, progress=False)
    assert not any(run.info.differences.values()) and "model.layers.0.mlp.up_proj" in run.modules


def test_gpt2s_matrices_are_out_by_in(tmp_path):
    base, model = save_base(tmp_path / "base", "gpt2"), small_model("gpt2")
    model.transformer.h[0].attn.c_attn.weight.data += 1.0
    model.save_pretrained(tmp_path / "tuned")
    run = Run.from_checkpoints(base, tmp_path / "tuned", progress=False)
    name = "transformer.h.0.attn.c_attn"
    assert run.shape(name) == run.delta(name).shape == run.weight(name).shape == (96, 32)
    assert norm(run, name) == pytest.approx(np.sqrt(96 * 32), rel=1e-5)


def test_memory_is_bounded_by_the_largest_matrix(tmp_path):
    matrix = torch.zeros(256, 1024)  # 1 MiB; forty of them
    for name in ("base", "tuned"):
        (tmp_path / name).mkdir()
        save_file({f"layer.{at}.weight": matrix + at for at in range(40)}, tmp_path / name / "model.safetensors")
    tracemalloc.start()
    run = Run.from_checkpoints(tmp_path / "base", tmp_path / "tuned", progress=False)
    scanning = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    run.delta("layer.7")
    reading = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scanning < 24 * 2**20 and reading < 6 * 2**20


def test_nan_and_infinity_are_told_not_hidden(pair):
    path = pair[1] / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"][0, 0] = np.inf
    tensors["model.layers.0.mlp.up_proj.weight"][1, 1] = np.nan
    save_file(tensors, path)
    run = Run.from_checkpoints(*pair, progress=False)
    assert not np.isfinite(norm(run, "lm_head")) and np.isnan(norm(run, "model.layers.0.mlp.up_proj"))


def _overlap(folder):
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    text = json.dumps({"w": one, "x": one}).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]), "was cut short"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x09\0\0\0\0\0\0\0{broken:}"), "header that cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(
            b'\x3d\0\0\0\0\0\0\0{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}0000'),
         "x has 4 bytes for a shape of 8"),
        (_overlap, "x lies where another tensor does"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "is not a safetensors file, or it was cut short"),
        (lambda f: (f / "model.safetensors").unlink(), "is no checkpoint: it holds no safetensors file"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), r"a pickle can run any code.*save_pretrained"),
        (lambda f: shutil.rmtree(f), "does not exist|neither a folder here nor downloaded"),
        (lambda f: (shard(f), next(f.glob("model-00001*")).unlink()), "lacks model-00001-of-00003.safetensors, one of the 3"),
    ],
)  # fmt: skip
def test_a_broken_checkpoint_is_named(pair, spoil, said):
    spoil(pair[1])
    with pytest.raises(InputError, match=said) as caught:
        Run.from_checkpoints(*pair, progress=False)
    assert "\n" not in str(caught.value) and "tuned" in str(caught.value)


def test_two_that_share_nothing(pair, tmp_path):
    with pytest.raises(InputError, match="no tensor of the same name and shape in common"):
        Run.from_checkpoints(pair[0], save_base(tmp_path / "bert", "bert"), progress=False)


# --- what a Trainer leaves behind ----------------------------------------------------------------------

HISTORY = [
    *({"step": step, "epoch": step / 4, "loss": 3 - step / 10, "learning_rate": 1e-3, "grad_norm": 1.0}
      for step in range(1, 9)),
    {"step": 4, "epoch": 1.0, "eval_loss": 2.5}, {"step": 8, "epoch": 2.0, "eval_loss": 2.1},
]  # fmt: skip


def write_state(folder, step):
    history = [line for line in HISTORY if line["step"] <= step]
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": history}))


@pytest.fixture
def adapter_output(tmp_path):
    base = save_base(tmp_path / "base")
    for step in (4, 8):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        save_adapter(folder, base, scale=0.1 * step, target_modules=["q_proj", "v_proj"])
        write_state(folder, step)
    return tmp_path / "out"


def test_a_trainers_adapters_are_steps_of_one_run(adapter_output):
    run = Run.from_trainer_output(adapter_output)
    assert run.steps == [4, 8] and run.method == "lora" and run.info.steps == 8
    assert list(run.metrics.index) == list(range(1, 9)) and run.metrics.loss.iloc[-1] == pytest.approx(2.2)
    assert list(run.skill_losses["held out"]) == [2.5, 2.1] and run.skills.empty
    for step in run.steps:
        alone = Run.from_adapter(adapter_output / f"checkpoint-{step}")
        assert alone.steps == [step]
        for module in run.modules:
            np.testing.assert_array_equal(run.delta(module, step), alone.delta(module))
    with pytest.raises(InputError, match="no step 5; the nearest is 4"):
        run.delta(run.modules[0], 5)


def test_a_trainers_whole_models_need_the_base(pair):
    output = pair[0].parent / "out"
    shutil.copytree(pair[1], output / "checkpoint-8")
    write_state(output / "checkpoint-8", 8)
    without = Run.from_trainer_output(output)
    assert len(without.metrics) == 8 and without.method == "full"
    with pytest.raises(InputError, match=r"is a whole model: give base=\.\.\."):
        without.delta(without.modules[0])
    run = Run.from_trainer_output(output, base=pair[0])
    expected = Run.from_checkpoints(*pair, progress=False)
    assert run.steps == [8] and run.modules == expected.modules == without.modules
    np.testing.assert_array_equal(run.delta(run.modules[3]), expected.delta(run.modules[3]))
    assert norm(run, run.modules[3]) == norm(expected, run.modules[3])


def test_a_log_alone_is_a_run_too(tmp_path):
    write_state(tmp_path, 8)
    run = Run.from_trainer_output(tmp_path)
    assert len(run.metrics) == 8 and run.steps == [] and run.modules == []


@pytest.mark.parametrize(
    "content, said",
    [
        (None, r"holds no trainer_state\.json"),
        ("{", "cannot be read as JSON"),
        ("{}", "transformers' Trainer did not write it"),
    ],
)
def test_a_folder_that_no_trainer_wrote(tmp_path, content, said):
    if content is not None:
        (tmp_path / "trainer_state.json").write_text(content)
    with pytest.raises(InputError, match=said):
        Run.from_trainer_output(tmp_path)
