"""What does the collator really hand to the model? The rows of its batches, and what can be wrong with their tokens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from engine.data import IGNORE, Encoded, special_ids
from engine.errors import printable
from engine.inspect.finding import Finding

_BOUNDS = {"position_ids", "seq_idx", "cu_seq_lens_q"}
_ENDLESS = 1_000_000  # tokenizers say 1e30 where they know no length


@dataclass(frozen=True)
class Row:
    """One conversation of a batch, without its padding: a row of it, or a part of a row that several share.

    filled: how many tokens of that row there are up to its end, its own and those before."""

    ids: list[int]
    labels: list[int]
    filled: int

    @property
    def trained(self) -> int:
        """How many tokens are learned; the first of a row is never predicted."""
        return sum(label != IGNORE for label in self.labels[1:])

    @property
    def learns_prompt(self) -> bool:
        """Its first predicted token is learned, which no answer can be: a prompt stands before that."""
        return self.labels[1:2] not in ([], [IGNORE])

    def starts(self) -> list[int]:
        """Where its answers begin, if only these are learned: at each learned stretch."""
        marks = [label != IGNORE for label in self.labels]
        if self.learns_prompt:  # then what is left out, padding or a separator, parts no answer from its prompt
            return []
        return [place for place in range(1, len(marks)) if marks[place] and not marks[place - 1]]

    def encoded(self) -> Encoded:
        return Encoded(self.ids, self.labels)


def rows_of(batch: Mapping[str, Any]) -> list[Row]:
    """The conversations of one batch, in its order."""
    ids, labels = batch["input_ids"].tolist(), batch["labels"].tolist()
    mask = _beside(batch, "attention_mask") or [[1] * len(row) for row in ids]
    return [
        Row(
            [ids[at][k] for k in places],
            [labels[at][k] for k in places],
            sum(map(bool, mask[at][: max(places, default=-1) + 1])),
        )
        for at, every in enumerate(conversations(batch))
        for places in every
    ]


def says_bounds(batch: Mapping[str, Any]) -> bool:
    """Whether the collator says where conversations begin that share a row."""
    return not _BOUNDS.isdisjoint(batch)


def conversations(batch: Mapping[str, Any], begin: int | None = None) -> list[list[list[int]]]:
    """For each row of a batch the places of the conversations that share it; attention leaves out padding, either side.

    One begins where the collator says so: where positions do not go on, where `seq_idx` changes, at `cu_seq_lens_q`.
    begin: the token that begins a text, too, where nothing of that is said. A part of one token, of which nothing can
    be learned, is padding as well, unless it is all there is.
    """
    ids = batch["input_ids"].tolist()
    mask, positions, numbers = (_beside(batch, name) for name in ("attention_mask", "position_ids", "seq_idx"))
    given = batch.get("cu_seq_lens_q")
    bounds = set() if given is None else set(map(int, given))
    silent = not says_bounds(batch)
    found = []
    for at, row in enumerate(ids):
        parts: list[list[int]] = [[]]
        for place in (place for place in range(len(row)) if mask is None or mask[at][place]):
            before = parts[-1][-1] if parts[-1] else None
            if before is not None and (
                (positions is not None and positions[at][place] != positions[at][before] + 1)
                or (numbers is not None and numbers[at][place] != numbers[at][before])
                or place in bounds
                or (silent and begin is not None and row[place] == begin != row[before])
            ):
                parts.append([])
            parts[-1].append(place)
        found.append([part for part in parts if len(part) > 1] or parts[:1])
    return found


def _beside(batch: Mapping[str, Any], name: str) -> list[list[int]] | None:
    """What a batch says of each of its tokens; None if it does not, or says something else by that name."""
    value = batch.get(name)
    if not isinstance(value, torch.Tensor) or value.ndim != 2 or value.shape[1] != batch["input_ids"].shape[1]:
        return None
    return value.expand(batch["input_ids"].shape).tolist()


def text_beginning(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that begins a text, where it stands nowhere else in one; None where there is none, or it may.

    Often it is the end-of-text token, too, or it opens every turn of a conversation.
    """
    begin = tokenizer.bos_token_id
    if begin is None or begin == tokenizer.eos_token_id:
        return None
    if tokenizer.chat_template:
        talk = [{"role": role, "content": "a"} for role in ("user", "assistant", "user", "assistant")]
        ids = _template(tokenizer, talk, False)
        if not ids or ids.count(begin) > 1:
            return None
    return int(begin)


