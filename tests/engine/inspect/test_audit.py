"""glasstune audit: never, once, twice, scaled, on another base; what rounding leaves; tied embeddings; answers."""

import json

import numpy as np
import pandas as pd
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from engine.commands.audit import COMMAND
from engine.evaluate import curriculum_probes, generate_answers
from engine.inspect.answered import questions
from engine.inspect.audit import audit
from engine.measure.storage import STORED, stored_as, survival
from engine.models import load_model, load_tokenizer, load_tuned
from glasstune import InputError
from tests.engine.inspect.test_places import WIDE, adapted, load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
main = COMMAND.main("audit")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base, an adapter of it, the two merged by PEFT, and twice."""
    folder = tmp_path_factory.mktemp("audit")
    for name, seed in (("base", 0), ("other base", 1)):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(WIDE).save_pretrained(folder / name)
    base = folder / "base"
    adapted(load(base), folder / "adapter", base, move=0.05, target_modules=["q_proj", "down_proj"])
    for name, start in (("once", "base"), ("twice", "once"), ("elsewhere", "other base")):
        model = peft.PeftModel.from_pretrained(load(folder / start), folder / "adapter")
        model.merge_and_unload().save_pretrained(folder / name)
    return folder


def change(folder, into, edit):
    into.mkdir()
    tensors = {name: edit(name, value) for name, value in load_file(folder / "model.safetensors").items()}
    save_file(tensors, into / "model.safetensors")
    (into / "config.json").write_text((folder / "config.json").read_text())
    return into


def verdict(found, level="fault"):
    return " | ".join(finding.what for finding in found.findings if finding.level == level)


def look(made, merged):
    return audit(made / "base", made / "adapter", merged, progress=False)


def test_never_once_and_twice(made):
    for name, times in (("base", 0), ("once", 1), ("twice", 2)):
        found = look(made, made / name)
        assert list(found.modules["times"]) == [times] * 4 and not found.changed and not found.unaudited
        np.testing.assert_allclose(found.modules["scale"], times, atol=1e-5)
        said = verdict(found, "fine" if times == 1 else "fault")
        assert {0: "not in at all", 1: "in once", 2: "in twice"}[times] in said and "all 4 modules" in said


def test_the_exit_status(made, capsys):
    assert main([str(made / name) for name in ("base", "adapter", "once")]) == 0
    assert main([str(made / name) for name in ("base", "adapter", "twice")]) == 1
    assert "Is the adapter in it, once?" in capsys.readouterr().out
    assert main([str(made / name) for name in ("base", "adapter", "nowhere")]) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_merge_in_half_precision_is_once(made, tmp_path, dtype):
    half = change(made / "once", tmp_path / "half", lambda name, value: value.to(dtype))
    found = look(made, half)
    assert list(found.modules["times"]) == [1] * 4 and not verdict(found) and not found.changed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_little_further_training_is_told_from_rounding(made, tmp_path, dtype):
    folder = tmp_path / "work"
    folder.mkdir()
    base = change(made / "base", folder / "base", lambda name, value: value.to(dtype))
    name = "model.layers.1.self_attn.v_proj.weight"
    more = change(made / "once", folder / "more", lambda key, value: (value * (1 + 0.002 * (key == name))).to(dtype))
    found = audit(base, made / "adapter", more, progress=False)
    assert found.changed == [name] and "1 (model.layers.1.self_attn.v_proj.weight) that the adapter" in verdict(found)
    half = change(made / "once", folder / "half", lambda key, value: value.to(dtype))
    assert not audit(base, made / "adapter", half, progress=False).changed
    assert not look(made, half).changed  # loaded in another type than the base's own


def test_what_was_not_compared_is_said(made, tmp_path):
    tensors = load_file(made / "once" / "model.safetensors")
    name = next(key for key in tensors if "v_proj" in key)
    (tmp_path / "other").mkdir()
    grown = {**tensors, "score.weight": torch.ones(2, 4), name: torch.ones(3, 5)}
    save_file(grown, tmp_path / "other" / "model.safetensors")
    found = look(made, tmp_path / "other")
    assert "not compared: 1 (score.weight): only in the tuned" in verdict(found, "doubt")
    assert f"not compared: 1 ({name}" in verdict(found, "doubt") and "shapes differ" in verdict(found, "doubt")


def test_what_peft_would_not_find_is_said(made, tmp_path):
    file = "adapter_model.safetensors"
    tensors = load_file(made / "adapter" / file)
    first = next(iter(tensors))
    (tmp_path / "adapter").mkdir()
    save_file({(name.removeprefix("base_model.model.") if "layers.0" in name else name): value
               for name, value in tensors.items()}, tmp_path / "adapter" / file)  # fmt: skip
    text = (made / "adapter" / "adapter_config.json").read_text()
    (tmp_path / "adapter" / "adapter_config.json").write_text(text)
    assert first.startswith("base_model.model.")
    found = audit(made / "base", tmp_path / "adapter", made / "once", progress=False)
    assert "PEFT would not load" in verdict(found)


def test_what_is_quantised_is_not_called_another_bases(made, tmp_path):
    tensors = load_file(made / "once" / "model.safetensors")
    packed = {}
    for name, value in tensors.items():
        if value.ndim < 2 or "proj" not in name:
            packed[name] = value
            continue
        scale = value.abs().amax() / 448
        packed |= {name: (value / scale).to(torch.float8_e4m3fn), f"{name}_scale": scale.reshape(())}
    (tmp_path / "packed").mkdir()
    save_file(packed, tmp_path / "packed" / "model.safetensors")
    found = look(made, tmp_path / "packed")
    assert not found.changed and found.fewer and not verdict(found)
    assert "quantising lost may be all" in verdict(found, "doubt")
    cast = change(made / "once", tmp_path / "cast", lambda name, value: value.to(torch.float8_e5m2))
    found = look(made, cast)
    assert not found.changed and not found.fewer and not verdict(found)


def test_another_base_and_another_adapter(made, tmp_path):
    found = look(made, made / "elsewhere")
    assert "it is on another base" in verdict(found) and "is not this adapter" in verdict(found)
    torch.manual_seed(9)
    other = change(made / "base", tmp_path / "x", lambda n, v: v + 0.01 * torch.randn_like(v) * ("q_proj" in n))
    found = look(made, other)
    assert "what changed in 2 of 4" in verdict(found) and "not in at all in 2 of 4" in verdict(found)
    assert not found.changed


def test_some_modules_only_and_another_strength(made, tmp_path):
    base = load_file(made / "base" / "model.safetensors")
    part = change(made / "once", tmp_path / "part", lambda n, v: base[n] if "layers.0" in n else v)
    found = look(made, part)
    assert "not in at all in 2 of 4 (model.layers.0" in verdict(found) and "in once in 2 of 4" in verdict(found)
    half = change(made / "once", tmp_path / "half", lambda n, v: base[n] + 0.5 * (v - base[n]))
    found = look(made, half)
    assert "with another strength, 0.5 times, in 4 of 4" in verdict(found)
    back = change(made / "once", tmp_path / "back", lambda n, v: base[n] - (v - base[n]))
    assert "another strength, -1 times" in verdict(look(made, back))


def test_what_is_not_in_the_merged_file_is_not_audited(made, tmp_path):
    tensors = load_file(made / "once" / "model.safetensors")
    (tmp_path / "less").mkdir()
    save_file({n: v for n, v in tensors.items() if "0.mlp.down" not in n}, tmp_path / "less" / "model.safetensors")
    found = look(made, tmp_path / "less")
    assert list(found.unaudited) == ["model.layers.0.mlp.down_proj"] and "not audited: 1" in verdict(found, "doubt")
    (tmp_path / "none").mkdir()
    save_file({"something.weight": torch.ones(2)}, tmp_path / "none" / "model.safetensors")
    with pytest.raises(InputError, match="cannot be audited: the merged model has no"):
        look(made, tmp_path / "none")


# --- what survives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form, dtype", [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_rounding_is_torchs(form, dtype):
    torch.manual_seed(0)
    values = torch.cat([torch.randn(5000) * 3, torch.tensor([0.0, -0.0, 1e-8, float("inf"), 65000.0, 1.00390625])])
    np.testing.assert_array_equal(stored_as(values.numpy(), form), values.to(dtype).float().numpy())


def test_eight_bits_are_a_scale_a_row():
    weight = np.float32([[1, -0.5, 0.004], [200, 0.5, -100]])
    expected = [[1, -64 / 127, 1 / 127], [200, 0, -64 * 200 / 127]]
    np.testing.assert_allclose(stored_as(weight, "int8"), expected, rtol=1e-6)


def test_a_small_change_is_lost_in_bfloat16_and_a_large_one_is_not():
    torch.manual_seed(0)
    weight = (torch.randn(64, 64) * 0.02).bfloat16().float().numpy()
    delta = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    lost, whole = (survival(weight, np.float32(size) * delta, "bfloat16") for size in (1e-7, 1e-2))
    assert lost.kept < 0.2 and lost.cosine < 0.5 and whole.kept > 0.99 and whole.cosine > 0.999
    exact = survival(weight, delta * np.float32(1e-7), "float32")
    assert exact.kept == pytest.approx(1, abs=0.05)  # what float32 itself rounds
    assert np.isnan(survival(weight, 0 * delta, "nf4").kept)


def test_the_survey_is_of_the_adapters_own_change(made):
    found = look(made, made / "once")
    before, after = (load_file(made / name / "model.safetensors") for name in ("base", "once"))
    for name, row in found.survival.iterrows():
        weight, merged = (each[f"{name}.weight"].numpy() for each in (before, after))
        for form in STORED:
            moved = stored_as(merged, form) - stored_as(weight, form)
            meant = merged - weight
            cosine = float(np.vdot(moved, meant) / np.linalg.norm(moved) / np.linalg.norm(meant))
            assert row[form, "cosine"] == pytest.approx(cosine, abs=1e-3)
    assert isinstance(found.survival.columns, pd.MultiIndex)


# --- tied embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own_head, tied, level, words", [
    (False, True, "doubt", "is in both now"),
    (True, True, "fault", "is lost when it is loaded"),
    (True, False, "fault", ""),
])  # fmt: skip
def test_a_tied_head(tmp_path, own_head, tied, level, words):
    torch.manual_seed(0)
    embedding, config = torch.randn(32, 16), {"architectures": ["LlamaForCausalLM"]}
    (tmp_path / "base").mkdir()
    save_file({"model.embed_tokens.weight": embedding}, tmp_path / "base" / "model.safetensors")
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    a, b = torch.randn(2, 16), torch.randn(32, 2)
    (tmp_path / "adapter").mkdir()
    name = "base_model.model.lm_head.lora_"
    save_file({f"{name}A.weight": a, f"{name}B.weight": b}, tmp_path / "adapter" / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(about))
    (tmp_path / "merged").mkdir()
    head = {"lm_head.weight": embedding + b @ a, "model.embed_tokens.weight": embedding}
    shared = {"model.embed_tokens.weight": embedding + b @ a}
    save_file(head if own_head else shared, tmp_path / "merged" / "model.safetensors")
    (tmp_path / "merged" / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    found = look(tmp_path, tmp_path / "merged")
    assert list(found.modules["times"]) == [1] and words in verdict(found, level)
    assert bool(verdict(found)) == (level == "fault" and bool(words))


# --- which answers change ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def really_merged(lora_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    load_tuned(lora_run).merge_and_unload().save_pretrained(folder / "once")
    load_model().save_pretrained(folder / "never")
    return lora_run.path / "adapter", folder


def test_the_embedded_model_is_asked_one_question_a_skill(really_merged, lora_run, capsys):
    adapter, folder = really_merged
    assert main(["embedded", str(adapter), str(folder / "once"), "--top", "3"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    found = audit("embedded", adapter, folder / "once", prompts=questions("embedded", None, ()), progress=False)
    tokenizer, prompts = load_tokenizer(), [probe.prompt for probe in curriculum_probes()]
    expected = [generate_answers(model, tokenizer, prompts, 48) for model in (load_model(), load_tuned(lora_run))]
    assert list(found.answers["base"]) == expected[0] and list(found.answers["beside"]) == expected[1]
    differ = sum(one != other for one, other in zip(*expected, strict=True))
    said = f"changes {differ} of {len(prompts)} answers, and the merged model gives all {len(prompts)} as it does"
    assert said in verdict(found, "fine") and said in printed and "What they say, greedily decoded" in printed


def test_answers_that_merging_lost_are_a_doubt(really_merged, tmp_path):
    adapter, folder = really_merged
    rows = [{"instruction": f"How do you say {word} in Spanish?", "output": "x"} for word in ("cat", "dog")]
    (tmp_path / "asked.json").write_text(json.dumps(rows))
    prompts = questions("embedded", tmp_path / "asked.json", ["What is the capital of France?"])
    assert [prompt[-1]["content"] for prompt in prompts][::2] == [
        "What is the capital of France?",
        rows[1]["instruction"],
    ]
    found = audit("embedded", adapter, folder / "never", prompts=prompts, progress=False)
    changed = int((found.answers["beside"] != found.answers["base"]).sum())
    assert changed, "the adapter was trained on Spanish words"
    assert f"answers {changed} otherwise than the adapter beside its base, {changed} of them as the base" in verdict(
        found, "doubt"
    )


def test_nobody_is_asked_where_nothing_is_given(made, tmp_path):
    assert questions(made / "base", None, ()) is None and look(made, made / "once").answers is None
    (tmp_path / "empty.json").write_text(json.dumps([{"text": "no question in it"}]))
    with pytest.raises(InputError, match="there is nothing to ask in"):
        questions(made / "base", tmp_path / "empty.json", ())
