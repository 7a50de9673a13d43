"""What does the model learn from? Conversations -> the model's own chat template -> tokens, with labels on the answers.

The labels are the assistant's tokens, every turn of them, found by transformers' `{% generation %}` marks; where a
template has none, by comparing the conversation with and without each answer, which is checked. Reading files is in
`engine.data.records`. What a data set would be to a model, before training on it:

    python -m engine.data my.jsonl --model embedded
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from engine.data.forms import Conversation, to_messages
from engine.data.records import Conversations, Source, hold_out, load
from engine.data.tables import read_jsonl
from engine.errors import InputError, first_line
from engine.linear import check_room
from engine.messages import Message

__all__ = [
    "IGNORE", "Conversation", "Conversations", "Encoded", "Source", "collate", "encode", "encode_all", "hold_out",
    "load", "marking", "read_jsonl", "render", "special_ids", "to_messages", "with_template",
]  # fmt: skip

LONG = 200_000  # characters of a conversation, from which on it is cut before it is made into tokens
_CHARACTERS = 64  # of a token, at most about
_BYTES = 250  # of a character while it is made into tokens
_BESIDE = 10  # times as much of what is thought beside the answers: templates may leave the earlier of it out
_LEAST = 100  # characters that every message keeps: templates refuse, or skip, empty ones
IGNORE = -100  # PyTorch's cross entropy leaves labels of this value out

# For a tokenizer that brings no template of its own, e.g. GPT-2's (the wording is Alpaca's).
PLAIN_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '### Response:\n' }}{% generation %}{{- message['content'] + (eos_token or '') }}{% endgeneration %}"
    "{{- '\n' }}"
    "{%- else %}{{- '### ' + message['role'].capitalize() + ':\n' + message['content'] + '\n' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '### Response:\n' }}{%- endif %}"
)
_ELSE = "\ue000"  # a character for private use, which no data holds
_THOUGHT = "</think>"
_WORD = re.compile(r"\w")
_QUIETLY = {"verbose": False}  # too long a text is cut later, so it is no cause for a warning
_OF_TEMPLATES = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError)  # what one may raise
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")  # as transformers looks for it


@dataclass(frozen=True)
class Encoded:
    """One conversation in tokens. ids and labels are equally long; a label is IGNORE where nothing is learned.

    cut: how many tokens beyond `max_length` were left out, of what was turned into tokens. unread: characters that were
    not, for they stand far beyond it. unseen: what the conversation has and the model's chat template does not show:
    "tools", "reasoning".
    """

    ids: list[int]
    labels: list[int]
    cut: int = 0
    unseen: tuple[str, ...] = ()
    unread: int = 0

    @property
    def trained(self) -> int:
        """How many tokens are learned; the first of a text is never predicted."""
        return sum(label != IGNORE for label in self.labels[1:])


def with_template(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer itself; one that brings no chat template gets the plain one, and is saved with it."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def _can_mark(tokenizer: PreTrainedTokenizerBase) -> bool:
    """transformers finds marks through the characters' places, which only its fast tokenizers know."""
    return tokenizer.is_fast and bool(_GENERATION.search(with_template(tokenizer).get_chat_template()))


def marking(tokenizer: PreTrainedTokenizerBase) -> str:
    """How are the assistant's words told from the others, with this model? One sentence, to show."""
    if with_template(tokenizer).chat_template == PLAIN_TEMPLATE:
        return "the model brings no chat template of its own, so a plain one in Alpaca's wording is used"
    if _can_mark(tokenizer):
        return "the model's chat template marks the assistant's words"
    return (
        "the model's chat template cannot mark the assistant's words (it has no {% generation %}), so each "
        "conversation is compared with and without its answers, and the comparison is checked"
    )


