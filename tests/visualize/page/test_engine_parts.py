"""What the page does with weights: training that is kept and branched, adapters saved, read, taken apart and mixed."""

import json
import math
import zipfile

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file

from engine.data import encode_all, load
from engine.evaluate import curriculum_probes
from engine.models import load_model
from engine.run.run import Run
from engine.school.curriculum import grade
from tests.visualize.page.node import ask

LORA = {"name": "lora", "rank": 4, "alpha": 12}


@pytest.fixture(scope="module")
def rows():
    from engine.models import load_tokenizer

    encoded = encode_all(load_tokenizer("embedded"), load("spanish").train[:40])
    return [{"ids": row.ids, "labels": row.labels} for row in encoded]


@pytest.fixture(scope="module")
def prompts():
    from engine.models import load_tokenizer

    return [
        load_tokenizer("embedded").apply_chat_template(probe.prompt, add_generation_prompt=True, return_dict=False)
        for probe in curriculum_probes()[:4]
    ]


def trained(rows, folder, method, prompts=(), seed=0, **settings):
    """A training in the page, and the folder that its download unpacks to."""
    archive = folder / f"{method['name']}-{seed}.zip"
    settings = {"steps": 6, "batch": 8, "seed": seed, **settings}
    asked = {"rows": rows, "method": method, "settings": settings, "prompts": list(prompts), "archive": str(archive)}
    answers, parameters = ask("save", folder, says="embedded", **asked)
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.testzip() is None
        zipped.extractall(archive.with_suffix(""))
    return archive, answers, parameters


# --- training -------------------------------------------------------------------------------------------------------


def test_an_adapter_begins_as_pefts_does(rows, tmp_path):
    _, made = ask("train", tmp_path, rows=rows, method=LORA, batches=[])
    for name, values in made.items():
        if name.endswith("lora_B"):
            assert not values.any()
        else:  # evenly in ±1/√in: its spread is that of such a number
            bound = 1 / math.sqrt(values.size / LORA["rank"])
            assert np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert abs(values.mean()) < 0.1 * bound
    _, again = ask("train", tmp_path, rows=rows, method=LORA, batches=[])
    _, other = ask("train", tmp_path, rows=rows, method=LORA, batches=[], settings={"seed": 1})
    assert all((again[name] == made[name]).all() for name in made)
    assert not any((other[name] == made[name]).all() for name in made if name.endswith("lora_A"))


@pytest.mark.parametrize("method", [LORA, {"name": "full"}], ids=["lora", "full"])
def test_a_training_goes_on_from_what_was_kept_of_it(rows, method, tmp_path):
    settings = {"steps": 9, "batch": 16, "mix": 0.25}
    said, _ = ask("branches", tmp_path, rows=rows, replay=rows[:5], method=method, settings=settings, at=4)
    assert said["again"] == said["first"]
    assert said["elsewhere"] == said["first"][0]
    assert said["faster"][0] == said["first"][0]  # the loss before the first step at another rate
    assert said["faster"][1:] != said["first"][1:]


@pytest.mark.parametrize("method", [LORA, {"name": "full"}], ids=["lora", "full"])
@pytest.mark.parametrize(("rate", "at", "back"), [(1e30, None, 0), (1e-3, 3, 3)])
def test_a_training_that_diverges_is_back_where_it_was_sound(method, rate, at, back, tmp_path):
    """Its download held weights that are no numbers, of another step than it said, and going on failed for good."""
    settings = {"steps": 8, "batch": 4, "rate": rate}
    found, _ = ask("diverges", tmp_path, chats=load("spanish").train[:8], method=method, settings=settings, at=at)
    assert f"training diverged, and is back at step {back}" in found["said"]
    assert found["steps"] == found["back"] == back and found["kept"] == list(range(back + 1)) and found["whole"]
    sound = at is not None
    assert found["done"] == (found["again"] == "") == sound and (not sound or found["last"] < 10)


