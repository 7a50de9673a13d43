"""Reading data: every form and every file gives the same conversations, and an error says where."""

import json

import pytest
from datasets import Dataset, DatasetDict

from engine.data import hold_out, load, to_messages
from engine.errors import printable
from glasstune import InputError

CHAT = [{"role": "user", "content": "Say hi"}, {"role": "assistant", "content": "hi"}]
FORMS = {
    "alpaca": {"instruction": "Say hi", "input": "", "output": "hi"},
    "messages": {"messages": CHAT},
    "conversations": {"conversations": [{"from": "human", "value": "Say hi"}, {"from": "gpt", "value": "hi"}]},
    "prompt-completion": {"prompt": "Say hi", "completion": "hi"},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_conversation(form):
    messages = to_messages(FORMS[form], "here")
    assert messages == CHAT and messages.form == form and messages.where == "here"


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": CHAT[:1], "completion": CHAT[1:]},  # TRL's conversational form
        {"messages": [CHAT[0], {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": CHAT, "prompt": None, "id": 7},  # columns that it does not use
        {"instruction": "Say", "input": "hi", "output": "hi"} | {"instruction": "Say hi", "input": None},
    ],
)
def test_their_variants_too(record):
    assert to_messages(record, "here") == CHAT


def test_system_words_come_first_in_any_form():
    for record in (
        {"system": "Be kind."} | FORMS["alpaca"],
        {"system": "Be kind."} | FORMS["conversations"],
        {"conversations": [{"from": "system", "value": "Be kind."}, *FORMS["conversations"]["conversations"]]},
    ):
        assert to_messages(record, "") == [{"role": "system", "content": "Be kind."}, *CHAT]


def test_an_input_goes_on_after_a_colon_and_else_begins_a_line():
    for asked, whole in (("Translate:", "Translate: dog"), ("Translate this.", "Translate this.\ndog")):
        assert to_messages({"instruction": asked, "input": "dog", "output": "x"}, "")[0]["content"] == whole


def _write(path, records):
    """The records in the form that the file's name ends in."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1))
    elif path.suffix == ".csv":
        Dataset.from_list(records).to_csv(path)
    else:
        Dataset.from_list(records).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_file_is_the_same_conversations(tmp_path, suffix):
    records = [{"prompt": f"Say {word}", "completion": word} for word in ("hi", "007", "NA", "two\nlines, é")]
    data = load(_write(tmp_path / f"mine{suffix}", records))
    assert data.name == "mine" and data.heldout == []
    assert [[m["content"] for m in c] for c in data.train] == [[r["prompt"], r["completion"]] for r in records]


def test_data_called_like_a_task_is_told_from_it(tmp_path):
    file = _write(tmp_path / "spanish.jsonl", [FORMS["alpaca"]])
    assert load(file).name == "spanish (yours)" and load("spanish").name == "spanish"
    assert load(load("spanish")).name == "spanish", "a part of a task is that task's"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("form", ["messages", "conversations"])
def test_nested_forms_in_files(tmp_path, suffix, form):
    assert load(_write(tmp_path / f"mine{suffix}", [FORMS[form]])).train == [CHAT]


@pytest.mark.parametrize(
    "text", ['{"data": [%s]}', '{"version": 1, "data": [%s]}', "%s\n", "%s\n%s\n", "\ufeff[%s]"]
)  # fmt: skip
def test_json_however_it_is_wrapped(tmp_path, text):
    file = tmp_path / "mine.json"
    file.write_text(text.replace("%s", json.dumps(FORMS["messages"])))
    assert load(file).train == [CHAT] * text.count("%s")


def test_a_line_may_hold_any_character(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"prompt": "a\u2028b\x85c", "completion": "d"}, ensure_ascii=False) + "\r\n\r\n{}\n")
    with pytest.raises(InputError, match="line 3: no field"):
        load(file)


def test_datasets_objects_folders_and_parts(tmp_path):
    parts = DatasetDict(
        {part: Dataset.from_list([FORMS["alpaca"]] * n) for part, n in (("train", 3), ("validation", 2))}
    )
    parts.save_to_disk(tmp_path / "saved")
    (tmp_path / "files").mkdir()
    _write(tmp_path / "files" / "train.jsonl", [FORMS["alpaca"]] * 3)
    _write(tmp_path / "files" / "test.jsonl", [FORMS["alpaca"]] * 2)
    for source in (parts, tmp_path / "saved", str(tmp_path / "files")):
        data = load(source)
        assert (data.train, data.heldout) == ([CHAT] * 3, [CHAT] * 2)
    assert load(parts["train"]).train == [CHAT] * 3


@pytest.mark.parametrize(
    "record, said",
    [
        ({"messages": [CHAT[0], {"content": "hi"}]}, "message 2 has no role in its field 'role'"),
        ({"conversations": [{"value": "hi"}]}, "message 1 has no role in its field 'from'"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "message 1 has the role 'narrator'; known are assistant"),
        ({"messages": [{"role": "user", "content": None}]}, "message 1 has no text in its field 'content'"),
        ({"messages": []}, "holds no messages"),
        ({"messages": "hi"}, "'messages' is not a list of objects"),
        ({"prompt": "hi"}, "no field 'completion' (it has: prompt)"),
        ({"body": "hi"}, "no field 'instruction' (it has: body); give instruction and output, question and answer"),
        ({"instruction": "a", "output": ["b"]}, "field 'output' holds list, not text"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_named_by_its_line(tmp_path, record, said):
    file = tmp_path / "mine.jsonl"
    file.write_text(f"{json.dumps(FORMS['alpaca'])}\n\n{json.dumps(record)}\n")
    with pytest.raises(InputError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}, line 3: ") and said in str(caught.value)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.json", b'[{"prompt": }]', "a.json, line 1, column 13: not JSON"),
        ("a.json", b"3", "holds a int, not a list of records"),
        ("a.json", b"[]", "holds no records"),
        ("a.json", b"[3]", "record 0: a int, not an object"),
        ("a.csv", b"prompt,completion\n", "holds no records"),
        ("a.csv", b"prompt,completion\na,b,c,d\n", "a.csv cannot be read"),
        ("a.csv", b"prompt,reply\na,b\n", "row 1: no field 'completion'"),
        ("a.csv", b"", "a.csv cannot be read"),
        ("a.csv", b"prompt,completion\n\xff\xfe,b\n", "a.csv cannot be read"),
        ("a.parquet", b"PAR1 not really", "a.parquet cannot be read"),
        ("a.jsonl", b"", "holds no records"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(tmp_path / name)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_hub_id_that_cannot_be_reached_and_things_that_are_no_data(tmp_path):
    for source, said in (
        ("nobody/nothing-here", "data set 'nobody/nothing-here' could not be loaded from the Hub"),
        ("missing.jsonl", "no task and no file called 'missing.jsonl'"),
        ("folder/missing.csv", "no task and no file called"),
        (tmp_path, "cannot be read"),
        (3, "data is a int"),
        ({"prompt": "a"}, "data is a dict"),
    ):
        with pytest.raises(InputError, match=said):
            load(source)


def test_a_data_set_without_a_train_part():
    with pytest.raises(InputError, match=r"no part called 'train' .it has: extra"):
        load(DatasetDict({"extra": Dataset.from_list([FORMS["alpaca"]])}))


def test_reading_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    load(_write(tmp_path / "mine.csv", [FORMS["prompt-completion"]]))
    assert not (tmp_path / "cache").exists()


def test_a_tenth_is_held_out_the_same_way_each_time():
    data = load([FORMS["alpaca"] | {"output": str(n)} for n in range(40)])
    one, two = hold_out(data, 3), hold_out(data, 3)
    assert one.heldout == two.heldout and len(one.heldout) == 4
    assert sorted(c[1]["content"] for c in one.train + one.heldout) == sorted(c[1]["content"] for c in data.train)
    assert hold_out(load([FORMS["alpaca"]] * 19), 0).heldout == []


def test_nothing_that_steers_a_terminal_passes():
    hostile = "\x1b]0;owned\x07 \x9b2J \u202eabc\u2066 \r\n \ud800 ok é 日本 🙂"
    shown = printable(hostile)
    assert all(c.isprintable() for c in shown) and shown.endswith("ok é 日本 🙂")
    assert printable("a\nb", keep="\n") == "a\nb"
    with pytest.raises(InputError) as caught:
        to_messages({"\x1b[31mred": 1}, "line 1\x1b")
    assert str(caught.value).isprintable()