def encode(tokenizer: PreTrainedTokenizerBase, messages: list[Message], max_length: int | None = None) -> Encoded:
    """A conversation through the chat template; labels only where the assistant speaks and is to be learned.

    An answer of weight 0 is read and not learned. A whole text (role "text") is learned as it is, with its end.
    Raises InputError where the template refuses the conversation, leaves a tool call out, or its answers cannot be
    found in it.
    """
    unseen: tuple[str, ...] = ()
    unread = 0
    if max_length is not None:
        messages, unread = beginning(messages, max(LONG, _CHARACTERS * max_length))
    if messages and messages[0]["role"] == "text":
        ids, mask = _whole_text(tokenizer, messages[0])
    else:
        weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
        try:
            ids, mask = _mask_by_template(tokenizer, messages) if _can_mark(tokenizer) else ([], [])
            # The marks are lost where a token's place is unclear: there are fewer marked stretches than answers then.
            if ids and _stretches(mask) == len(weights):
                mask = _weighted(mask, weights)
            else:
                ids, mask = _mask_by_comparison(tokenizer, messages)
            unseen = _unseen(tokenizer, messages)
        except (TemplateError, TypeError) as error:
            raise InputError(
                f"{_where(messages)}the model's chat template refuses this conversation: {error}"
            ) from None
    cut = 0 if max_length is None else max(0, len(ids) - max_length)
    ids, mask = ids[:max_length], mask[:max_length]
    labels = [token if marked else IGNORE for token, marked in zip(ids, mask, strict=True)]
    return Encoded(ids, labels, cut, unseen, unread)


def beginning(messages: list[Message], room: int) -> tuple[list[Message], int]:
    """The conversation with `room` characters of its texts at most, ten times as many of its reasoning, and how many
    are left out: most of the tokens that they cost memory for would then be cut."""
    rooms = {"content": room, "reasoning_content": _BESIDE * room}
    if all(sum(len(message.get(key) or "") for message in messages) <= most for key, most in rooms.items()):
        return messages, 0
    kept = Conversation((), getattr(messages, "where", ""), getattr(messages, "form", "messages"))
    left_out = 0
    for message in messages:
        few: Message = {}
        for key in rooms:
            said = message.get(key) or ""
            if not said:
                continue
            spaces = len(said) - len(said.lstrip())  # which templates strip
            few[key] = said[: spaces + max(rooms[key], _LEAST)]
            rooms[key] -= len(few[key])
            left_out += len(said) - len(few[key])
        kept.append({**message, **few})
    return kept, left_out


def _check_memory(messages: Sequence[Message]) -> None:
    """Raises InputError for what has no room in memory while it is made into tokens, tools and their calls included."""
    check_room((_characters(messages),), f"{_where(messages)}the conversation, in characters,", _BYTES)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _characters(one) for key, one in value.items())
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0


def _whole_text(tokenizer: PreTrainedTokenizerBase, message: Message) -> tuple[list[int], list[int]]:
    """Every token of a text, and its end: what TRL makes of a column "text"."""
    _check_memory([message])
    ids = list(tokenizer(message["content"], **_QUIETLY)["input_ids"])
    if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
        ids.append(tokenizer.eos_token_id)
    return ids, [message.get("weight", 1)] * len(ids)


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], **options: Any) -> Any:
    """`apply_chat_template` as the records are meant: with their tools, and without fields that are ours."""
    _check_memory(messages)
    tools = messages[0].get("tools") if messages else None
    ours = [{key: value for key, value in m.items() if key not in ("weight", "tools")} for m in messages]
    if _in_parts(tokenizer, str(tokenizer.chat_template)):
        ours = [{**message, "content": _parts(message["content"])} for message in ours]
    try:
        return tokenizer.apply_chat_template(ours, tools=tools, tokenizer_kwargs=_QUIETLY, **options)
    except _OF_TEMPLATES as error:
        raise TemplateError(f"{type(error).__name__}: {first_line(error)}") from None


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


