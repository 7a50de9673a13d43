"""What is learned: the assistant's tokens, all of them and no others, whatever the model's chat template."""

import copy
import re
from pathlib import Path

import pytest

from engine.data import IGNORE, PLAIN_TEMPLATE, Encoded, collate, encode, encode_all, load, marking
from engine.school.tasks import TASKS
from glasstune import InputError

TALK = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "Good day"},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "It is 4."},
]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = CHATML.replace(
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}",
    "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{%- generation -%}{{ m.content + '<|im_end|>' }}{%- endgeneration -%}{{ '\n' }}"
    "{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}",
)
# As reasoning models do: an empty thought before the last answer only, so that earlier turns are rewritten.
REWRITING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content.strip() + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Mistral's and Gemma's do.
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{{ ' [INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + eos_token }}{% endfor %}"
)


@pytest.fixture
def chatty(tokenizer):
    """The embedded tokenizer with ChatML's special tokens, to wear other models' templates."""
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    other.eos_token = "<|im_end|>"
    return other


def learned(tokenizer, row: Encoded) -> list[str]:
    """Each stretch of learned tokens, as text."""
    stretches, before = [], False
    for token, label in zip(row.ids, row.labels, strict=True):
        if label != IGNORE:
            assert label == token
            stretches = stretches if before else [*stretches, []]
            stretches[-1].append(token)
        before = label != IGNORE
    return [tokenizer.decode(stretch).strip() for stretch in stretches]


@pytest.mark.parametrize(
    "template, said",
    [
        (MARKED, ["Good day<|im_end|>", "It is 4.<|im_end|>"]),
        (CHATML, ["Good day<|im_end|>", "It is 4.<|im_end|>"]),
        (STRICT, ["Good day<|im_end|>", "It is 4.<|im_end|>"]),
        (REWRITING, ["Good day<|im_end|>", "<think>\n\n</think>\n\nIt is 4.<|im_end|>"]),
        (None, ["Good day<|im_end|>", "It is 4.<|im_end|>"]),
    ],
    ids=["marked", "chatml", "strict", "rewriting", "none"],
)
def test_every_turn_of_the_assistant_and_nothing_else(chatty, template, said):
    chatty.chat_template = template
    row = encode(chatty, TALK)
    assert learned(chatty, row) == said
    assert row.ids == chatty.apply_chat_template(TALK)["input_ids"]


def test_marks_and_comparison_agree(chatty):
    rows = []
    for chatty.chat_template in (MARKED, CHATML):
        rows.append([encode(chatty, messages) for messages in (TALK, TALK[:2], *load("island").train[:20])])
    assert rows[0] == rows[1]


def test_it_says_how_the_answers_are_found(chatty):
    for template, said in ((MARKED, "marks the assistant"), (CHATML, "cannot mark"), (None, "brings no chat template")):
        chatty.chat_template = template
        assert said in marking(chatty)
    assert chatty.chat_template == PLAIN_TEMPLATE  # and is saved with the model


def test_what_cannot_be_marked_is_refused_with_its_place(chatty):
    chatty.chat_template = CHATML.replace("m.content", "(m.content | upper)")
    data = load([{"messages": TALK[:2]}]).train
    assert learned(chatty, encode(chatty, data[0])) == ["GOOD DAY<|im_end|>"]  # what is added is known all the same
    chatty.chat_template = REWRITING.replace("m.content.strip()", "(m.content | upper)")
    with pytest.raises(InputError, match="record 0: this model's chat template rewrites what message 2 says"):
        encode(chatty, load([{"messages": TALK}]).train[0])
    chatty.chat_template = STRICT
    with pytest.raises(InputError, match=r"record 0: the model's chat template refuses .* roles must alternate"):
        encode(chatty, load([{"messages": TALK[:1] + TALK[2:]}]).train[0])


def test_a_conversation_that_opens_with_an_answer(chatty):
    for template in (MARKED, CHATML):
        chatty.chat_template = template
        assert learned(chatty, encode(chatty, TALK[1:])) == ["Good day<|im_end|>", "It is 4.<|im_end|>"]


@pytest.mark.parametrize("name", ["llama3", "gemma", "gemma3", "qwen2_5", "qwen3", "phi3", "cohere", "deepseekv3"])
def test_real_templates_against_trls_marked_ones(chatty, name):
    """TRL keeps real models' templates, and the same with marks added by hand: what is said must be the same."""
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    if not (folder / f"{name}_training.jinja").is_file():
        pytest.skip(f"this TRL keeps no template {name}")
    found = []
    for file in (f"{name}.jinja", f"{name}_training.jinja"):
        chatty.chat_template = (folder / file).read_text(encoding="utf-8")
        found.append(learned(chatty, encode(chatty, TALK)))
    for ours, theirs, message in zip(*found, TALK[1::2], strict=True):
        assert message["content"] in ours and message["content"] in theirs
        assert "Hello" not in ours and "2 + 2" not in ours


ANSWERS = {
    "spaces after it": ("It is four. \n", {}),
    "lines before it": ("\n\nIt is four.", {}),
    "empty": ("", {}),
    "reasoning": ("It is four. ", {"reasoning_content": " Two and two."}),
    "reasoning within": ("<think>\nTwo and two.\n</think>\n\nIt is four.", {}),
    "reasoning within, unspaced": ("<think>Two and two.</think>It is four. ", {}),
}


@pytest.mark.parametrize("turns", ["last", "first"])
@pytest.mark.parametrize(("said", "more"), ANSWERS.values(), ids=ANSWERS)
def test_answers_of_every_form_are_found_in_every_template_that_trl_keeps(chatty, said, more, turns):
    """Qwen's, reasoning models', those of models that see and want a list of parts: nothing is unmarkable or lost."""
    trl = pytest.importorskip("trl")
    talk = [{"role": "user", "content": "What is two and two, Bob?"}, {"role": "assistant", "content": said, **more}]
    if turns == "first":
        talk += [{"role": "user", "content": "Sure, Bob?"}, {"role": "assistant", "content": "Yes."}]
    for file in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja")):
        tokenizer = copy.deepcopy(chatty)
        tokenizer.chat_template = file.read_text(encoding="utf-8")
        special = re.findall(r"<[|\uff5c][^<>{}'\" ]*[|\uff5c]>|<end_of_\w+>", tokenizer.chat_template)
        tokenizer.add_tokens(sorted(set(special)), special_tokens=True)
        found = learned(tokenizer, encode(tokenizer, talk))
        assert len(found) == len(talk) / 2, file.name
        for stretch, message in zip(found, talk[1::2], strict=True):
            assert message["content"].split("</think>")[-1].strip() in stretch and "Bob" not in stretch, file.name
        if turns == "last" and "<think>" in said:
            assert "Two and two." in found[0] or "Two and two." not in tokenizer.decode(encode(tokenizer, talk).ids), (
                f"{file.name}: what is shown of the reasoning is learned"
            )


def test_a_template_that_leaves_the_answer_out_is_refused(chatty):
    chatty.chat_template = CHATML.replace("m.content", "(m.content if m.role != 'assistant' else '')")
    with pytest.raises(InputError, match="rewrites what message 2 says"):
        encode(chatty, TALK)


def test_the_first_token_of_a_text_is_not_counted_as_learned():
    assert Encoded([5, 6], [5, 6]).trained == 1


@pytest.mark.parametrize("task", TASKS)
def test_every_example_of_every_task_is_learned_whole(tokenizer, task):
    for messages in load(task).train[:50]:
        row = encode(tokenizer, messages)
        assert learned(tokenizer, row) == [messages[-1]["content"] + tokenizer.eos_token]


def test_cutting_says_how_much_and_what_is_left_without_an_answer_is_dropped(tokenizer):
    row = encode(tokenizer, TALK)
    cut = encode(tokenizer, TALK, 10)
    assert (len(cut.ids), cut.cut) == (10, len(row.ids) - 10) and cut.ids == row.ids[:10]
    assert [r.ids for r in encode_all(tokenizer, [TALK, TALK[:1]])] == [row.ids]
    with pytest.raises(InputError, match="no example has an answer left"):
        encode_all(tokenizer, [TALK], 3)


def test_without_masking_every_token_is_learned(tokenizer):
    masked, open_ = (encode_all(tokenizer, [TALK, TALK[:1]], mask_prompts=mask) for mask in (True, False))
    assert [row.ids for row in open_] == [row.ids for row in masked], "the same conversations, the same tokens"
    assert open_[0].labels == open_[0].ids and masked[0].trained < open_[0].trained == len(open_[0].ids) - 1


def test_a_batch_is_padded_on_the_right_and_padding_is_not_learned(tokenizer):
    rows = [encode(tokenizer, TALK), encode(tokenizer, TALK[:2])]
    batch = collate(rows, tokenizer.pad_token_id)
    for at, row in enumerate(rows):
        n = len(row.ids)
        assert batch["input_ids"][at, :n].tolist() == row.ids and batch["labels"][at, :n].tolist() == row.labels
        assert batch["attention_mask"][at].tolist() == [1] * n + [0] * (len(rows[0].ids) - n)
        assert set(batch["labels"][at, n:].tolist()) <= {IGNORE}
