"""The page cuts text into the tokens that Python cuts it into, whatever the text."""

import random
import sys

import pytest

from engine.data import encode, load
from engine.evaluate import encode_last_answer
from engine.school.curriculum import SKILLS, heldout_examples, mixture
from engine.school.tasks import TASKS
from tests.visualize.page.node import ask

SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|", "|>", "<|end", "<end>"]
EMOJI = [
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🇫🇷",
    "é",
    "e\u0301",
    "ñ",
    "ﬁ",
    "𝔊",
    "中文",
    "العربية",
    "हिन्दी",
    "\u200d",
    "\ufe0f",
    "Ⅷ",
    "½",
    "²",
]


def any_character(rng):
    while True:
        code = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x110000)])
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def texts():
    """Ten thousand: all tasks' texts, the curriculum's, and every kind of noise."""
    rng = random.Random(0)
    for task in TASKS:
        data = load(task)
        for conversation in [*data.train, *data.heldout]:
            yield from (message["content"] for message in conversation)
    drawn = mixture(0)
    for _ in range(500):
        yield from (message["content"] for message in next(drawn)[1].messages)
    yield from map(chr, range(0x250))
    yield from (
        "",
        " ",
        "  ",
        "a  b",
        "\n\n",
        "\r\n",
        " \u0085 ",
        "\ufeff",
        "a\ufeffb",
        "\x00",
        "1 2 34",
        "don't",
        "a_b",
    )
    words = ["cat", "Sort: 52", "?", " ", "zumbo", *SPECIAL, *EMOJI]
    for _ in range(1500):
        yield "".join(rng.choice([rng.choice(words), any_character(rng)]) for _ in range(rng.randrange(1, 12)))
    for _ in range(1000):
        yield rng.randbytes(rng.randrange(1, 24)).decode("utf-8", "replace")
    for _ in range(500):
        yield "".join(any_character(rng) for _ in range(rng.randrange(1, 20)))


def test_ids_and_texts_of_ten_thousand_strings(tokenizer, tmp_path):
    strings = list(texts())
    assert len(strings) > 10_000
    expected = tokenizer(strings, add_special_tokens=False).input_ids
    said, _ = ask("encode", tmp_path, texts=strings)
    assert [both for both in zip(strings, said, expected, strict=True) if both[1] != both[2]] == []
    decoded, _ = ask("decode", tmp_path, ids=expected)
    assert decoded == tokenizer.batch_decode(expected, skip_special_tokens=True)


def test_ids_of_every_character(tokenizer, tmp_path):
    """Each in a text in which its class decides where pieces end. Unassigned ones too: Unicode's versions differ."""
    last = 0x33480  # beyond it lie tags, and what is for private use or for nobody yet: some of that
    codes = [*range(0xD800), *range(0xE000, last), *range(0xE0000, 0xE0200), *range(last, sys.maxunicode + 1, 97)]
    characters = [chr(code) for code in codes]
    strings = ["the ".join(characters[at : at + 500]) + "the" for at in range(0, len(characters), 500)]
    said, _ = ask("encode", tmp_path, texts=strings)
    assert said == tokenizer(strings, add_special_tokens=False).input_ids


def test_a_very_long_word_is_cut_as_any_other(tokenizer, tmp_path):
    """Of one letter, of syllables, of no sense: a hundred thousand letters without a space."""
    rng = random.Random(0)
    syllables = ["zum", "bo", "the", "tion", "ing", "house", "é"]
    strings = [
        "a" * 100_000,
        "".join(rng.choice(syllables) for _ in range(30_000)),
        "".join(rng.choice("abcdefghijklmnopqrstuvwxyzáñ") for _ in range(100_000)),
        "中" * 20_000,
    ]
    said, _ = ask("encode", tmp_path, texts=strings)
    assert said == tokenizer(strings, add_special_tokens=False).input_ids


def test_a_lone_surrogate_is_the_character_that_stands_for_a_broken_one(tokenizer, tmp_path):
    broken = ["\ud800", "a\udc00b", "\ud83d", "\udc4d\ud83d", "cat \udbff dog"]
    said, _ = ask("encode", tmp_path, texts=broken)
    mended = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in broken]
    assert said == tokenizer(mended).input_ids


def test_bytes_that_are_no_text_are_read_as_python_reads_them(tokenizer, tmp_path):
    rng = random.Random(0)
    ids = [[rng.randrange(len(tokenizer)) for _ in range(rng.randrange(0, 12))] for _ in range(2000)]
    said, _ = ask("decode", tmp_path, ids=ids)
    assert said == tokenizer.batch_decode(ids, skip_special_tokens=True)


def conversations():
    found = [example.messages for skill in SKILLS for example in heldout_examples(skill, 3)]
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <|end|> there"},
        {"role": "assistant", "content": " Hello!\n"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "ñandú"},
    ]
    return [*found, turns, turns[1:3], turns[:4]]


@pytest.mark.parametrize("prompt", [False, True])
def test_conversations(tokenizer, prompt, tmp_path):
    said, _ = ask("chat", tmp_path, chats=conversations(), prompt=prompt)
    assert said == [
        tokenizer.apply_chat_template(chat, add_generation_prompt=prompt, return_dict=False) for chat in conversations()
    ]


def test_what_is_learned_and_what_is_graded_is_marked_as_the_engine_marks_it(tokenizer, tmp_path):
    chats = [chat for chat in conversations() if all("<|" not in message["content"] for message in chat)]
    said, _ = ask("rows", tmp_path, chats=chats, options={})
    for row, expected in zip(said, [encode(tokenizer, chat) for chat in chats], strict=True):
        assert (row["ids"], row["labels"]) == (expected.ids, expected.labels)
    said, _ = ask("rows", tmp_path, chats=chats, options={"last": True, "longest": 20})
    for row, expected in zip(said, [encode_last_answer(tokenizer, chat, 20) for chat in chats], strict=True):
        assert (row["ids"], row["labels"]) == (expected.ids, expected.labels)
        assert row["cut"] == (expected.cut > 0)


def test_each_token_adds_what_it_adds_to_the_text(tokenizer, tmp_path):
    """A letter outside the vocabulary is several tokens; the last of them brings it, whole."""
    said = ["Jürgen eats œufs", "中文 and é", *EMOJI]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in said]
    added, _ = ask("added", tmp_path, ids=ids)
    for text, row, parts in zip(said, ids, added, strict=True):
        assert len(parts) == len(row)
        assert "".join(parts).removeprefix(" ") == text and not any("\ufffd" in part for part in parts)
    assert any(part == "" for parts in added for part in parts)
    cut = next(row for row, parts in zip(ids, added, strict=True) if len(parts) > 1 and parts[-2] == "")[:-1]
    (parts,), _ = ask("added", tmp_path, ids=[cut])
    assert parts[-1].endswith("\ufffd")  # what is left open at the end is said
    (piece,), _ = ask("piece", tmp_path, ids=[cut[-1]])
    assert piece.startswith("‹") and bytes.fromhex(piece[1:-1])
    (the,) = tokenizer.encode("the", add_special_tokens=False)
    pieces, _ = ask("piece", tmp_path, ids=[cut[-1], the, cut[-1]])
    assert pieces == [piece, " the", piece]  # what was left open is not carried on into the next one
