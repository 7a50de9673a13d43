"""No field of a record vanishes: it is learned from, obeyed, refused by name, or listed as unused."""

import copy
import json
from pathlib import Path

import pytest

from engine.data import IGNORE, encode, encode_all, load, to_messages
from engine.data.report import report
from engine.evaluate import last_answer
from glasstune import InputError

ASK = {"role": "user", "content": "Weather in Rome?"}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "the weather", "parameters": {}}}
TALK = [
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "WRONG"},
    {"role": "user", "content": "Again."},
    {"role": "assistant", "content": "4"},
]
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def qwen(tokenizer, name="qwen3"):
    trl = pytest.importorskip("trl")
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    other.eos_token = "<|im_end|>"
    file = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
    other.chat_template = file.read_text(encoding="utf-8") if name != "plain" else PLAIN
    return other


def learned(tokenizer, row):
    return tokenizer.decode([label for label in row.labels if label != IGNORE])


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        {"messages": [ASK, {"role": "assistant", "tool_calls": json.dumps([CALL])}]},
        {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}]}]},
        {"messages": [ASK, {"role": "assistant", "content": None,
                            "function_call": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}]},
        {"conversations": [{"from": "human", "value": ASK["content"]},
                           {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "Rome"}}'}]},
    ],
)  # fmt: skip
def test_a_tool_call_is_learned_however_it_is_written(tokenizer, record):
    messages = to_messages(record, "here")
    assert messages == [ASK, {"role": "assistant", "content": "", "tool_calls": [CALL]}] and not messages.unused
    said = learned(qwen(tokenizer), encode(qwen(tokenizer), messages))
    assert '{"name": "get_weather", "arguments": {"city": "Rome"}}' in said
    assert last_answer(messages) is None, "a call is no answer in words to grade"


def test_a_template_that_shows_no_tool_calls_is_refused_and_one_without_tools_is_reported(tokenizer):
    record = {"messages": [ASK, {"role": "assistant", "tool_calls": [CALL]}], "tools": [TOOL]}
    with pytest.raises(InputError, match=r"record 0: .* shows no tool calls, so the call of 'get_weather'"):
        encode(qwen(tokenizer, "plain"), load([record]).train[0])
    record = {"messages": [ASK, {"role": "assistant", "content": "Sunny."}], "tools": json.dumps([TOOL["function"]])}
    assert encode(qwen(tokenizer, "plain"), to_messages(record, "")).unseen == ("tools",)
    shown = encode(qwen(tokenizer), to_messages(record, ""))
    assert shown.unseen == () and "the weather" in tokenizer.decode(shown.ids)
    assert report([record], qwen(tokenizer, "plain")).unseen == {"tools": ["record 0"]}


def test_what_a_tool_said_is_read_and_not_learned(tokenizer):
    turns = [("human", "Rome?"), ("function_call", json.dumps(CALL["function"])), ("observation", "22 degrees"),
             ("gpt", "It is warm.")]  # fmt: skip
    messages = to_messages({"conversations": [{"from": who, "value": said} for who, said in turns]}, "")
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "assistant"]
    row = encode(qwen(tokenizer), messages)
    assert "22 degrees" in tokenizer.decode(row.ids) and "22 degrees" not in learned(tokenizer, row)
    assert "It is warm." in learned(tokenizer, row) and "get_weather" in learned(tokenizer, row)


@pytest.mark.parametrize("name", ["embedded", "plain"])
@pytest.mark.parametrize("field", [{"weight": 0}, {"train": False}, {"training": "false"}, {"weight": "0"}])
def test_an_answer_that_is_not_to_be_learned_is_not(tokenizer, name, field):
    words = tokenizer if name == "embedded" else qwen(tokenizer, "plain")
    messages = to_messages({"messages": [TALK[0], TALK[1] | field, *TALK[2:]]}, "")
    for mask_prompts in (True, False):
        (row,) = encode_all(words, [messages], mask_prompts=mask_prompts)
        said = learned(words, row)
        assert "4" in said and "WRONG" not in said and ("Again." in said) != mask_prompts
        assert "WRONG" in words.decode(row.ids), "it is read"
    assert last_answer(messages)[1] == "4"