def test_replay_is_the_share_that_was_asked_for(rows, tmp_path):
    """With batches as large as all there is, the loss of the first step is the mean over exactly those examples."""
    replay = rows[30:37]
    asked = {"method": LORA, "settings": {"steps": 1, "batch": 1000, "mix": 0.4}}
    steps, _ = ask("train", tmp_path, rows=rows[:30], replay=replay, **asked)
    mixed = [replay[at % 7] for at in range(20)]
    expected, _ = ask("gradients", tmp_path, rows=rows[:30] + mixed, method=LORA)
    assert steps[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_what_is_mixed_in_is_at_least_one(rows, tmp_path):
    """A share that rounds to none of four examples would be said, and not done."""
    asked = {"method": LORA, "settings": {"steps": 1, "batch": 1000, "mix": 0.05}}
    steps, _ = ask("train", tmp_path, rows=rows[:4], replay=rows[30:32], **asked)
    expected, _ = ask("gradients", tmp_path, rows=[*rows[:4], rows[30]], method=LORA)
    assert steps[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_an_example_is_cut_where_the_context_ends_and_one_without_an_answer_is_left_out(rows, tmp_path):
    long = {"ids": [7] * 900, "labels": [-100] * 500 + [9] * 400}
    cut = {name: values[: load_model().config.max_position_embeddings] for name, values in long.items()}
    late = {"ids": [7] * 900, "labels": [-100] * 890 + [9] * 10}
    asked = {"method": LORA, "settings": {"steps": 1}}
    steps, _ = ask("train", tmp_path, rows=[long, late, {"ids": [5, 6], "labels": [5, -100]}], **asked)
    expected, _ = ask("gradients", tmp_path, rows=[cut], method=LORA)
    assert steps[0]["loss"] == pytest.approx(expected, rel=1e-6)


def test_the_loss_falls(rows, tmp_path):
    steps, _ = ask("train", tmp_path, rows=rows, method=LORA, settings={"steps": 60, "batch": 16})
    assert [step["step"] for step in steps] == list(range(1, 61))
    assert np.mean([step["loss"] for step in steps[-5:]]) < 0.5 * steps[0]["loss"]


# --- downloads ------------------------------------------------------------------------------------------------------


def greedy(model, prompts, answers):
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        assert logits.argmax(-1).tolist() == answer


def test_a_downloaded_adapter_opens_in_peft_and_inspect(rows, prompts, base, tmp_path):
    archive, answers, parameters = trained(rows, tmp_path, LORA, prompts)
    folder = archive.with_suffix("")
    greedy(PeftModel.from_pretrained(base, str(folder)), prompts, answers)
    run = Run.open(str(folder))
    assert run.info.model.source == "embedded"
    for module in run.modules:
        a, b = (parameters[f"{module}.lora_{part}"] for part in "AB")
        np.testing.assert_allclose(run.delta(module, run.steps[-1]), 3 * b.reshape(-1, 4) @ a.reshape(4, -1), atol=1e-6)


def test_a_downloaded_model_opens_in_transformers_and_inspect(rows, prompts, tmp_path):
    archive, answers, _ = trained(rows, tmp_path, {"name": "full"}, prompts)
    greedy(load_model(archive.with_suffix("")), prompts, answers)
    run = Run.from_checkpoints("embedded", archive.with_suffix(""))
    matrices = [name for name, weight in load_model().named_parameters() if weight.ndim == 2]
    assert sorted(run.modules) == sorted(name.removesuffix(".weight") for name in matrices)


# --- the adapter as an instrument -----------------------------------------------------------------------------------


def test_components_are_the_singular_value_decomposition(tmp_path):
    rng = np.random.default_rng(0)
    for to, inner, rank in [(30, 20, 4), (9, 40, 9), (16, 16, 1)]:
        b, a = (rng.standard_normal(shape).astype(np.float32) for shape in ((to, rank), (rank, inner)))
        if rank == 9:
            b[:, 3] = 2 * b[:, 5]  # one dimension fewer than there is room for
        _, made = ask("components", tmp_path, {"a": a, "b": b}, rank=rank, scaling=1.5)
        u, s, v = made["u"].reshape(rank, to), made["s"], made["v"].reshape(rank, inner)
        whole = 1.5 * b.astype(np.float64) @ a
        np.testing.assert_allclose((u.T * s) @ v, whole, atol=1e-5)
        np.testing.assert_allclose(s, np.linalg.svd(whole)[1][:rank], atol=1e-5)
        there = s > 1e-5
        for vectors in (u[there], v[there]):
            np.testing.assert_allclose(vectors @ vectors.T, np.eye(there.sum()), atol=1e-5)


def test_components_of_an_adapter_before_its_first_step_are_none(tmp_path):
    zero = {"a": np.ones((2, 5), np.float32), "b": np.zeros((7, 2), np.float32)}
    _, made = ask("components", tmp_path, zero, rank=2, scaling=1)
    assert not made["s"].any() and np.isfinite(made["u"]).all() and np.isfinite(made["v"]).all()


def test_two_adapters_are_mixed_and_parts_of_them_left_out(rows, prompts, tmp_path):
    folders, parameters = [], []
    for seed in (0, 1):
        archive, answers, made = trained(rows, tmp_path, LORA, prompts, seed=seed, rate=0.01)
        folders.append(str(archive.with_suffix("")))
        parameters.append(made)
    module, other = "model.layers.1.mlp.up_proj", "model.layers.0.self_attn.q_proj"
    settings = [
        [{"strength": 0}, {"strength": 1}],
        [{"strength": -0.5}, {"strength": 1.5}],
        [{"strength": -0.5, "off": [f"{module}#0", f"{module}#2"]}, {"strength": 1.5}],
        [{"strength": -0.5}, {"strength": 1.5, "off": [module]}],
        [{"strength": 0}, {"strength": 0}],
    ]
    asked = {"folders": folders, "settings": settings, "prompts": prompts}
    said, made = ask("play", tmp_path, show=[f"{name}.weight" for name in (module, other)], **asked)
    shown = [[made[str(2 * at + which)] for which in (0, 1)] for at in range(len(settings))]
    base = {name: value.numpy() for name, value in load_model().state_dict().items()}
    deltas = [
        {name: 3 * p[f"{name}.lora_B"].reshape(-1, 4) @ p[f"{name}.lora_A"].reshape(4, -1) for name in (module, other)}
        for p in parameters
    ]
    u, s, v = np.linalg.svd(deltas[0][module].astype(np.float64), full_matrices=False)
    kept = (u[:, [1, 3]] * s[[1, 3]]) @ v[[1, 3]]
    first, second = (delta[module] for delta in deltas)
    expected = [second, -0.5 * first + 1.5 * second, -0.5 * kept + 1.5 * second, -0.5 * first, 0]
    for at, change in enumerate(expected):
        np.testing.assert_allclose(shown[at][0], (base[f"{module}.weight"] + change).ravel(), atol=2e-6)
    mixed = base[f"{other}.weight"] - 0.5 * deltas[0][other] + 1.5 * deltas[1][other]
    for at in (1, 2, 3):
        np.testing.assert_allclose(shown[at][1], mixed.ravel(), atol=2e-6)
    assert said[0]["answers"] == answers  # at full strength it says what it said when it was trained
    assert said[2]["changed"] == said[3]["changed"] == [f"{module}.weight"]
    greedy(load_model(), prompts, said[4]["answers"])  # switched off, the base is back


# --- files and grades -----------------------------------------------------------------------------------------------


def test_tensors_of_any_floating_type_are_read_and_written(tmp_path):
    """ask.mjs reads what the safetensors library wrote, writes it, and Python reads that."""
    rng = np.random.default_rng(0)
    values = np.array([0, -0.0, 1, -2.5, 65504, 6e-8, 6.1e-5, np.inf, -np.inf, np.nan])
    given = {
        "single": rng.standard_normal((3, 4)).astype(np.float32),
        "half": values.astype(np.float16).reshape(2, 5),
        "double": values.astype(np.float64),
        "empty": np.zeros((0, 3), np.float32),
        "ñ": np.ones((), np.float32),
    }
    count, made = ask("tensors", tmp_path, given)
    assert count == len(given)
    for name, value in given.items():
        assert made[name].shape == value.shape
        np.testing.assert_array_equal(made[name], value.astype(np.float32))


def test_bfloat16_is_read(tmp_path):
    from safetensors.torch import save_file as save_torch

    values = torch.randn(50).to(torch.bfloat16)
    save_torch({"x": values}, tmp_path / "other.safetensors")
    _, made = ask("tensors", tmp_path, given_file=str(tmp_path / "other.safetensors"))
    np.testing.assert_array_equal(made["x"], values.float().numpy())


@pytest.mark.parametrize("broken", [b"", b"abc", b"\xff" * 20, (10).to_bytes(8, "little") + b"{not json}", "cut"])
def test_a_broken_file_is_one_sentence(broken, tmp_path):
    path = tmp_path / "broken.safetensors"
    if broken == "cut":
        save_file({"x": np.ones(100, np.float32)}, path)
        broken = path.read_bytes()[:-8]
    path.write_bytes(broken)
    said, _ = ask("complaint", tmp_path, path=str(path))
    assert "safetensors file" in said and "\n" not in said


def test_white_space_at_the_ends_is_what_python_strips(tmp_path):
    characters = [chr(code) for code in range(0x3100)] + ["\ufeff", "\U0001f600"]
    pairs = [["x", f"{one}x{one}"] for one in characters] + [["a b", "a  b"], [" é\n", "é"], ["É", "é"], ["", " "]]
    said, _ = ask("grades", tmp_path, pairs=pairs)
    assert said == [grade(*pair) for pair in pairs]


def test_a_trained_config_names_what_peft_wants(rows, tmp_path):
    archive, _, _ = trained(rows, tmp_path, {**LORA, "targets": ["q_proj", "down_proj"]}, steps=1)
    config = json.loads((archive.with_suffix("") / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 12, ["down_proj", "q_proj"])
    layers = load_model().config.num_hidden_layers
    assert len(load_file(archive.with_suffix("") / "adapter_model.safetensors")) == 2 * 2 * layers
