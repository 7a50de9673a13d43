"""What is small on disk stays small in memory, what is long is cut before it is read, and what is many stays linear."""

import json
import os
import shutil

import numpy as np
import peft
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import save_file

from engine.data import LONG, beginning, encode, load
from engine.data.report import report
from engine.evaluate.compare import questions_of
from engine.models import load_model, load_tuned, with_adapter
from engine.run import tensors
from engine.run.format import read_lines
from engine.run.pairing import find_name, pair
from glasstune import InputError, LoRA, Run, finetune
from tests.engine.peft_methods import config_of
from tests.engine.run.test_quantized import NAME, four_bit
from tests.engine.small import save_adapter, save_base, small_model
from tests.fuzz.fields import places, put
from tests.fuzz.mutate import HOSTILE


def test_a_table_that_grows_out_of_all_proportion_is_refused(tmp_path):
    rows = 30_000
    said = pa.array(["x" * 5000]).take(
        pa.array(np.zeros(rows, np.int32))
    )  # one text, three hundred megabytes of it in all
    parquet.write_table(pa.table({"prompt": said, "completion": said}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 200_000
    with pytest.raises(InputError, match=r"grows to more than [\d,]+ bytes when unpacked"):
        load(tmp_path / "bomb.parquet")
    (tmp_path / "folder").mkdir()
    shutil.move(tmp_path / "bomb.parquet", tmp_path / "folder" / "train.parquet")
    with pytest.raises(InputError, match="when unpacked"):
        load(tmp_path / "folder")


def test_an_honest_table_is_read_whole_and_in_order(tmp_path):
    rows = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(300)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=70)
    found = load(tmp_path / "rows.parquet").train
    assert [talk[-1]["content"] for talk in found] == [row["completion"] for row in rows]
    assert found[200].where.endswith("rows.parquet, row 201")


def test_a_file_that_is_cut_or_nests_without_end_is_one_sentence(tmp_path):
    rows = [{"prompt": "a", "completion": "b"}] * 50
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for end in range(0, len(whole), 97):
        (tmp_path / "a.parquet").write_bytes(whole[:end])
        with pytest.raises(InputError, match="cannot be read"):
            load(tmp_path / "a.parquet")
    for text, said in (("[" * 100_000, "nested more than 100 deep"), ('{"prompt": ' + "9" * 5000 + "}", "5,000 digits"),
                       ('{"prompt": "a", "prompt": "b", "completion": "c"}', "'prompt' is there twice")):  # fmt: skip
        for name in ("a.json", "a.jsonl"):
            (tmp_path / name).write_text(text + "\n")
            with pytest.raises(InputError, match=said):
                load(tmp_path / name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.parquet"])
def test_data_that_is_a_pipe_is_named(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe"):
        load(tmp_path / name)


def test_memory_that_is_nearly_full_ends_reading_before_it_is(tmp_path, monkeypatch):
    class Full:
        available = 1000

    monkeypatch.setattr("engine.room.psutil.virtual_memory", lambda: Full)
    with pytest.raises(InputError, match=r"record 999: memory is nearly full; give a part"):
        load([{"prompt": "a", "completion": "b"}] * 5000)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n' * 3000)
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1000: memory is nearly full"):
        read_lines(tmp_path / "metrics.jsonl")


def test_a_long_text_is_cut_before_it_is_made_into_tokens(tokenizer, monkeypatch):
    answer = "one two three four five. " * 40_000  # a million characters
    talk = [{"role": "user", "content": "count"}, {"role": "assistant", "content": answer}]
    seen, plain = [], type(tokenizer).apply_chat_template

    def watched(self, messages, **more):
        seen.append(sum(len(message["content"]) for message in messages))
        return plain(self, messages, **more)

    monkeypatch.setattr(type(tokenizer), "apply_chat_template", watched)
    row = encode(tokenizer, talk, 64)
    assert max(seen) <= LONG and row.unread == len(answer) + len("count") - LONG and row.cut > 0
    short = [talk[0], {**talk[1], "content": answer[:20_000]}]
    assert row.ids == encode(tokenizer, short, 64).ids and row.labels == encode(tokenizer, short, 64).labels
    whole_text = encode(tokenizer, [{"role": "text", "content": answer}], 64)
    assert len(whole_text.ids) == 64 and whole_text.unread
    assert report([{"prompt": "count", "completion": answer}] * 2, tokenizer, max_length=64).unread == [
        "record 0",
        "record 1",
    ]


def test_what_is_thought_and_called_beside_an_answer_is_bounded_too(tokenizer, monkeypatch):
    long = "x" * 3_000_000
    answer = {"role": "assistant", "content": "hi", "reasoning_content": long}
    kept, left_out = beginning([{"role": "user", "content": "a"}, answer], 1000)
    assert (len(kept[1]["reasoning_content"]), left_out) == (10_000, len(long) - 10_000) and kept[1]["content"] == "hi"

    class Full:
        available = 500_000_000  # three million characters need more

    monkeypatch.setattr("engine.linear.psutil.virtual_memory", lambda: Full)
    ask, call = (
        {"role": "user", "content": "a"},
        {"type": "function", "function": {"name": "f", "arguments": {"a": long}}},
    )
    tool = {"type": "function", "function": {"name": "f", "description": long}}
    for talk in ([ask, {"role": "assistant", "content": "", "tool_calls": [call]}], [{"role": "text", "content": long}],
                 [{**ask, "tools": [tool]}, {"role": "assistant", "content": "hi"}], [ask, answer],
                 [ask, {"role": "assistant", "content": long}]):  # fmt: skip
        with pytest.raises(InputError, match="the conversation, in characters, is 30000"):
            encode(tokenizer, talk)


def test_a_beginning_is_all_of_what_is_short_and_keeps_every_message():
    talk = [{"role": "user", "content": "a" * 30}, {"role": "assistant", "content": "  " + "b" * 500}]
    assert beginning(talk, 1000) == (talk, 0)
    kept, left_out = beginning(talk, 40)
    assert [len(m["content"]) for m in kept] == [30, 102] and left_out == 400  # spaces, which templates strip, and 100


def test_a_name_is_no_longer_than_any_is(tmp_path):
    """Expressions look for the parts of a tensor's name: of a megabyte they took minutes."""
    from engine.run.adapters.prompts import read_vectors

    for kind, name in (("LORA", "base_model.model.a" + ".base_layer" * 50_000 + ".x"),
                       ("ADAPTION_PROMPT", "layers.1" * 50_000)):  # fmt: skip
        save_file({name: torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": kind}))
        for read in (Run.from_adapter if kind == "LORA" else read_vectors, tensors.Tensors):
            with pytest.raises(InputError, match=r"a tensor's name has \d{3},\d{3} characters"):
                read(tmp_path)


# --- many ------------------------------------------------------------------------------------------------


def many(folder, count):
    names = [
        f"base_model.model.model.layers.{n}.mlp.experts.{n % 7}.w.lora_{side}.weight"
        for n in range(count)
        for side in "AB"
    ]
    save_file({name: torch.ones(2, 2) for name in names}, folder / "adapter_model.safetensors")
    ranks = {f"model.layers.{n}.mlp.experts.{n % 7}.w": 2 for n in range(count)}
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "r": 8,
                "lora_alpha": 4,
                "rank_pattern": ranks,
                "base_model_name_or_path": str(folder),
            }
        )
    )
    save_file({f"{name}.weight": torch.ones(2, 2) for name in ranks}, folder / "model.safetensors")


@pytest.mark.timeout(15)
@pytest.mark.parametrize("end", ["weight", "a.weight", "lm_head.weight"])
def test_names_without_a_number_are_not_each_compared_with_all(end, tmp_path):
    for side, folder in (("x", tmp_path / "base"), ("y", tmp_path / "tuned")):
        folder.mkdir()
        names = [f"{side}{n}.{end}" for n in range(5000)]
        save_file({name: torch.ones(1) for name in [*names, "z.same.weight"]}, folder / "model.safetensors")
    base, tuned = (tensors.Tensors(tmp_path / side) for side in ("base", "tuned"))
    pairs, apart = pair(base, tuned)
    assert list(pairs) == ["z.same.weight"] and len(apart["only in the base"]) == 5000
    assert not any(find_name(name, base) for name in tuned.entries if name not in pairs)


@pytest.mark.timeout(15)
def test_copies_that_were_trained_are_not_each_compared_with_all(tmp_path):
    names = [
        f"base_model.model.a{n}.{kind}.weight" for n in range(4000) for kind in ("modules_to_save", "original_module")
    ]
    save_file({name: torch.ones(1) for name in names}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 4}))
    assert len(Run.from_adapter(tmp_path).info.modules) == 4000