@pytest.mark.parametrize("mark", [{"label": False}, {"label": "False"}, {"train": False}, {"weight": 0}])
def test_a_whole_record_marked_as_wrong_is_not_learned(tokenizer, mark):
    good = {"prompt": "2 + 2?", "completion": "4", "label": True}
    wrong = {"prompt": "2 + 3?", "completion": "WRONG"} | mark
    rows = encode_all(tokenizer, load([good, wrong]).train)
    assert [learned(tokenizer, row) for row in rows] == ["4" + tokenizer.eos_token]
    assert report([good, wrong], tokenizer).not_learned == ["record 1"]


def test_a_class_is_no_mark(tokenizer):
    messages = to_messages({"text": "A fine film.", "label": 0}, "")
    assert messages.unused == ("label",) and encode(tokenizer, messages).trained


@pytest.mark.parametrize("weight", [0.5, 2, -1, "half"])
def test_a_weight_that_is_neither_is_refused(weight):
    with pytest.raises(InputError, match="message 2 has the weight"):
        to_messages({"messages": [TALK[0], TALK[1] | {"weight": weight}]}, "here")


def test_history_comes_first():
    record = {"instruction": "And 3?", "output": "6", "history": [["2 + 2?", "4"], ["And 1?", "5"]]}
    messages = to_messages(record, "")
    assert [m["content"] for m in messages] == ["2 + 2?", "4", "And 1?", "5", "And 3?", "6"]
    with pytest.raises(InputError, match="'history' is not a list of"):
        to_messages(record | {"history": [["alone"]]}, "here")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_learned_where_the_template_shows_it_and_reported_where_not(tokenizer, name):
    messages = to_messages({"messages": [TALK[0], {"role": "assistant", "content": "4", name: "two and two"}]}, "")
    row = encode(qwen(tokenizer), messages)
    assert "two and two" in learned(tokenizer, row) and row.unseen == ()
    assert encode(qwen(tokenizer, "plain"), messages).unseen == ("reasoning",)


@pytest.mark.parametrize("answer", ["4 ", " 4", "", "4\n", "<think>\nhm\n</think>\n\n4"])
@pytest.mark.parametrize("name", ["qwen3", "qwen2_5", "plain"])
def test_answers_with_odd_ends_can_be_marked(tokenizer, name, answer):
    words = qwen(tokenizer, name)
    turns = [TALK[0], {"role": "assistant", "content": answer}, TALK[2], {"role": "assistant", "content": "5"}]
    for messages in (turns[:2], turns):
        said = learned(words, encode(words, messages))
        assert "2 + 2" not in said and "Again" not in said
        assert ("4" in said) == ("4" in answer) and ("5" in said) == (len(messages) == 4)


