"""Each way in which a training comes to nothing is found before it starts; and looking changes nothing."""

import copy
import random

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import DataCollatorForLanguageModeling, DataCollatorWithFlattening, Trainer, TrainingArguments

from engine.data import IGNORE, collate, encode_all, load
from engine.evaluate import curriculum_groups
from engine.models import load_model, load_tokenizer
from engine.preflight.check import preflight
from engine.preflight.rows import rows_of
from glasstune import InputError


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        return self.rows[place]


@pytest.fixture(scope="module")
def encoded():
    return encode_all(load_tokenizer(), load("spanish").train[:24])


def adapted(**options):
    return get_peft_model(load_model(), LoraConfig(**{"r": 2, "target_modules": ["q_proj", "v_proj"]} | options))


def make(tmp_path, rows, model=None, collator=None, tokenizer=None, **options):
    tokenizer = tokenizer or load_tokenizer()
    arguments = TrainingArguments(
        str(tmp_path / "out"), per_device_train_batch_size=8, max_steps=3, report_to=[], learning_rate=1e-3,
        disable_tqdm=True, save_strategy="no", remove_unused_columns=False, logging_steps=1,
        dataloader_pin_memory=False, **options,
    )  # fmt: skip
    return Trainer(
        adapted() if model is None else model, arguments, train_dataset=Rows(rows),
        data_collator=collator or (lambda batch: collate(batch, tokenizer.pad_token_id)), processing_class=tokenizer,
    )  # fmt: skip


def faults(trainer, level="fault", **options):
    return [finding.what for finding in preflight(trainer, show=False, **options).findings if finding.level == level]


def test_a_sound_training_is_ready_and_says_what_it_looked_at(tmp_path, encoded, capsys):
    found = preflight(make(tmp_path, encoded), rows=16)
    assert found.ready and [row.ids for row in found.rows] and len(found.rows) == 16
    assert found.unseen == ["8 of 24 rows"]
    said = capsys.readouterr().out
    assert "⟦" in said and "all 20 trainable tensors get a gradient within two steps" in said
    learned = sum(row.trained for row in found.rows)
    assert f"{learned:,} of {sum(len(row.ids) for row in found.rows):,} tokens are learned, in 16 of 16 rows" in said
    known = encode_all(load_tokenizer(), curriculum_groups(16)["capital"])
    assert not faults(make(tmp_path, known), "doubt"), "what the model knows does not surprise it"


def test_looking_changes_nothing(tmp_path, encoded):
    def trained(look):
        torch.manual_seed(3)
        trainer = make(tmp_path, encoded, seed=5)
        if look:
            before = copy.deepcopy(trainer.model.state_dict()), torch.get_rng_state(), random.getstate()
            mode = trainer.model.training
            preflight(trainer, show=False)
            for name, tensor in trainer.model.state_dict().items():
                assert torch.equal(tensor, before[0][name]), name
            assert torch.equal(torch.get_rng_state(), before[1]) and random.getstate() == before[2]
            assert trainer.model.training == mode and all(p.grad is None for p in trainer.model.parameters())
            assert trainer.accelerator._dataloaders == [] and trainer.state.global_step == 0
        trainer.train()
        return trainer.model.state_dict(), [line["loss"] for line in trainer.state.log_history if "loss" in line]

    (plain, losses), (looked, again) = trained(False), trained(True)
    assert losses == again and all(torch.equal(plain[name], looked[name]) for name in plain)


def test_rows_without_a_label_are_counted(tmp_path, encoded):
    silent = [type(row)(row.ids, [IGNORE] * len(row.ids)) for row in encoded]
    (said,) = [s for s in faults(make(tmp_path, silent)) if "no token is learned" in s]
    assert "no token is learned in any of 24 rows" in said
    doubts = faults(make(tmp_path, silent[:6] + encoded[6:]), "doubt")
    assert any("nothing is learned from 6 of 24 rows" in said for said in doubts)


def test_padding_that_is_the_end_of_answers_is_found(tmp_path, encoded):
    """The collator of most tutorials masks every padding token; if that is the end of a text, it is never learned."""
    tokenizer = load_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    rows = [{"input_ids": row.ids} for row in encoded]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    said = faults(make(tmp_path, rows, collator=collator, tokenizer=tokenizer))
    assert any("the end of an answer is never learned" in s and "padding token, too (<|end|>)" in s for s in said)


def test_answers_without_an_end_and_ends_where_nobody_stops(tmp_path, encoded):
    end = load_tokenizer().eos_token_id
    cut = [type(row)(row.ids[:-1], row.labels[:-1]) for row in encoded]
    assert all(row.ids[-1] == end for row in encoded)
    assert any("no row holds a token that ends an answer" in said for said in faults(make(tmp_path, cut)))
    model = adapted()
    model.generation_config.eos_token_id = [1]
    other = load_tokenizer()
    other.eos_token = "<|begin|>"
    said = faults(make(tmp_path, encoded, model, tokenizer=other))
    assert any("answers end in <|end|>, where generation does not stop" in s for s in said), said