def test_a_header_is_read_once_however_many_tensors_it_names(tmp_path, monkeypatch):
    many(tmp_path, 400)
    headers = []
    monkeypatch.setattr(
        tensors, "parse_json", lambda text, _plain=tensors.parse_json: headers.append(len(text)) or _plain(text)
    )
    run = Run.from_adapter(tmp_path)
    assert len(run.modules) == 400 and run.module(run.modules[7]).scaling == 2.0 and not run.info.notes
    for module in run.modules:
        run.factors(module), run.weight(module)
    assert len(headers) <= 3, "the adapter's, and the base's when it is looked for and when it is read"


def test_captures_are_opened_once_and_again_when_they_change(lora_run, tmp_path, monkeypatch):
    folder = shutil.copytree(lora_run.path, tmp_path / "run")
    headers = []
    monkeypatch.setattr(
        tensors, "parse_json", lambda text, _plain=tensors.parse_json: headers.append(1) or _plain(text)
    )
    run = Run.load(folder)
    for _ in range(3):
        for step in run.steps[:4]:
            for module in run.modules:
                run.factors(module, step)
    assert len(headers) == 4
    first, second = (folder / "captures" / f"step-{step:06d}.safetensors" for step in run.steps[:2])
    before = run.factors(run.modules[0], run.steps[1])
    shutil.copy(first, second)
    assert not np.array_equal(run.factors(run.modules[0], run.steps[1]).B, before.B) and len(headers) == 5