def ends_of(tokenizer: PreTrainedTokenizerBase, stops: Iterable[int]) -> dict[int, str]:
    """Token -> its text, of all tokens that end a turn: where generation stops, and what the template puts there."""
    ends = {token for token in (tokenizer.eos_token_id, *stops) if isinstance(token, int)}
    if tokenizer.chat_template:
        talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        ids = _template(tokenizer, talk, False)
        known = special_ids(tokenizer)
        ends |= set([token for token in ids[-3:] if token in known][-1:])
    return {token: str(tokenizer.convert_ids_to_tokens(token)) for token in ends}


def _template(tokenizer: PreTrainedTokenizerBase, talk: list[dict[str, str]], prompt: bool) -> list[int]:
    """The ids of a conversation through the chat template; none if the template refuses it."""
    try:
        return list(tokenizer.apply_chat_template(talk, add_generation_prompt=prompt, return_dict=False))
    except Exception:  # whatever a template raises: then there is nothing to compare with
        return []


def about_rows(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, stops: Iterable[int], limit: int | None, size: int | None
) -> list[Finding]:
    """What is wrong with the rows. stops: tokens at which generation stops. limit: the longest a row may be.
    size: the rows of the embedding, where they are known."""
    stops = set(stops)
    ends = ends_of(tokenizer, stops)
    return [
        *_about_size(rows, size),
        *_about_labels(rows),
        *_about_ends(rows, tokenizer, ends, stops),
        *_about_beginning(rows, tokenizer),
        *_about_prompt(rows, tokenizer),
        *_about_length(rows, ends, limit),
    ]


def _called(rows: Sequence[Row]) -> str:
    """They are the batches' own rows, unless some come after others of the same one."""
    return "conversations" if any(row.filled > len(row.ids) for row in rows) else "rows"


def _share(count: int, rows: Sequence[Row]) -> str:
    return f"{count} of {len(rows)} {_called(rows)}"


def _about_size(rows: Sequence[Row], size: int | None) -> list[Finding]:
    most = max(max(row.ids, default=0) for row in rows)
    if size is None or most < size:
        return []
    said = f"a token has the number {most}, and the model's embedding has {size} rows"
    return [Finding("fault", said, "call model.resize_token_embeddings(len(tokenizer)) before training")]


def _about_labels(rows: Sequence[Row]) -> list[Finding]:
    masked = sum(not row.trained for row in rows)
    learned, read = sum(row.trained for row in rows), sum(len(row.ids) for row in rows)
    if masked == len(rows):
        return [Finding("fault", f"no token is learned in any of {len(rows)} {_called(rows)}: {_EVERY}", _MASKED)]
    findings = [Finding("fine", f"{learned:,} of {read:,} tokens are learned, in {_share(len(rows) - masked, rows)}")]
    if masked:
        findings = [Finding("doubt", f"nothing is learned from {_share(masked, rows)}: {_EVERY}", _MASKED)]
    if all(row.learns_prompt for row in rows if row.trained):
        findings.append(Finding("doubt", "prompts are learned as well as answers", _PROMPTS))
    return findings


