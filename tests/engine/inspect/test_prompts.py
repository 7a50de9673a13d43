"""Prompts that were saved: their lengths, nearest tokens, and movement where it can be known; nothing else is said."""

import json

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Trainer, TrainingArguments

from engine.commands.inspect import COMMAND
from engine.inspect.prompts import distances, look
from engine.models import load_model, load_tokenizer
from engine.run.adapters.prompts import HasPrompts, read_vectors
from engine.run.base import EMBEDDED
from glasstune import InputError, Run
from tests.engine.peft_methods import PROMPTS, TOKENS, config_of, steps_of
from tests.engine.recording.test_capture_prompts import answer, build, saved
from tests.engine.small import small_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
main = COMMAND.main("inspect")
VECTORS = sorted(PROMPTS - {"ADAPTION_PROMPT"})


def keep(model, folder, **settings):
    model.save_pretrained(folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    return folder


def trained(kind, **options):
    model = build(kind, **options)
    for _ in steps_of(model, answer):
        pass
    return model


def said(found, level):
    return " | ".join(finding.what for finding in found.findings if finding.level == level)


@pytest.mark.parametrize("kind", VECTORS)
def test_the_vectors_are_those_that_act(kind, tmp_path):
    model = trained(kind)
    vectors = read_vectors(keep(model, tmp_path / "adapter"))
    wanted = saved(model)
    if kind == "MULTITASK_PROMPT_TUNING":
        tokens, task = model.prompt_tokens["default"].unsqueeze(0), torch.zeros(1, dtype=torch.long)
        wanted = model.prompt_encoder["default"](tokens, task)[0].detach().numpy()
    np.testing.assert_allclose(vectors.rows, wanted, atol=1e-7)
    with pytest.raises(HasPrompts, match=f"{kind}: it trains prompts .* no delta-W; glasstune inspect"):
        Run.open(tmp_path / "adapter")
    found = look(tmp_path / "adapter")
    np.testing.assert_allclose(found.table["norm"], np.linalg.norm(wanted, axis=1), rtol=1e-5)
    assert "token" not in found.table and "moved" not in found.table  # no base, so nothing is said of tokens
    assert "is not known" in said(found, "doubt") and "changed" not in str(found.findings)


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING", "CPT"])
def test_each_is_beside_the_base_token_that_it_is_nearest_to(kind, tmp_path):
    base = small_model()
    base.save_pretrained(tmp_path / "base")
    found = look(keep(trained(kind), tmp_path / "adapter"), tmp_path / "base")
    rows, tokens = torch.from_numpy(found.vectors.rows), base.get_input_embeddings().weight.detach()
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], tokens[None], dim=-1)
    assert list(found.table["token"]) == cosines.argmax(dim=1).tolist()
    np.testing.assert_allclose(found.table["cosine"], cosines.max(dim=1).values, atol=1e-5)
    np.testing.assert_allclose(found.table["distance"], torch.cdist(rows, tokens).min(dim=1).values, rtol=1e-3)
    np.testing.assert_allclose(
        found.table["relative"], rows.norm(dim=1) / tokens.norm(dim=1).double().quantile(0.5), rtol=1e-4
    )
    if kind == "CPT":  # it begins as tokens that its settings name
        np.testing.assert_allclose(found.table["moved"], (rows - tokens[[1, 2]]).norm(dim=1), rtol=1e-4)
        assert "2 of 2 vectors moved from where they began" in said(found, "fine")


