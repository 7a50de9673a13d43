"""Bad input: one clear sentence that says what is wrong, where, and what to do; nothing written."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.data import encode
from engine.finetune import main
from engine.models import load_model, load_tokenizer
from glasstune import Full, InputError, LoRA, QLoRA, Run, finetune
from tests.engine.small import save_base


def tune(out, *args, **options):
    return finetune(*args, out=out / "run", steps=1, progress=False, **options)


@pytest.mark.parametrize(
    "arguments, options, said",
    [
        (("embedded", "spanish", "lorra"), {}, "no method called 'lorra'; there are full, lora, qlora"),
        (("embedded", "klingon", "lora"), {}, "no task and no file called 'klingon'; tasks are spanish"),
        (("embedded", "spanish", "lora"), {"learning_rat": 1}, "no setting called 'learning_rat'"),
        (("embedded", "spanish", "lora"), {"epochs": 1}, "steps or epochs, not both"),
        (("embedded", "spanish", "lora"), {"mix": 1.5}, "mix is 1.5"),
        (("embedded", "spanish", "lora"), {"batch_size": 0}, "batch_size is 0"),
        (("embedded", "spanish", "lora"), {"learning_rate": -1.0}, "learning_rate is -1.0"),
        (("/nowhere/model", "spanish", "lora"), {}, "/nowhere/model is no model folder"),
        (("embedded", [], "lora"), {}, "the data set is empty"),
        (("embedded", [{"instruction": "hi"}], "lora"), {}, "record 0: no field 'output'"),
        (("embedded", [{"instruction": "hi", "output": 3}], "lora"), {}, "field 'output' holds int"),
        (("embedded", [{"messages": [{"role": "user"}]}], "lora"), {}, "message 1 has no text in its field 'content'"),
        (("embedded", [{"messages": [{"role": "user", "content": "hi"}]}], "lora"), {}, "no example has an answer left"),
    ],
)  # fmt: skip
def test_one_sentence_and_nothing_written(tmp_path, arguments, options, said):
    with pytest.raises(InputError) as caught:
        tune(tmp_path, *arguments, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "content, said",
    [
        ('{"instruction": "a", "output": "b"}\n{"instruction": broken}\n', "data.jsonl, line 2, column 17: not JSON"),
        ('{"instruction": "a", "output": "b"}\n\n{"instruction": "a"}\n', "data.jsonl, line 3: no field 'output'"),
        ("[1, 2]\n", "data.jsonl, line 1: a list, not an object"),
        ("\n\n", "data.jsonl holds no records"),
    ],
)
def test_a_broken_data_file_is_named_by_line(tmp_path, content, said):
    file = tmp_path / "data.jsonl"
    file.write_text(content)
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        tune(tmp_path, "embedded", file, "lora")


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "data.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        tune(tmp_path, "embedded", tmp_path / "data.jsonl", "lora")


def test_an_output_folder_that_holds_another_run(tmp_path, lora_run):
    before = sorted(lora_run.path.rglob("*"))
    with pytest.raises(InputError, match="already holds another run; give another folder"):
        finetune("embedded", "spanish", "lora", out=lora_run.path, steps=1)
    assert sorted(lora_run.path.rglob("*")) == before


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        finetune("embedded", "spanish", "lora", out=tmp_path / "file" / "run", steps=1)


def test_a_model_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_model(tmp_path)


def test_a_model_folder_with_a_broken_config(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no model could be loaded"):
        load_model(tmp_path)


def test_a_model_of_more_layers_than_its_files_have_tensors(tmp_path):
    save_base(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**7}))
    with pytest.raises(InputError, match="says 10,000,000 layers, and its files hold 21 tensors"):
        load_model(tmp_path / "model")


def test_tensors_without_a_place_are_said_and_obeyed_by_no_terminal(tmp_path, capsys):
    save_base(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    save_file({**load_file(file), "\x1b[2Jmine.weight": torch.zeros(2)}, file, {"format": "pt"})
    load_model(tmp_path / "model")
    said = "".join(capsys.readouterr())
    assert "tensors that its model has no place for: \\x1b[2Jmine.weight" in said and "\x1b" not in said


@pytest.mark.parametrize("template", [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 1 / 0 }}", "{{ 'a' * 10**18 }}", "{{ messages[9].x.y }}",
    "{{ none.x.y }}", "{% if %}", "{{ ''.__class__.__mro__ }}",
])  # fmt: skip
def test_a_template_that_fails_is_one_sentence(template):
    tokenizer = load_tokenizer()
    tokenizer.chat_template = template
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(InputError, match="chat template") as caught:
        encode(tokenizer, talk)
    assert "\n" not in str(caught.value)


def test_lora_that_matches_no_layer(tmp_path):
    with pytest.raises(InputError, match="LoRA found nothing to adapt"):
        tune(tmp_path, "embedded", "spanish", LoRA(target_modules=["no_such_proj"]))


@pytest.mark.parametrize("make, said", [
    (lambda: LoRA(r=0), "r is 0"), (lambda: LoRA(dropout=1.0), "dropout is 1.0"), (lambda: QLoRA(quant_type="int3"), "int3"),
])  # fmt: skip
def test_methods_check_their_numbers(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_no_run_here(tmp_path):
    with pytest.raises(InputError, match=r"holds no run \(no run\.json\)"):
        Run.load(tmp_path)


def test_a_run_json_that_is_broken_or_foreign(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        Run.load(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="not written by Glasstune"):
        Run.load(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "glasstune-run", "version": 99}')
    with pytest.raises(InputError, match="format version 99"):
        Run.load(tmp_path)


def test_unknown_module_and_step(lora_run, full_run):
    with pytest.raises(InputError, match=r"no module 'q_proj'.*layers\.0\.self_attn\.q_proj"):
        lora_run.delta("q_proj")
    with pytest.raises(InputError, match="no step 999; the nearest is 25"):
        lora_run.delta(lora_run.modules[0], 999)
    with pytest.raises(InputError, match="it has a delta but no factors"):
        full_run.factors(full_run.modules[0])


def test_the_command_line_prints_one_line_and_no_traceback(tmp_path, capsys):
    assert main(["--data", "klingon", "--out", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: no task and no file called 'klingon'") and said.count("\n") == 1
    assert main(["--method", "full", "--r", "4", "--out", str(tmp_path / "x")]) == 2
    assert "full fine-tuning has none" in capsys.readouterr().err


def test_full_has_no_settings_of_its_own():
    assert Full().describe() == {"name": "full"}