# --- what acts on a Run checks it --------------------------------------------------------------------------


def test_data_that_has_changed_is_not_graded_as_held_out(tmp_path):
    rows = [json.dumps({"prompt": f"say {n}", "completion": str(n)}) for n in range(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(rows) + "\n")
    run = finetune("embedded", tmp_path / "data.jsonl", LoRA(r=2), out=tmp_path / "run", steps=1, skills=0, batch_size=2,
                   progress=False, save=False)  # fmt: skip
    name, graded, trained_on = questions_of(run, str(tmp_path / "." / "data.jsonl"))
    assert (name, len(graded), trained_on) == ("data", 4, 0), "what it held out, however the path is written"
    (tmp_path / "data.jsonl").write_text("\n".join([json.dumps({"prompt": "new", "completion": "line"}), *rows]) + "\n")
    for given in (None, tmp_path / "data.jsonl"):
        with pytest.raises(InputError, match="has changed since it was trained on"):
            questions_of(run, given)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path, lora_run):
    folder = save_base(tmp_path / "model")
    load_model(folder)
    found = tensors.Tensors(folder)
    kept = {name: torch.from_numpy(found.read(name)) for name in found.entries if "layers.1.mlp.up_proj" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights of its model: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder)
    run = shutil.copytree(lora_run.path, tmp_path / "run")
    load_tuned(Run.load(run))
    found = tensors.Tensors(run / "adapter")
    half = {name: torch.from_numpy(found.read(name)) for name in list(found.entries)[:-1]}
    save_file(half, run / "adapter" / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"could not be loaded: .*missing adapter keys"):
        load_tuned(Run.load(run))