def test_a_beginning_said_twice_and_a_prompt_that_is_not_the_templates(tmp_path, encoded):
    tokenizer = load_tokenizer()
    twice = [type(row)([tokenizer.bos_token_id, *row.ids], [IGNORE, *row.labels]) for row in encoded]
    assert any("24 of 24 rows begin with <|begin|> twice" in said for said in faults(make(tmp_path, twice)))
    bare = []
    for row in encoded:  # the words without the template's marks
        start = row.labels.index(next(label for label in row.labels if label != IGNORE))
        bare.append(type(row)(row.ids[2 : start - 1] + row.ids[start:], row.labels[2 : start - 1] + row.labels[start:]))
    assert any("before 24 of 24 answers stands" in said for said in faults(make(tmp_path, bare)))


def test_what_never_gets_a_gradient_is_named_and_lora_s_a_is_not(tmp_path, encoded):
    model = adapted()
    unused = torch.nn.Linear(3, 3)
    model.base_model.model.add_module("unused", unused)
    (said,) = faults(make(tmp_path, encoded, model))
    assert "2 of 22 trainable tensors never get a gradient: base_model.model.unused.weight and 1 more" in said
    model = adapted()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert any("nothing is trainable" in said for said in faults(make(tmp_path, encoded, model)))


def test_gradients_cut_off_by_checkpointing_are_found(tmp_path, encoded):
    model = adapted()
    embedding = model.get_input_embeddings()
    embedding.register_forward_hook(lambda module, args, out: out.detach())
    model.base_model.model.model.register_forward_hook(
        lambda module, args, out: type(out)(last_hidden_state=out.last_hidden_state.detach())
    )
    assert any("depends on no trainable parameter" in said for said in faults(make(tmp_path, encoded, model)))


def test_tokens_beyond_the_embedding_and_rows_that_are_cut(tmp_path, encoded):
    rows = [type(row)([*row.ids[:-1], 5000], [*row.labels[:-1], 5000]) for row in encoded]
    said = faults(make(tmp_path, rows))
    assert any("a token has the number 5000, and the model's embedding has 1536 rows" in s for s in said)
    tokenizer = load_tokenizer()
    tokenizer.model_max_length = 14
    short = encode_all(tokenizer, load("spanish").train[:24], 14)
    doubts = faults(make(tmp_path, short, tokenizer=tokenizer), "doubt")
    assert any("are cut at 14 tokens, before the end" in s for s in doubts)


@pytest.mark.parametrize("told", ["positions", "positions and a mask", "nothing"])
def test_conversations_that_share_a_row(tmp_path, encoded, told):
    """With positions that start anew, and no mask, transformers keeps them apart; else the second sees the first. What
    is tried is what the collator gives."""

    def packed(batch):
        ids = [token for row in batch for token in row.ids]
        labels = [label for row in batch for label in row.labels]
        out = {"input_ids": torch.tensor([ids]), "labels": torch.tensor([labels])}
        if told != "nothing":
            out["position_ids"] = torch.tensor([[place for row in batch for place in range(len(row.ids))]])
        if told == "positions and a mask":
            out["attention_mask"] = torch.ones_like(out["input_ids"])
        return out

    found = preflight(make(tmp_path, encoded, collator=packed), show=False)
    said = [finding for finding in found.findings if "share a row" in finding.what]
    assert [finding.level for finding in said] == ["fine" if told == "positions" else "fault"]
    assert len(found.rows) == (1 if told == "nothing" else 8) * 3


@pytest.mark.parametrize("told", [True, False])
def test_where_packing_cuts_at_the_end_of_a_full_row(tmp_path, encoded, told):
    """The last conversation of a full row ends inside its answer, though it is shorter than the row."""
    tokenizer = load_tokenizer()
    first, second = encoded[0], encoded[1]
    limit = len(first.ids) + len(second.ids) - 2
    ids, labels = (first.ids + second.ids)[:limit], (first.labels + second.labels)[:limit]
    tokenizer.model_max_length = limit

    def packed(batch):
        out = {"input_ids": torch.tensor([ids] * 4), "labels": torch.tensor([labels] * 4)}
        if told:
            out["position_ids"] = torch.tensor([[*range(len(first.ids)), *range(limit - len(first.ids))]] * 4)
        return out

    found = preflight(make(tmp_path, encoded[:8], collator=packed, tokenizer=tokenizer), show=False)
    assert len(found.rows) == (8 if told else 4)
    said = "4 of 8 conversations" if told else "4 of 4 rows"
    doubts = [finding.what for finding in found.findings if finding.level == "doubt"]
    assert f"{said} are cut at {limit} tokens, before the end of their answer" in doubts
    tokenizer.model_max_length = limit + 1
    found = preflight(make(tmp_path, encoded[:8], collator=packed, tokenizer=tokenizer), show=False)
    assert not [finding for finding in found.findings if "are cut at" in finding.what]