def test_one_that_began_as_words_says_how_far_each_moved(tmp_path):
    words = "The capital of France is"
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=9, prompt_tuning_init="TEXT",
                                     prompt_tuning_init_text=words, tokenizer_name_or_path="engine/base")  # fmt: skip
    base, tokenizer = load_model(EMBEDDED), load_tokenizer(EMBEDDED)
    ids = (tokenizer(words)["input_ids"] * 9)[:9]  # repeated, as PEFT does
    model = peft.get_peft_model(base, config)
    about = {"tokenizer_name_or_path": EMBEDDED}
    untrained = look(keep(model, tmp_path / "untrained", **about), EMBEDDED)
    assert list(untrained.table["text"]) == [tokenizer.decode([one]) for one in ids]
    assert "as they began" in said(untrained, "fault") and not untrained.table["moved"].any()
    moves = torch.randn(9, config.token_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight += moves
    found = look(keep(model, tmp_path / "trained", **about), EMBEDDED)
    np.testing.assert_allclose(found.table["moved"], moves.norm(dim=1), rtol=1e-4)
    other = look(keep(model, tmp_path / "other", tokenizer_name_or_path="nobody/nothing"), EMBEDDED)
    assert "moved" not in other.table and "is not known" in said(other, "doubt")


def test_vectors_that_are_still_tokens_learned_nothing(tmp_path):
    base = small_model()
    base.save_pretrained(tmp_path / "base")
    model = peft.get_peft_model(base, config_of("PROMPT_TUNING", prompt_tuning_init="SAMPLE_VOCAB"))
    found = look(keep(model, tmp_path / "adapter"), tmp_path / "base")
    assert "tokens' own embeddings, as they begin" in said(found, "fault")
    assert main([str(tmp_path / "base"), str(tmp_path / "adapter")]) == 1


def scaled(folder):
    """Gemma 3 in small: its embedding's module gives sqrt(32) times what is stored."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                              num_key_value_heads=1, head_dim=16, vocab_size=96, pad_token_id=0)  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("make", [scaled, lambda folder: small_model().save_pretrained(folder) or folder])
@pytest.mark.parametrize("kind, options", [("PROMPT_TUNING", {"prompt_tuning_init": "SAMPLE_VOCAB"}), ("CPT", {})])
def test_vectors_begin_as_what_the_module_gives_in_the_type_it_was_loaded_in(kind, options, make, dtype, tmp_path):
    base = make(tmp_path / "base")
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype)), config_of(kind, **options)
    )
    untrained = look(keep(model, tmp_path / "untrained"), base)
    assert "as they beg" in said(untrained, "fault") and not untrained.table["distance"].any()
    moves = 0.1 * torch.randn(model.prompt_encoder["default"].embedding.weight.shape)
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight += moves
    found = look(keep(model, tmp_path / "trained"), base)
    assert not said(found, "fault")
    if kind == "CPT":
        np.testing.assert_allclose(found.table["moved"], moves.norm(dim=1), rtol=1e-5 if dtype == "float32" else 0.02)
    tokens = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings()(torch.arange(96)).detach()
    np.testing.assert_allclose(found.table["relative"], found.table["norm"] / np.median(tokens.norm(dim=1)), rtol=1e-4)


@pytest.mark.parametrize("ids", [[1, 96], [96, 97], [-1, 1]])
def test_a_start_that_is_no_token_of_the_base_is_not_known(ids, tmp_path):
    small_model().save_pretrained(tmp_path / "base")
    found = look(keep(trained("CPT"), tmp_path / "adapter", cpt_token_ids=ids), tmp_path / "base")
    assert "moved" not in found.table and not said(found, "fine")
    assert f"begin it as tokens {ids[0]} to {ids[1]}, and " in said(found, "doubt")
    assert "is not known" in said(found, "doubt")


def test_adaption_prompts_are_let_in_by_their_gates(tmp_path):
    assert "every gate is zero" in said(look(keep(build("ADAPTION_PROMPT"), tmp_path / "untrained")), "fault")
    model = trained("ADAPTION_PROMPT")
    found = look(keep(model, tmp_path / "trained"))
    values = {
        name.rpartition(".")[2]: value.detach() for name, value in model.named_parameters() if value.requires_grad
    }
    np.testing.assert_allclose(found.vectors.rows, values["adaption_prompt"][0], atol=1e-7)
    assert found.vectors.gates == {"layers.1": pytest.approx(torch.tanh(values["adaption_gate"]).item())}
    assert list(found.table.index) == ["layers.1: 0", "layers.1: 1", "layers.1: 2"]
    assert not said(found, "fault")


def test_a_trainers_checkpoints_say_how_the_vectors_went(tmp_path):
    rows = [{"input_ids": row.tolist(), "labels": row.tolist()} for row in TOKENS]
    settings = TrainingArguments(str(tmp_path / "out"), max_steps=6, learning_rate=0.1, report_to=[], use_cpu=True,
                                 save_strategy="steps", save_steps=2, logging_steps=1, disable_tqdm=True)  # fmt: skip
    Trainer(build("PROMPT_TUNING"), settings, train_dataset=rows).train()
    each = {step: load_file(tmp_path / "out" / f"checkpoint-{step}" / "adapter_model.safetensors")["prompt_embeddings"]
            for step in (2, 4, 6)}  # fmt: skip
    found = look(tmp_path / "out")
    assert found.course == {4: pytest.approx((each[4] - each[2]).norm().item(), rel=1e-4),
                            6: pytest.approx((each[6] - each[4]).norm().item(), rel=1e-4)}  # fmt: skip
    np.testing.assert_array_equal(found.vectors.rows, each[6].numpy())
    assert "moved from checkpoint to checkpoint" in said(found, "fine")


@pytest.mark.parametrize("edit, says", [
    (lambda rows: rows * 0, "all 3 vectors are zero"),
    (lambda rows: rows / 0, "NaN or infinity in 3 of 3 vectors"),
    (lambda rows: rows[:2], "2 vectors, and its settings say 3 virtual tokens"),
    (lambda rows: rows[:, :20], "the base is not the one it was trained on: its vectors have 20 numbers"),
])  # fmt: skip
def test_what_cannot_work_is_a_fault(edit, says, tmp_path):
    small_model().save_pretrained(tmp_path / "base")
    folder = keep(build("PROMPT_TUNING"), tmp_path / "adapter")
    rows = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"]
    save_file({"prompt_embeddings": edit(rows).contiguous()}, folder / "adapter_model.safetensors")
    assert says in said(look(folder, tmp_path / "base"), "fault")


def test_what_is_trained_beside_is_said_and_alike_vectors_are_a_doubt(tmp_path):
    torch.manual_seed(0)
    model = peft.get_peft_model(small_model("bert"), peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3))
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight[:] = torch.randn(32) + 0.01 * torch.randn(3, 32)
    found = look(keep(model, tmp_path / "adapter"))
    assert "trained beside the prompt, and not shown: 2 other tensors" in said(found, "doubt")
    assert "the vectors are nearly one (mean cosine 1.000)" in said(found, "doubt")


def test_two_prompts_are_compared_vector_by_vector(tmp_path, capsys):
    one = look(keep(trained("PROMPT_TUNING"), tmp_path / "one"))
    rows = torch.from_numpy(one.vectors.rows)
    save_file({"prompt_embeddings": (2 * rows[[1, 2, 0]]).contiguous()}, tmp_path / "moved.safetensors")
    keep(trained("PROMPT_TUNING"), tmp_path / "two")
    (tmp_path / "moved.safetensors").rename(tmp_path / "two" / "adapter_model.safetensors")
    table = distances(one, look(tmp_path / "two"))
    assert list(table["nearest"]) == ["2", "0", "1"] and np.allclose(table["its_cosine"], 1, atol=1e-6)
    np.testing.assert_allclose(table["distance"], (rows - 2 * rows[[1, 2, 0]]).norm(dim=1), rtol=1e-5)
    assert main([str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert "nearest" in capsys.readouterr().out
    wide = look(keep(trained("PREFIX_TUNING"), tmp_path / "wide"))
    with pytest.raises(InputError, match="vectors of 32 and 64 numbers, which do not compare"):
        distances(one, wide)


def test_a_folder_without_its_vectors_is_one_sentence(tmp_path):
    folder = keep(build("PROMPT_TUNING"), tmp_path / "adapter")
    save_file({"other": torch.ones(2)}, folder / "adapter_model.safetensors")
    assert main([str(folder)]) == 2
    with pytest.raises(InputError, match="holds no vectors"):
        look(folder)