@pytest.mark.timeout(20)
def test_a_pipe_or_a_link_out_among_a_results_files_is_named(tmp_path, lora_run):
    run = shutil.copytree(lora_run.path, tmp_path / "run")
    (run / "adapter" / "tokenizer.json").unlink()
    os.mkfifo(run / "adapter" / "tokenizer.json")
    with pytest.raises(InputError, match="is a pipe"):
        load_tuned(Run.load(run))
    (run / "adapter" / "tokenizer.json").unlink()
    (run / "adapter" / "tokenizer.json").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="leads out of its folder"):
        load_tuned(Run.load(run))
    for name in ("captures", "adapter"):
        shutil.move(run / name, tmp_path / name)
        (run / name).symlink_to(tmp_path / name)
    with pytest.raises(InputError, match="leads out of its folder"):
        load_tuned(Run.load(run))
    with pytest.raises(InputError, match="leads out of its folder"):
        Run.load(run).factors(lora_run.modules[0])


LONG_SIDE = 1_000_000  # a square of such sides has four terabytes
SMALL_FACTORS = {
    "LOHA": {"hada_w1_a": (LONG_SIDE, 1), "hada_w1_b": (1, LONG_SIDE), "hada_w2_a": (LONG_SIDE, 1),
             "hada_w2_b": (1, LONG_SIDE)},
    "LOHA, one half": {"hada_w1_a": (4, 1), "hada_w1_b": (1, 4), "hada_w2_a": (LONG_SIDE, 1),
                       "hada_w2_b": (1, LONG_SIDE)},
    "LOHA, a core": {**{f"hada_w{n}_{side}": (2, LONG_SIDE) for n in (1, 2) for side in "ab"},
                     **{f"hada_t{n}": (2, 2, 3, 3) for n in (1, 2)}},
    "LOKR": {"lokr_w1": (1000, 1000), "lokr_w2": (1000, 1000)},
    "LOKR, of factors": {"lokr_w1": (2, 2), "lokr_w2_a": (LONG_SIDE, 1), "lokr_w2_b": (1, LONG_SIDE)},
    "LOKR, a core": {"lokr_w1": (2, 2), "lokr_w2_a": (2, LONG_SIDE), "lokr_w2_b": (LONG_SIDE, 2),
                     "lokr_t2": (2, LONG_SIDE, 1, 1)},
    "ADALORA": {"lora_A": (1, LONG_SIDE), "lora_B": (4, 1), "lora_E": (LONG_SIDE, 1)},
    "LORA": {"lora_A.weight": (1, LONG_SIDE), "lora_B.weight": (LONG_SIDE, 1)},
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL_FACTORS)
def test_small_factors_of_something_huge_are_asked_for_room_first(kind, tmp_path, capsys):
    from engine.inspect.__main__ import main

    tensors = {f"base_model.model.a.b.{part}": torch.ones(shape) for part, shape in SMALL_FACTORS[kind].items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    about = {"peft_type": kind.partition(",")[0], "r": 1, "lora_alpha": 1, "alpha": 1}
    (tmp_path / "adapter_config.json").write_text(json.dumps(about))
    run = Run.from_adapter(tmp_path)
    with pytest.raises(InputError, match=r"of memory are free|cannot be multiplied"):
        run.delta(next(iter(run.info.modules)))
    assert main([str(tmp_path)]) in (0, 1) and "Traceback" not in capsys.readouterr().out


def test_so_are_a_stack_of_experts_and_a_prompt_of_many_tasks(tmp_path):
    from engine.run.adapters.prompts import read_vectors

    names = {f"base_model.model.a.experts.lora_{side}.weight": torch.ones(shape)
             for side, shape in (("A", (2, LONG_SIDE)), ("B", (LONG_SIDE, 2)))}  # fmt: skip
    save_file(names, tmp_path / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_parameters": ["experts.gate_up_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(about))
    run = Run.from_adapter(tmp_path)
    with pytest.raises(InputError, match="of memory are free"):
        run.delta(next(iter(run.info.modules)))
    vectors = {"prompt_embeddings": torch.ones(2, 2), "prefix_task_cols": torch.ones(1, LONG_SIDE, 1),
               "prefix_task_rows": torch.ones(1, 1, LONG_SIDE)}  # fmt: skip
    save_file(vectors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "MULTITASK_PROMPT_TUNING"}))
    with pytest.raises(InputError, match="of memory are free"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("kind, told", [
    ("LORA", {"r": 2_000_000}), ("LORA", {"rank_pattern": {"q_proj": 3_000_000}}), ("VERA", {"r": 10_000_000}),
    ("HRA", {"r": 5_000_000}), ("VBLORA", {"num_vectors": 10**6, "vector_length": 10**6}), ("SHIRA", {"r": 10**7}),
    ("LOHA", {"r": 10**7}), ("RANDLORA", {"r": 10**7}),
])  # fmt: skip
def test_what_settings_alone_would_make_is_foreseen(kind, told, tmp_path):
    """peft made it before it compared it with the file."""
    model = peft.get_peft_model(small_model(), config_of(kind))
    model.save_pretrained(tmp_path)
    with_adapter(small_model(), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | told))
    with pytest.raises(InputError, match=r"its settings make an adapter of [\d,.]+ GB, and its file holds 0\.\d MB"):
        with_adapter(small_model(), tmp_path)