@lru_cache(maxsize=8)
def _in_parts(tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    """Whether a chat template shows a text only where it is given as a list of parts: many of models that see do, and
    leave a plain one out without a word."""

    def shows(content: Any) -> bool:
        try:
            return _ELSE in tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        except (TemplateError, TypeError, *_OF_TEMPLATES):
            return False

    return not shows(_ELSE) and shows(_parts(_ELSE))


def _weighted(mask: list[int], weights: list[int]) -> list[int]:
    """The mask without the stretches whose answer has weight 0."""
    kept, answer, before = [], -1, 0
    for marked in mask:
        answer += bool(marked and not before)
        kept.append(int(bool(marked) and weights[answer] > 0))
        before = marked
    return kept


def _unseen(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[str, ...]:
    """What a conversation has beyond words and its template leaves out. Raises InputError for a tool call."""
    calls = [call["function"]["name"] for message in messages for call in message.get("tool_calls", ())]
    tools = [str(tool["function"].get("name")) for tool in messages[0].get("tools", ())] if messages else []
    # Of earlier turns, templates of reasoning models drop it on purpose.
    reasoning = messages[-1].get("reasoning_content") if messages else None
    if not (calls or tools or reasoning):
        return ()
    whole = render(tokenizer, messages, tokenize=False)
    if lost := [name for name in calls if name not in whole]:
        raise InputError(
            f"{_where(messages)}this model's chat template shows no tool calls, so the call of {lost[0]!r} would be "
            "learned as an empty answer; give a template that does, or write the call into the answer's text"
        )
    return ("tools",) * any(name not in whole for name in tools) + ("reasoning",) * bool(
        reasoning and reasoning.strip() not in whole
    )


def _where(messages: Sequence[Message]) -> str:
    where = getattr(messages, "where", "")
    return f"{where}: " if where else ""


def _stretches(mask: list[int]) -> int:
    return sum(marked and not before for before, marked in zip([0, *mask], mask, strict=False))


def _mask_by_template(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[list[int], list[int]]:
    out = render(tokenizer, messages, return_dict=True, return_assistant_tokens_mask=True)
    return out["input_ids"], out["assistant_masks"]


def _mask_by_comparison(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[list[int], list[int]]:
    """The assistant's tokens as what each answer adds to the prompt before it, up to its end-of-text token."""

    def shown(part: Sequence[Message], prompt: bool = False) -> str | list[int]:
        """As text, or as tokens where a token's characters cannot be told (a slow tokenizer)."""
        tokens = not tokenizer.is_fast
        return render(tokenizer, part, add_generation_prompt=prompt, tokenize=tokens, return_dict=False)

    whole, spans = shown(messages), []
    for at, message in enumerate(messages):
        if message["role"] == "assistant" and message.get("weight", 1):
            span = _added(tokenizer, shown, whole, messages, at) or _swapped(tokenizer, shown, whole, messages, at)
            if span is None:
                raise InputError(
                    f"{_where(messages)}this model's chat template rewrites what message {at + 1} says, so its answers "
                    "cannot be marked; add {% generation %} marks to the template"
                )
            spans.append(span)
    if tokenizer.is_fast:
        out = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, **_QUIETLY)
        ids, starts = out["input_ids"], [start for start, _ in out["offset_mapping"]]
    else:
        ids, starts = whole, list(range(len(whole)))
    mask = [0] * len(ids)
    for first, last in spans:
        inside = [at for at, start in enumerate(starts) if first <= start < last]
        ends = [at for at in inside if ids[at] == tokenizer.eos_token_id]
        for at in inside:
            mask[at] = int(not ends or at <= ends[-1])  # templates add a line end after it, which nobody says
    return ids, mask


def _added(
    tokenizer: PreTrainedTokenizerBase, shown: Callable, whole: str | list[int], messages: list[Message], at: int
) -> tuple[int, int] | None:
    """From where to where the answer stands, if the conversation begins with its prompt, then with its answer."""
    if at == 0:
        return None
    before, after = shown(messages[:at], prompt=True), shown(messages[: at + 1])
    fits = before == whole[: len(before)] and after == whole[: len(after)] and len(after) > len(before)
    if fits and isinstance(whole, str) and _WORD.search(messages[at]["content"]):
        added = whole[len(before) : len(after)]
        for token in _added_special(tokenizer, len(tokenizer)).values():
            added = added.replace(token, "")
        fits = bool(_WORD.search(added))  # or the template left the answer out
    return (len(before), len(after)) if fits else None


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that stand for no words: those that the tokenizer names, and those that were added as special."""
    return {*tokenizer.all_special_ids, *_added_special(tokenizer, len(tokenizer))}


@lru_cache(maxsize=8)
def _added_special(tokenizer: PreTrainedTokenizerBase, size: int) -> dict[int, str]:
    """Token -> its text. size: of the tokenizer, which grows with a new one; of a thousand, listing them takes ms."""
    return {token: str(about) for token, about in tokenizer.added_tokens_decoder.items() if about.special}


def _swapped(
    tokenizer: PreTrainedTokenizerBase, shown: Callable, whole: str | list[int], messages: list[Message], at: int
) -> tuple[int, int] | None:
    """The same where a template drops something from earlier turns, as reasoning models' do: what changes if the
    answer is another. Checked: only words of the answer may stand there (templates strip them, and drop a reasoning
    that stands among them), or its calls; the special tokens that follow end the turn."""
    if not isinstance(whole, str):
        return None
    said, calls = messages[at]["content"], messages[at].get("tool_calls", ())
    stood = None
    # A reasoning within the answer may stand elsewhere than an answer without one: then both are other ones.
    for content in (_ELSE, *((re.sub(r"[^<>]*[^<>\s][^<>]*(?=<|$)", _ELSE, said),) if _THOUGHT in said else ())):
        instead = {key: value for key, value in messages[at].items() if key != "tool_calls"} | {"content": content}
        other = shown([*messages[:at], instead, *messages[at + 1 :]])
        stood = stood or _between(other, whole)
    if stood is None:
        return None
    first, last = stood
    stands = whole[first:last]
    if calls:
        wanted = [said.strip(), *(call["function"]["name"] for call in calls)]
        fits = all(words in stands for words in wanted)
    else:
        fits = "".join(stands.split()) in "".join(said.split()) and bool(stands or not said.strip())
    if not fits:
        return None
    special = _added_special(tokenizer, len(tokenizer)).values()
    while ends := [token for token in special if whole.startswith(token, last)]:
        last += len(max(ends, key=len))
    return first, last


def _between(other: str, whole: str) -> tuple[int, int] | None:
    """From where to where `whole` differs from another rendering, in which a mark stands there."""
    before, found, rest = other.partition(_ELSE)
    after = rest.rpartition(_ELSE)[2]
    if not found or not (whole.startswith(before) and whole.endswith(after) and len(whole) >= len(before + after)):
        return None
    return len(before), len(whole) - len(after)


def encode_all(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Iterable[list[Message]],
    max_length: int | None = None,
    mask_prompts: bool = True,
) -> list[Encoded]:
    """Every conversation that has something to learn. Raises InputError if none has.

    mask_prompts: labels on the assistant's tokens alone; False puts them on every token of those conversations.
    """
    encoded = [(messages, encode(tokenizer, messages, max_length)) for messages in conversations]
    kept = [(messages, row) for messages, row in encoded if row.trained]
    if not kept:
        raise InputError(
            "no example has an answer left to learn from after masking the prompts; check the assistant's texts"
        )
    return [row if mask_prompts else _unmasked(tokenizer, messages, row) for messages, row in kept]


def _unmasked(tokenizer: PreTrainedTokenizerBase, messages: list[Message], row: Encoded) -> Encoded:
    """Every token learned, but for the answers that are marked as not to be learned."""
    if all(message.get("weight", 1) for message in messages):
        return replace(row, labels=row.ids)
    every = encode(tokenizer, [{**message, "weight": 1} for message in messages], len(row.ids))
    labels = [
        IGNORE if answer != IGNORE and label == IGNORE else token
        for token, label, answer in zip(row.ids, row.labels, every.labels, strict=True)
    ]
    return replace(row, labels=labels)


def collate(rows: list[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """A right-padded batch: input_ids, attention_mask and labels, each (rows, longest row)."""
    longest = max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([value + [fill] * (longest - len(value)) for value in values])

    return {
        "input_ids": padded([row.ids for row in rows], pad_id),
        "attention_mask": padded([[1] * len(row.ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], IGNORE),
    }
