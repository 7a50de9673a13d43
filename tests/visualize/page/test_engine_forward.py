"""The page's model says what torch's says: products, logits, answers, losses."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from engine.evaluate import (
    curriculum_groups,
    curriculum_probes,
    encode_last_answer,
    generate_answers,
    score_answers,
)
from engine.models import load_tuned
from engine.school.curriculum import SKILLS, heldout_examples
from tests.visualize.page.node import ask

KERNELS = {"wasm": {}, "wasm without fused multiply-add": {"relaxed": False}, "plain": {"wasm": False}}
SHAPES = [(1, 1, 1), (2, 5, 7), (7, 9, 3), (64, 33, 130), (13, 500, 128), (250, 16, 600), (8, 40, 300)]


def weights_of(model):
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    return {name: value.detach().numpy() for name, value in model.state_dict().items() if name not in tied}


@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("add", [False, True])
def test_products_of_matrices_of_any_shape(kernels, add, tmp_path):
    rng = np.random.default_rng(0)
    for m, n, k in SHAPES:
        a, b, c = (rng.standard_normal(size).astype(np.float32) for size in (m * k, k * n, m * n))
        kind, made = ask("products", tmp_path, {"a": a, "b": b, "c": c}, m=m, n=n, k=k, add=add, kernels=kernels)
        assert (kind == "plain") == (kernels == {"wasm": False})
        before = c.reshape(m, n) if add else 0
        x, y = a.astype(np.float64), b.astype(np.float64)
        expected = {
            "nt": x.reshape(m, k) @ y.reshape(n, k).T,
            "nn": x.reshape(m, k) @ y.reshape(k, n),
            "tn": x.reshape(k, m).T @ y.reshape(k, n),
        }
        for name, product in expected.items():
            # A sum of k products of standard normal numbers is of the size of their root, and rounded k times.
            rounding = 2.0**-23 * k * 2
            np.testing.assert_allclose(made[name], product + before, atol=rounding + 1e-6, err_msg=f"{name} {m, n, k}")


@pytest.mark.parametrize("kernels", [{}, {"wasm": False}], ids=["wasm", "plain"])
def test_silu_of_any_number(kernels, tmp_path):
    extreme = [0, -0.0, 1e-30, 87, -87, 88.5, -88.5, 200, -200, 1e30, np.inf, np.nan]
    gate = np.concatenate([extreme, np.random.default_rng(0).normal(0, 10, 10_001)]).astype(np.float32)
    up = np.linspace(0.5, 2, gate.size, dtype=np.float32)
    _, made = ask("silu", tmp_path, {"gate": gate, "up": up}, kernels=kernels)
    wide = torch.from_numpy(gate).double()
    np.testing.assert_allclose(made["sigmoid"], wide.sigmoid(), rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(
        made["active"], torch.nn.functional.silu(wide) * torch.from_numpy(up), rtol=1e-6, atol=1e-34
    )


@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_logits_of_the_base_are_torchs(base, tokenizer, kernels, tmp_path):
    texts = [
        tokenizer.apply_chat_template(heldout_examples(skill, 1)[0].messages, return_dict=False) for skill in SKILLS
    ]
    _, made = ask("logits", tmp_path, texts=texts, kernels=kernels)
    for at, ids in enumerate(texts):
        with torch.inference_mode():
            expected = base(torch.tensor([ids])).logits[0].numpy()
        np.testing.assert_allclose(made[str(at)], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "shape",
    [
        {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10, "tie_word_embeddings": True},
        {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 12, "tie_word_embeddings": False},
    ],
    ids=["grouped heads, wider than the stream", "a head of its own"],
)
def test_logits_of_other_shapes_are_torchs(shape, tmp_path):
    config = LlamaConfig(
        vocab_size=77, hidden_size=48, intermediate_size=100, num_hidden_layers=3, max_position_embeddings=64,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 500.0}, **shape,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():  # far from the even guess that a fresh model makes
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    texts = [torch.randint(0, 77, (length,)).tolist() for length in (1, 2, 17, 64)]
    _, made = ask("logits", tmp_path, weights_of(model), texts=texts, config=config.to_dict())
    for at, ids in enumerate(texts):
        with torch.inference_mode():
            expected = model(torch.tensor([ids])).logits[0].numpy()
        np.testing.assert_allclose(made[str(at)], expected, atol=1e-4, rtol=0)


@pytest.fixture(scope="module", params=["base", "tuned"])
def watched(request):
    """The base as it is, and the Spanish adapter merged into it."""
    if request.param == "base":
        from engine.models import load_model

        return load_model("embedded")
    return load_tuned(request.getfixturevalue("lora_run")).merge_and_unload()


def test_every_probe_is_answered_as_torch_answers_it(watched, tokenizer, tmp_path):
    prompts = [probe.prompt for probe in curriculum_probes()]
    prompts += [example.prompt for skill in SKILLS for example in heldout_examples(skill, 3)]
    expected = generate_answers(watched, tokenizer, prompts, max_new_tokens=48)
    ids = [tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=False) for p in prompts]
    answers, _ = ask("answers", tmp_path, weights_of(watched), prompts=ids)
    assert [tokenizer.decode(answer["ids"], skip_special_tokens=True).strip() for answer in answers] == expected
    for prompt, answer in zip(ids[:4], answers[:4], strict=True):
        with torch.inference_mode():
            logits = watched(torch.tensor([prompt + answer["ids"]])).logits[0, len(prompt) - 1 : -1]
        for step, token, shares in zip(answer["steps"], answer["ids"], logits.softmax(-1), strict=True):
            best = shares.topk(5)
            shown = [step, *step["others"]]
            assert step["id"] == token == best.indices[0]
            np.testing.assert_allclose([one["probability"] for one in shown], best.values, atol=1e-5)


def test_one_prompt_alone_is_answered_as_among_many(tokenizer, tmp_path):
    prompts = [
        tokenizer.apply_chat_template(probe.prompt, add_generation_prompt=True, return_dict=False)
        for probe in curriculum_probes()
    ]
    together, _ = ask("answers", tmp_path, prompts=prompts)
    alone = [ask("answers", tmp_path, prompts=[prompt])[0][0] for prompt in prompts[:3]]
    assert [answer["ids"] for answer in alone] == [answer["ids"] for answer in together[:3]]


def test_of_a_prompt_too_long_the_end_is_read_as_torch_reads_it(base, tokenizer, tmp_path):
    prompt = [{"role": "user", "content": "dog cat " * 400 + "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    assert len(ids) > base.config.max_position_embeddings
    answer, _ = ask("answers", tmp_path, prompts=[ids])
    said = tokenizer.decode(answer[0]["ids"], skip_special_tokens=True).strip()
    assert said == generate_answers(base, tokenizer, [prompt], max_new_tokens=48)[0]


def test_losses_and_exactness_are_those_of_the_evaluator(watched, tokenizer, tmp_path):
    rows = [encode_last_answer(tokenizer, c) for group in curriculum_groups(4).values() for c in group]
    losses, exact, counts = score_answers(watched, rows, tokenizer.pad_token_id)
    given = [{"ids": row.ids, "labels": row.labels} for row in rows]
    said, _ = ask("score", tmp_path, weights_of(watched), rows=given)
    assert said["exact"] == exact
    assert said["counts"] == counts
    np.testing.assert_allclose(said["losses"], losses, atol=1e-4, rtol=1e-4)