# As Unsloth writes it, which cannot be counted.
UNSLOTH = (r"(?:.*?(?:vision|image|language|text).*?(?:self_attn|attention|mlp|ffn).*?(?:q_proj|k_proj|v_proj|gate_proj).*?)"
           r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|mlp)\.(?:(?:q_proj|k_proj|v_proj|gate_proj)))")  # fmt: skip


def test_patterns_of_an_adapter_are_tried_before_peft_uses_them(tmp_path, monkeypatch):
    peft.get_peft_model(small_model(), peft.LoraConfig(r=2, target_modules=UNSLOTH)).save_pretrained(tmp_path)
    with_adapter(small_model(), tmp_path)
    monkeypatch.setattr("engine.patterns._SECONDS", 0.3)
    file = tmp_path / "adapter_config.json"
    saved, evil = json.loads(file.read_text()), "(([a-z_.0-9]+)+)+!"
    for told in ({"target_modules": evil}, {"exclude_modules": evil}, {"alpha_pattern": {evil: 8}},
                 {"layers_pattern": evil}, {"modules_to_save": [evil]}):  # fmt: skip
        file.write_text(json.dumps(saved | told))
        with pytest.raises(InputError, match=r"its patterns .* take more than"):
            with_adapter(small_model(), tmp_path)


@pytest.mark.timeout(60)
def test_finite_weights_that_overflow_are_inspected_and_do_not_hang(tmp_path, capsys):
    from engine.inspect.__main__ import main

    save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base")
    found = tensors.Tensors(tmp_path / "adapter")
    huge = {name: torch.full(entry.shape, 1e19) for name, entry in found.entries.items()}
    save_file(huge, tmp_path / "adapter" / "adapter_model.safetensors", metadata={"format": "pt"})
    assert main([str(tmp_path / "adapter")]) in (0, 1)
    assert "norm of delta-W" in capsys.readouterr().out


@pytest.mark.timeout(120)
def test_a_description_of_codes_may_say_anything(tmp_path):
    """Of every field of what bitsandbytes says beside a weight, every hostile value."""
    torch.manual_seed(0)
    stored, _ = four_bit(torch.randn(64, 32), "nf4", True)
    state = next(name for name in stored if "quant_state" in name)
    about = json.loads(bytes(stored[state].numpy()))
    ends = set()
    for place in places(about):
        for value in HOSTILE:
            said = torch.frombuffer(bytearray(json.dumps(put(about, place, value)).encode()), dtype=torch.uint8)
            save_file({**stored, state: said.clone()}, tmp_path / "model.safetensors")
            try:
                tensors.Tensors(tmp_path).read(NAME)
                ends.add("right")
            except InputError as error:
                assert "\n" not in str(error)
                ends.add("one sentence")
    assert ends == {"right", "one sentence"}