def talks(count):
    spanish = load("spanish").train
    return [spanish[2 * n] + spanish[2 * n + 1] for n in range(count)]


@pytest.mark.parametrize("begin", ["<|end|>", "<|user|>"])
def test_a_beginning_that_stands_within_a_conversation_parts_none(tmp_path, begin):
    """GPT-2's is its end as well, and ChatML's opens every turn: two rounds in a row are no two conversations."""
    tokenizer = load_tokenizer()
    rows = encode_all(tokenizer, talks(24))
    tokenizer.bos_token = begin
    assert all(tokenizer.bos_token_id in row.ids[1:-1] for row in rows)
    found = preflight(make(tmp_path, rows, tokenizer=tokenizer), show=False)
    assert not [finding for finding in found.findings if "share a row" in finding.what]
    assert any("nothing in the batches says where one begins" in said for said in found.unseen)


def test_a_flattened_batch_is_looked_at_by_its_conversations(tmp_path, encoded):
    """Its first labels are left out so that no conversation predicts the next: that begins no answer, and of what is
    learned whole nothing is an answer."""
    rows = [{"input_ids": row.ids, "labels": row.ids} for row in encoded]
    tokenizer = load_tokenizer()
    tokenizer.model_max_length = max(len(row.ids) for row in encoded) + 1
    found = preflight(make(tmp_path, rows, collator=DataCollatorWithFlattening(), tokenizer=tokenizer), show=False)
    assert sorted(row.ids for row in found.rows) == sorted(row.ids for row in encoded)
    said = [finding.what for finding in found.findings if finding.level != "fine"]
    assert [what for what in said if "prompts are learned" not in what and "even guess" not in what] == []


def test_padding_that_no_mask_shows_is_no_conversation():
    batch = {"input_ids": torch.tensor([[5, 6, 7, 8, 9, 0, 0]]), "labels": torch.tensor([[-100, 6, 7, -100, 9, -100, -100]]),
             "position_ids": torch.tensor([[0, 1, 2, 0, 1, 0, 0]])}  # fmt: skip
    assert [(row.ids, row.labels) for row in rows_of(batch)] == [([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9])]
    del batch["position_ids"]
    batch["attention_mask"] = torch.tensor([[0, 0, 1, 1, 1, 1, 0]])
    assert [row.ids for row in rows_of(batch)] == [[7, 8, 9, 0]]
    assert [row.filled for row in rows_of(batch)] == [4]  # without padding at either side
    batch |= {"cu_seq_lens_q": torch.tensor([0, 4, 7]), "attention_mask": None}
    assert [row.ids for row in rows_of(batch)] == [[5, 6, 7, 8], [9, 0, 0]]


def test_batches_of_other_models_are_refused_in_a_sentence(tmp_path, encoded):
    def classes(batch):
        return {"input_ids": torch.tensor([row.ids[:9] for row in batch]), "labels": torch.ones(len(batch), dtype=int)}

    with pytest.raises(
        InputError, match=r"input_ids of shape \(8, 9\) and labels of \(8,\); preflight looks at causal"
    ):
        preflight(make(tmp_path, encoded, collator=classes), show=False)


class Odd(torch.nn.Module):
    """A model of one's own: it does not say which its embedding is, and is asked by its ids alone."""

    def __init__(self, tokens):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(tokens, 8), torch.nn.Linear(8, tokens)

    def forward(self, input_ids, labels):
        logits = self.head(self.embed(input_ids))
        return {"loss": torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())}


def test_a_model_of_ones_own_is_looked_at(tmp_path, encoded):
    def plain(batch):
        made = collate(batch, 0)
        return {name: made[name] for name in ("input_ids", "labels")}

    found = preflight(make(tmp_path, encoded, Odd(len(load_tokenizer())), plain), show=False)
    assert any("all 3 trainable tensors" in finding.what for finding in found.findings), found.findings
    assert any("every token has its row" in said for said in found.unseen)
    two = [type(row)(row.ids * 2, row.labels * 2) for row in encoded]
    begun = load_tokenizer().bos_token_id
    assert begun is not None and two[0].ids.count(begun) == 2
    found = preflight(make(tmp_path, two, Odd(len(load_tokenizer())), plain), show=False)
    assert not any("the first step fails" in finding.what for finding in found.findings)
    assert any("see each other: the model fails (TypeError: " in said for said in found.unseen)