def _about_ends(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, ends: dict[int, str], stops: set[int]
) -> list[Finding]:
    learning = [row for row in rows if row.trained]
    if not ends or not learning:
        return []
    names = ", ".join(printable(name) for name in ends.values())
    learned = [{label for label in row.labels[1:] if label in ends} for row in learning]
    with_end = sum(map(bool, learned))
    if not with_end:
        there = sum(any(token in ends for token in row.ids[1:]) for row in learning)
        if not there:
            return [Finding("fault", f"no row holds a token that ends an answer ({names})", _NO_END)]
        why = ""
        if tokenizer.pad_token_id in ends:
            why = f", for it is the padding token, too ({printable(str(tokenizer.pad_token))})"
        return [Finding("fault", f"the end of an answer is never learned: its label is {IGNORE}{why}", _END_MASKED)]
    findings = []
    if with_end < len(learning):
        said = f"{len(learning) - with_end} of {len(learning)} {_called(rows)} learn no end of an answer ({names})"
        findings.append(Finding("doubt", said, _NO_END))
    used = set().union(*learned)
    if stops and not used & stops:
        said = f"answers end in {', '.join(printable(ends[token]) for token in used)}, where generation does not stop"
        findings.append(Finding("fault", said, _OTHER_END))
    return findings


def _about_beginning(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    begin = tokenizer.bos_token_id
    twice = sum(begin is not None and row.ids[:2] == [begin, begin] for row in rows)
    if not twice:
        return []
    said = f"{_share(twice, rows)} begin with {printable(str(tokenizer.bos_token))} twice"
    return [Finding("fault", said, _BOS)]


def _about_prompt(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    """Does what stands before an answer in training stand there when the model is asked, too?"""
    if not tokenizer.chat_template:
        return []
    asked = [{"role": "user", "content": "a"}]
    without, with_ = _template(tokenizer, asked, False), _template(tokenizer, asked, True)
    opening = with_[len(without) :] if with_[: len(without)] == without else []
    answers = [(row, start) for row in rows for start in row.starts()]
    if not opening or not answers:
        return []
    same = sum(row.ids[max(0, start - len(opening)) : start] == opening for row, start in answers)
    if same == len(answers):
        return [Finding("fine", "before every answer stands what the chat template puts there when the model is asked")]
    row, start = next(
        (row, start) for row, start in answers if row.ids[max(0, start - len(opening)) : start] != opening
    )
    trained = printable(tokenizer.decode(row.ids[max(0, start - len(opening) - 2) : start]))
    served = printable(tokenizer.decode(opening))
    said = (
        f"before {len(answers) - same} of {len(answers)} answers stands {trained!r} in training, "
        f"and {served!r} when the model is asked by its chat template"
    )
    return [Finding("fault" if not same else "doubt", said, _TEMPLATE)]


def _about_length(rows: Sequence[Row], ends: dict[int, str], limit: int | None) -> list[Finding]:
    if limit is None or limit > _ENDLESS:
        return []
    # Packing cuts what fills up a row, however short that is.
    cut = sum(limit in (len(row.ids), row.filled) and row.ids[-1] not in ends for row in rows)
    if not cut:
        return []
    return [Finding("doubt", f"{_share(cut, rows)} are cut at {limit} tokens, before the end of their answer", _CUT)]


_EVERY = f"every label is {IGNORE}"
_MASKED = (
    "look at how the labels are made: the response template must stand in the text as it is tokenised there, "
    "and the longest length must leave room for the answer"
)
_PROMPTS = (
    "if only answers should be learned: assistant_only_loss or completion_only_loss in TRL, or labels of your own"
)
_NO_END = "end every answer with tokenizer.eos_token, or with what the chat template puts after a turn"
_END_MASKED = (
    "give the tokenizer a padding token of its own, e.g. tokenizer.pad_token = tokenizer.unk_token, or mask padding by "
    "the attention mask instead of by the token"
)
_OTHER_END = "set model.generation_config.eos_token_id to the token that ends an answer (a list may hold several)"
_BOS = "the chat template writes it already: tokenise its text with add_special_tokens=False"
_TEMPLATE = (
    "format training data with the tokenizer's own chat template, or save the one that was used with the tokenizer"
)
_CUT = "raise the longest length, split long records, or leave them out"