@pytest.mark.parametrize(
    "record, form",
    [
        ({"question": "2 + 2?", "answer": "4"}, "question-answer"),
        ({"query": "2 + 2?", "response": "4"}, "question-answer"),
        ({"input": "2 + 2?", "output": "4"}, "question-answer"),
        ({"instruction": "2 + 2?", "response": "4", "context": ""}, "alpaca"),
        ({"prompt": "2 + 2?", "response": "4"}, "prompt-completion"),
        ({"messages": json.dumps([TALK[0], {"role": "assistant", "content": "4"}])}, "messages"),
        ({"messages": {"role": ["user", "assistant"], "content": ["2 + 2?", "4"]}}, "messages"),
        ({"messages": [TALK[0], {"role": "assistant", "content": ["4"]}]}, "messages"),
        ({"messages": [TALK[0], {"role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]}, "messages"),
    ],
)
def test_more_forms_are_read(record, form):
    messages = to_messages(record, "")
    assert messages == [TALK[0], {"role": "assistant", "content": "4"}] and messages.form == form


def test_a_whole_text_is_learned_whole(tokenizer):
    (row,) = encode_all(tokenizer, load([{"text": "Once upon a time."}]).train)
    assert row.labels == row.ids and tokenizer.decode(row.ids).endswith("time." + tokenizer.eos_token)
    assert last_answer(load([{"text": "Once."}]).train[0]) is None


@pytest.mark.parametrize(
    "record, said",
    [
        ({"prompt": "a", "completion": "b", "images": ["x.png"]}, "it holds images, and only text can be learned"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
         "message 1: its content has a part of type 'image_url'"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "it is a preference pair"),
        ({"messages": [TALK[0], {"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "without a function's name"),
        ({"messages": {"role": ["user"], "content": []}}, "are not equally long"),
        ({"messages": [TALK[0], {"role": "assistant"}]}, "message 2 has no text in its field 'content'"),
        ({"conversations": [{"from": "function_call", "value": "call me"}]}, "is a function call, but not JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_refused_by_name(record, said):
    with pytest.raises(InputError, match="here") as caught:
        to_messages(record, "here")
    assert said in str(caught.value)


def test_every_other_field_is_listed(tokenizer):
    record = {"id": 7, "prompt": "2 + 2?", "completion": "4", "images": [], "source": "web", "note": "", "tag": None}
    assert to_messages(record, "").unused == ("id", "source")
    talk = {"messages": [TALK[0] | {"ts": 3}, TALK[1]], "id": 1}
    assert set(to_messages(talk, "").unused) == {"id", "messages[].ts"}
    assert report([record, record, talk], tokenizer).unused == {"id": 3, "source": 2, "messages[].ts": 1}


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_half_of_the_worlds_csv_is_read(tmp_path, mark):
    file = tmp_path / "mine.csv"
    file.write_text(f'question{mark}answer\n"2{mark} 2?"{mark}4, or so\n', encoding="utf-8")
    assert [m["content"] for m in load(file).train[0]] == [f"2{mark} 2?", "4, or so"]


OTHER = {"type": "function", "function": {"name": "get_time", "parameters": {}}}
SYSTEM = {"role": "system", "content": "Be brief."}
SAYS = {"role": "assistant", "content": "Sunny."}


@pytest.mark.parametrize("record, unused", [
    ({"question": "Where?", "answer": "here", "context": {"title": ["a"]}}, {"context"}),  # HotpotQA's
    ({"prompt": [SYSTEM, ASK], "completion": "Sunny.", "input": "Rome"}, {"input"}),
    ({"messages": [SYSTEM, ASK, SAYS], "system": "Be long."}, {"system"}),
    ({"text": "a story", "system": "Be long.", "tools": [TOOL]}, {"system", "tools"}),
    ({"messages": [ASK, SAYS | {"tools": [TOOL]}]}, {"messages[].tools"}),
    ({"messages": [ASK | {"tools": [OTHER]}, SAYS], "tools": [TOOL]}, {"messages[].tools"}),
    ({"messages": [ASK | {"name": ["Ann"]}, SAYS | {"tool_call_id": 7}]}, {"messages[].name", "messages[].tool_call_id"}),
    ({"conversations": [{"from": "human", "value": "Weather?"}, {"from": "function_call", "tool_calls": [CALL],
                                                                  "value": json.dumps(CALL["function"])}]},
     {"conversations[].tool_calls"}),
])  # fmt: skip
def test_a_field_that_is_looked_at_and_left_is_listed(record, unused):
    assert set(to_messages(record, "").unused) == unused


@pytest.mark.parametrize("record", [
    {"question": "Where?", "answer": "here", "context": "Rome"},
    {"prompt": [ASK], "completion": "Sunny.", "input": "Rome"},
    {"messages": [SYSTEM, ASK, SAYS], "system": "Be brief."},
    {"messages": [ASK, SAYS], "system": "Be brief.", "tools": [TOOL]},
    {"messages": [ASK | {"tools": [TOOL]}, SAYS | {"tools": [TOOL]}], "tools": [TOOL]},
    {"messages": [ASK | {"name": "Ann"}, SAYS | {"tool_call_id": "7"}]},
])  # fmt: skip
def test_a_field_of_which_something_is_made_is_not(record):
    messages = to_messages(record, "")
    assert not messages.unused
    assert [m for m in messages if "tools" in m] == ([messages[0]] if "tools" in record else [])