@pytest.mark.parametrize(
    "error", [KeyError("labels"), AttributeError("no logits"), AssertionError(), StopIteration("x")]
)
def test_a_loss_of_ones_own_that_fails_is_told_by_its_own_error(tmp_path, encoded, error):
    trainer = make(tmp_path, encoded)

    def fails(*_, **__):
        raise error

    trainer.compute_loss = fails
    (fault,) = [one for one in preflight(trainer, show=False).findings if one.level == "fault"]
    assert f"the first step fails: {type(error).__name__}: " in fault.what and "trainer.train()" in fault.remedy
    trainer.get_train_dataloader = fails
    with pytest.raises(InputError, match=f"the first batches cannot be built: {type(error).__name__}"):
        preflight(trainer, show=False)


def test_memory_of_an_optimizer_that_is_not_adam_is_not_guessed(tmp_path, encoded):
    found = preflight(make(tmp_path, encoded, optim="adafactor"), show=False)
    (said,) = [finding.what for finding in found.findings if "gradients" in finding.what and "weights" in finding.what]
    assert "Adam's" not in said and "what adafactor keeps" in said


def test_a_loss_that_is_no_number_and_one_above_an_even_guess(tmp_path, encoded):
    model = adapted()
    with torch.no_grad():
        model.get_input_embeddings().weight[5:].mul_(float("nan"))
    assert any("the loss is no number" in said for said in faults(make(tmp_path, encoded, model)))
    shuffled = np.random.default_rng(0)
    strange = [
        type(r)(r.ids, [int(shuffled.integers(1000, 1500)) if v != IGNORE else v for v in r.labels]) for r in encoded
    ]
    doubts = faults(make(tmp_path, strange), "doubt")
    assert any("above that of an even guess (7.34)" in said for said in doubts)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing.:FutureWarning")
def test_trl_and_what_cannot_be_looked_at(tmp_path, encoded):
    trl = pytest.importorskip("trl")
    from datasets import Dataset as Table

    talks = Table.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in load("spanish").train[:16]])
    options = trl.SFTConfig(
        str(tmp_path / "sft"), per_device_train_batch_size=4, max_steps=1, report_to=[], disable_tqdm=True, bf16=False,
        dataloader_pin_memory=False, use_cpu=True,
    )  # fmt: skip
    trainer = trl.SFTTrainer(adapted(), options, train_dataset=talks, processing_class=load_tokenizer())
    found = preflight(trainer, show=False)
    assert found.ready and len(found.rows) == 16, found.findings
    with pytest.raises(InputError, match="a batch has no labels"):
        preflight(make(tmp_path, [{"input_ids": row.ids} for row in encoded],
                       collator=lambda batch: {"input_ids": torch.tensor([batch[0]["input_ids"]])}))  # fmt: skip
    with pytest.raises(InputError, match="the Trainer"):
        preflight(make(tmp_path, []))


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing.:FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")  # TRL's, of padding-free batches without flash attention
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_trls_packing_is_looked_at_conversation_by_conversation(tmp_path, strategy, answers):
    """Its first way keeps conversations apart, and the second neither does nor keeps them whole."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset as Table

    talks = Table.from_list([{"prompt": c[:-1], "completion": c[-1:]} for c in load("spanish").train[:24]])
    options = trl.SFTConfig(
        str(tmp_path / "sft"), per_device_train_batch_size=2, max_steps=1, report_to=[], disable_tqdm=True, bf16=False,
        dataloader_pin_memory=False, use_cpu=True, packing=True, packing_strategy=strategy, max_length=64,
        completion_only_loss=answers,
    )  # fmt: skip
    trainer = trl.SFTTrainer(adapted(), options, train_dataset=talks, processing_class=load_tokenizer())
    found = preflight(trainer, show=False)
    wrong = [finding.what for finding in found.findings if finding.level != "fine"]
    if strategy == "bfd":
        assert len(found.rows) == 24 and wrong == ["prompts are learned as well as answers"] * (not answers)
    else:
        assert any("see each other" in what for what in wrong) and any("are cut at 64 tokens" in what for what in wrong)


def test_as_a_command(tmp_path, capsys):
    from engine.commands.preflight import COMMAND

    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "Say hi", "completion": "hi", "id": 7}\n' * 4)
    main = COMMAND.main("glasstune preflight")
    assert main(["--data", str(file), "--method", "lora", "--r", "2"]) == 0
    said = capsys.readouterr()
    assert (
        "tokens are learned, in 4 of 4 rows" in said.out and "nothing is made of the records' id" in said.out + said.err
    )
    file.write_text('{"prompt": "Say hi", "completion": "hi"}\n')
    assert main(["--data", str(file), "--r", "2", "--method", "full"]) == 2
    assert "--r is for" in capsys.readouterr().err
