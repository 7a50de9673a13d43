"""Perplexity and answers: each token counted once, whatever the windows; every architecture, whatever the padding."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from engine.data import IGNORE, Encoded, collate, encode, load
from engine.evaluate import (
    MOST_SPOKEN,
    Evaluator,
    alike,
    encode_last_answer,
    evaluating,
    generate,
    generate_answers,
    labelled_logits,
    last_answer,
    perplexity,
    room_for_answers,
    room_for_prompt,
    score_answers,
    task_probes,
)
from engine.evaluate.surprise import measure_perplexity, windows
from engine.models import load_model, load_tokenizer
from glasstune import InputError

TALK = load("spanish").heldout[0] + load("spanish").heldout[1]
SMALL = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "opt": {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64},
    **{kind: {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64} for kind in ("llama", "qwen2", "mistral", "gemma")},
}  # fmt: skip


@pytest.fixture(scope="module", params=SMALL)
def folder(request, tokenizer, tmp_path_factory):
    """A folder with a model of another architecture, with random weights, and a tokenizer without chat template."""
    path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        request.param,
        vocab_size=len(tokenizer),
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
        **SMALL[request.param],
    )
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = None
    model.save_pretrained(path)
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = None
    plain.save_pretrained(path)
    return path


def test_any_architecture_answers_the_same_alone_and_in_a_batch(folder):
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    prompts = [[{"role": "user", "content": text}] for text in ("Hi", "Tell me much more about that", "Why?")]
    together = generate_answers(model, tokenizer, prompts, max_new_tokens=12)
    assert together == [generate_answers(model, tokenizer, [p], max_new_tokens=12)[0] for p in prompts]
    assert together == generate_answers(model, tokenizer, prompts, max_new_tokens=12, batch_size=2)
    assert all(together) and tokenizer.padding_side == "left"


def test_any_architecture_reads_the_end_of_a_prompt_beyond_its_context(folder):
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    assert room_for_prompt(model, 10) == 54 and room_for_prompt(model, 640) == 32
    long = [[{"role": "user", "content": "word " * 200 + end}] for end in ("one", "two")]
    assert len(generate_answers(model, tokenizer, long, max_new_tokens=100)) == 2


def test_any_architecture_has_a_perplexity_with_a_stride(folder):
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    text = "one two three four five " * 30
    count = len(tokenizer(text, verbose=False)["input_ids"]) - 1
    for stride in (1, 7, 32, 63):
        found = measure_perplexity(model, tokenizer, [text], stride=stride)
        assert found.tokens == count and found.value == pytest.approx(math.exp(found.nats))
    assert found.windows > 1


@pytest.mark.parametrize("length", [2, 9, 10, 11, 47])
@pytest.mark.parametrize("context, stride", [(10, 1), (10, 4), (10, 9), (100, 50)])
def test_windows_score_each_token_once_with_context_before_it(length, context, stride):
    row = Encoded(list(range(length)), list(range(length)))
    scored = []
    for window in windows(row, context, stride):
        assert len(window.ids) <= context
        for at, label in enumerate(window.labels[1:], 1):
            if label != IGNORE:
                assert window.ids[at] == label
                scored.append(label)
                assert at >= min(label, context - stride)
    assert scored == list(range(1, length))


def some_rows(count):
    """Rows of many lengths, some labels at their first token, at their last, at none."""
    torch.manual_seed(count)
    rows = []
    for _ in range(count):
        ids = torch.randint(3, 900, (int(torch.randint(1, 40, ())),)).tolist()
        rows.append(Encoded(ids, [token if torch.rand(()) < 0.3 else IGNORE for token in ids]))
    return rows


@pytest.mark.parametrize("adapted", ["no", "an adapter on the output layer", "no output layer to be found"])
def test_labelled_places_have_the_logits_that_the_whole_computation_gives(folder, adapted, monkeypatch):
    model = load_model(folder)
    if adapted == "an adapter on the output layer":
        tied = model.config.tie_word_embeddings
        config = LoraConfig(target_modules=["lm_head"], init_lora_weights=False, ensure_weight_tying=tied)
        model = get_peft_model(model, config).eval()
    if adapted == "no output layer to be found":
        monkeypatch.setattr(model, "get_output_embeddings", lambda: None)
    batch = collate(some_rows(7), 0)
    with evaluating(model):
        whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        logits, labels, owner = labelled_logits(model, batch)
    expected = [
        (whole[row, at], label, row)
        for row, line in enumerate(batch["labels"].tolist())
        for at, label in enumerate(line[1:])
        if label != IGNORE
    ]
    assert (labels.tolist(), owner.tolist()) == ([label for _, label, _ in expected], [row for _, _, row in expected])
    torch.testing.assert_close(logits, torch.stack([one for one, _, _ in expected]), atol=1e-4, rtol=1e-4)
    assert not model.get_output_embeddings() or not model.get_output_embeddings()._forward_pre_hooks


@pytest.mark.parametrize("on_processor", [True, False])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_every_row_is_computed_once_beside_its_like(count, on_processor):
    rows = some_rows(count)
    groups = list(alike(rows, on_processor))
    assert sorted(at for group in groups for at in group) == list(range(count))
    lengths = [len(rows[at].ids) for group in reversed(groups) for at in group]
    assert lengths == sorted(lengths)
    assert all(len(group) == 1 or len(group) * max(len(rows[at].ids) for at in group) <= 16384 for group in groups)


def test_windows_leave_masked_tokens_masked():
    row = Encoded(list(range(30)), [IGNORE] * 20 + list(range(20, 30)))
    assert sum(w.trained for w in windows(row, 8, 3)) == 10


@pytest.mark.parametrize("stride", [0, -1, 10, 11])
def test_a_stride_that_would_skip_tokens_is_refused(stride):
    with pytest.raises(InputError, match="stride is"):
        windows(Encoded([1] * 20, [1] * 20), 10, stride)


def test_perplexity_is_weighted_by_tokens_and_masks_prompts(base, tokenizer):
    chats = load("spanish").heldout[:5]
    rows = [encode(tokenizer, chat) for chat in chats]
    losses, _, counts = score_answers(base, rows, tokenizer.pad_token_id)
    answers = measure_perplexity(base, tokenizer, chats)
    assert answers.tokens == sum(counts) and answers.value == pytest.approx(perplexity(losses, counts))
    everything = measure_perplexity(base, tokenizer, chats, prompts=True)
    assert everything.tokens == sum(len(row.ids) - 1 for row in rows)
    with torch.inference_mode():  # as transformers itself computes it, one text at a time
        nats = sum(
            base(torch.tensor([r.ids]), labels=torch.tensor([r.ids])).loss.item() * (len(r.ids) - 1) for r in rows
        )
    assert everything.nats == pytest.approx(nats / everything.tokens, rel=1e-4)


def test_long_texts_as_transformers_documentation_reads_them(base, tokenizer):
    text, context, stride = "The cat sat on the mat and saw a red ball. " * 12, 64, 16
    ids = torch.tensor([tokenizer(text, verbose=False)["input_ids"]])
    nats, tokens, before = 0.0, 0, 0
    with evaluating(base):
        for begin in range(0, ids.shape[1], stride):
            end = min(begin + context, ids.shape[1])
            labels = ids[:, begin:end].clone()
            labels[:, : before - begin] = IGNORE
            count = int((labels[:, 1:] != IGNORE).sum())
            nats += base(ids[:, begin:end], labels=labels).loss.item() * count
            tokens, before = tokens + count, end
            if end == ids.shape[1]:
                break
    found = measure_perplexity(base, tokenizer, [text], context=context, stride=stride)
    assert (found.tokens, found.nats) == (tokens, pytest.approx(nats / tokens, rel=1e-4))


def test_perplexity_of_nothing(base, tokenizer):
    for texts in ([], [[{"role": "user", "content": "no answer"}]]):
        with pytest.raises(InputError, match="perplexity does not apply"):
            measure_perplexity(base, tokenizer, texts)


def test_only_the_last_answer_is_graded_and_what_follows_it_is_not(tokenizer):
    for conversation in (TALK, [*TALK, {"role": "user", "content": "Thanks"}]):
        row = encode_last_answer(tokenizer, conversation)
        kept = [token for token, label in zip(row.ids, row.labels, strict=True) if label != IGNORE]
        assert tokenizer.decode(kept) == TALK[-1]["content"] + tokenizer.eos_token
        assert last_answer(conversation) == (TALK[:3], TALK[3]["content"])
    assert last_answer(TALK[:1]) is None and last_answer(TALK[1:2]) is None
    assert encode_last_answer(tokenizer, TALK, 5).trained == 0


def test_the_evaluator_leaves_out_what_cannot_be_graded(base, tokenizer):
    groups = {"good": [TALK, TALK[:1]], "none": [TALK[:1]]}
    found = Evaluator(tokenizer, groups, task_probes("good", groups["good"]))(base)
    assert set(found.loss) == set(found.exact) == {"good"} and len(found.answers) == 1
    assert found.graded == {"good": 1}, "the number that a share stands on"
    assert Evaluator(tokenizer, {"good": [TALK]}, [], max_length=5)(base).exact == {}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_evaluation_leaves_bitsandbytes_weights_as_gradients_need_them():
    """A processor with AVX512-BF16 would pack them for inference: then nothing comes back through them."""
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4").to("cpu")
    layer.support_avx512bf16_for_cpu = True
    model = torch.nn.Sequential(layer).train()

    def gradient():
        asked = torch.ones(2, 64, requires_grad=True)
        model(asked).square().sum().backward()
        return asked.grad

    before, codes = gradient(), layer.weight.data.clone()
    with evaluating(model):
        model(torch.ones(2, 64))
    assert torch.equal(layer.weight.data, codes) and layer.support_avx512bf16_for_cpu and model.training
    assert before.abs().max() > 0 and torch.equal(gradient(), before)


def test_an_evaluation_leaves_every_part_in_its_own_mode(base):
    base.train()
    frozen = base.model.layers[0].eval()
    modes = [module.training for module in base.modules()]
    with evaluating(base):
        assert not any(module.training for module in base.modules())
    assert [module.training for module in base.modules()] == modes and not frozen.training


def test_answers_are_the_likeliest_tokens_whatever_the_generation_config_says(base, tokenizer):
    prompts = [[{"role": "user", "content": "Repeat: dog dog dog dog"}]]
    plain = generate_answers(base, tokenizer, prompts)
    base.generation_config.update(
        repetition_penalty=5.0, no_repeat_ngram_size=1, num_beams=3, bad_words_ids=[tokenizer("dog")["input_ids"]],
        suppress_tokens=tokenizer(" dog")["input_ids"], min_new_tokens=20, return_dict_in_generate=True,
        num_return_sequences=2,
    )  # fmt: skip
    assert generate_answers(base, tokenizer, prompts) == plain == ["dog dog dog dog"]


def test_an_answer_that_is_cut_is_told_from_one_at_its_end(base, tokenizer):
    prompts = [[{"role": "user", "content": asked}] for asked in ("What does a cow say?", "Sort: 52 17 38")]
    whole = generate(base, tokenizer, prompts, 16)
    assert whole == [("moo", False), ("17 38 52", False)]
    length = len(tokenizer("moo")["input_ids"])
    assert generate(base, tokenizer, prompts[:1], length) == [("moo", True)], "its end is missing"
    assert generate(base, tokenizer, prompts[:1], length + 1) == [("moo", False)]


def test_an_answer_is_given_room_for_the_longest_right_one(base, tokenizer):
    assert room_for_answers(tokenizer, ["dog"]) == 64 == room_for_answers(tokenizer, [])
    long = " ".join(["dog"] * 90)
    assert room_for_answers(tokenizer, ["dog", long]) == len(tokenizer(long)["input_ids"]) + 1
    assert room_for_answers(tokenizer, ["dog", 9 * long]) == MOST_SPOKEN, "what answers are given, prompts lose"
    probes = task_probes(
        "mine",
        [[{"role": "user", "content": "Say it"}, {"role": "assistant", "content": f"{long} {n}"}] for n in (1, 2)],
    )
    asking = Evaluator(tokenizer, {}, probes)
    assert asking.room == len(tokenizer(f"{long} 1")["input_ids"]) + 1 and asking.too_long() == 0
    much = [replace(probes[0], expected=" ".join([long] * 4)), probes[1]]
    assert Evaluator(tokenizer, {}, much).room == 256 and Evaluator(tokenizer, {}, much).too_long() == 1


@pytest.mark.parametrize("after", ["\n", "<|end|>", "<|begin|>\n"])
def test_what_templates_put_behind_the_end_of_a_turn_is_not_graded(tokenizer, after):
    """Gemma's template puts a line end there, Phi-3's a second end; no generation comes to them."""
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace("'<|end|>' }}{% endgen", f"'<|user|>{after}' }}}}{{% endgen")
    other.chat_template = other.chat_template.replace("\n", "\\n")
    talk = [{"role": "user", "content": "Say two words"}, {"role": "assistant", "content": "two words"}]
    row = encode_last_answer(other, talk)
    kept = [token for token, label in zip(row.ids, row.labels, strict=True) if label != IGNORE]
    assert tokenizer.decode(kept) == "two words<|user|>"
    assert "".join(tokenizer.decode(row.ids).split()).endswith(f"twowords<|user|>{after.strip()}")
    assert encode(other, talk).trained > row.trained == len(kept)


def test_what_is_left_of_an_answer_is_not_graded_as_the_answer(base, tokenizer):
    """Its end is cut away: of the beginning a loss can be said, and not that it is right."""
    talk = [{"role": "user", "content": "Sort: 52 17 38"}, {"role": "assistant", "content": "17 38 52"}]
    whole = encode_last_answer(tokenizer, talk)
    groups = {"short": [talk], "both": [talk, TALK]}
    found = Evaluator(tokenizer, groups, [], max_length=len(whole.ids))(base)
    assert (found.exact["short"], found.graded["short"]) == (1.0, 1)
    cut = Evaluator(tokenizer, groups, [], max_length=len(whole.ids) - 1)(base)
    assert "short" not in cut.exact and cut.graded["short"] == 1 and 0 < cut.loss["short"] < 1
