"""How does the base model cut text into tokens, and a conversation into a prompt and an answer?

A byte-level BPE tokenizer (Sennrich et al. 2016; GPT-2's bytes) in transformers' own format. Three choices
make it fit a tiny model: every digit is its own token, so sums can be learned digit by digit; punctuation is
never merged, so any format can be spelled; and every text starts with a space, so a word has one token
whether it opens the answer or stands inside a sentence.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from engine.data.bytes import STAND_INS
from engine.messages import Message

PAD, BOS, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = [PAD, BOS, END, SYSTEM, USER, ASSISTANT]

CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '<|assistant|>' }}{% generation %}{{- message['content'] + '<|end|>' }}{% endgeneration %}"
    "{%- else %}{{- '<|' + message['role'] + '|>' + message['content'] }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)

# Bytes that no UTF-8 text contains: a token for them could never be used, so they get none.
_NEVER_IN_UTF8 = {0xC0, 0xC1, *range(0xF5, 0x100)}


def _byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 243 bytes that UTF-8 can contain."""
    return [character for byte, character in STAND_INS.items() if byte not in _NEVER_IN_UTF8]


def train_tokenizer(texts: Iterable[str], vocab_size: int, context: int = 512) -> PreTrainedTokenizerFast:
    """A tokenizer of exactly `vocab_size` tokens, learned from `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")
    pieces = Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pieces, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=_byte_alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=context,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def vocabulary_pieces(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Every token that is text by itself (not a special token, not part of a character): what `repeat` repeats."""
    byte_level = decoders.ByteLevel()
    special = set(tokenizer.all_special_ids)
    pieces = []
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        text = byte_level.decode([token])
        if index not in special and "\ufffd" not in text and text.strip():
            pieces.append(text)
    return pieces


def encode_chats(
    tokenizer: PreTrainedTokenizerFast, chats: list[tuple[list[Message], int]]
) -> list[tuple[list[int], list[bool]]]:
    """Token ids and answer masks of many (messages, turns to train) at once.

    The same ids as `apply_chat_template` gives (a test compares them), some ten times faster, because
    pretraining writes millions of conversations. Only the last `turns` assistant turns are marked.
    """
    ids = {role: tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user", "assistant")}
    texts = [message["content"] for messages, _ in chats for message in messages]
    encoded = iter(tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    rows = []
    for messages, turns in chats:
        tokens, mask = [tokenizer.bos_token_id], [False]
        answers_left = sum(message["role"] == "assistant" for message in messages)
        for message in messages:
            content, answer = next(encoded).ids, message["role"] == "assistant"
            trained = answer and answers_left <= turns
            answers_left -= answer
            content = [*content, tokenizer.eos_token_id] if answer else content
            tokens += [ids[message["role"]], *content]
            mask += [False, *[trained] * len(content)]
        rows.append((tokens, mask))
    return rows
