"""Is this training ready to start? `preflight(trainer)`: a look at its batches, and two steps that leave no trace.

    from glasstune import preflight
    preflight(trainer)          # any transformers Trainer, TRL's among them, before trainer.train()

Half of all "my adapter does nothing" could have been answered so, in seconds. It looks at the first rows as the
Trainer's own collator builds them, takes two real steps, and puts everything back, random states included: training
afterwards is what it would have been.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerBase, Trainer

from engine.data.report import marked_example
from engine.errors import InputError, first_line, printable
from engine.inspect.finding import Finding, worst_first
from engine.models import stops_of
from engine.preflight.rows import Row, about_rows, rows_of, says_bounds, text_beginning
from engine.preflight.steps import about_memory, about_packing, about_steps, untouched, vocabulary
from engine.terminal import Terminal

_MARKS = {"fault": ("✗", "bold red"), "doubt": ("?", "bold yellow"), "fine": ("✓", "green")}
_FAILS = "mend that first: trainer.train() fails so, too, and shows where"
_KIND = "preflight looks at causal language models' batches, with a label for every token"


@dataclass(frozen=True)
class Preflight:
    """findings: faults first. rows: the conversations that were looked at, as the collator built them. unseen: what
    was not."""

    findings: list[Finding]
    rows: list[Row]
    unseen: list[str]

    @property
    def ready(self) -> bool:
        """No fault was found."""
        return all(finding.level != "fault" for finding in self.findings)


def preflight(trainer: Trainer, *, rows: int = 256, show: bool = True) -> Preflight:
    """Will this training do what is meant? Looks at its first batches, two at least, `rows` rows together, and takes
    two real steps. Of rows that several conversations share each is looked at by itself.

    show: print what was found, and one row with the learned tokens marked. Raises InputError where the Trainer has no
    training data, or its collator or model fails on the first batch.
    """
    tokenizer = getattr(trainer, "processing_class", None)
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor's
    with untouched(trainer.model), _its_notes(trainer):
        batches = list(_batches(trainer, rows))
        found = [row for batch in batches for row in rows_of(batch)]
        findings, unseen = [], []
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            size = vocabulary(trainer.model)
            if size is None:
                unseen.append("whether every token has its row in the embedding: the model does not say which that is")
            limit = getattr(trainer.args, "max_length", None) or tokenizer.model_max_length
            findings += about_rows(found, tokenizer, stops_of(trainer.model), limit, size)
            begin = text_beginning(tokenizer)
            if begin is None and not says_bounds(batches[0]):
                unseen.append("whether conversations share rows: nothing in the batches says where one begins")
        else:
            unseen.append("ends of answers and templates: the Trainer has no tokenizer (processing_class=...)")
            begin = None
        try:
            findings += about_packing(trainer.model, batches, begin)
        except Exception as error:  # the steps may go well all the same, for a loss may ask the model in its own way
            unseen.append(f"whether conversations that share a row see each other: the model fails ({_said(error)})")
        try:
            findings += about_steps(trainer, batches)
        except Exception as error:  # so may a stranger's model, and a loss of one's own
            findings.append(Finding("fault", f"the first step fails: {_said(error)}", _FAILS))
        findings += about_memory(trainer.model, str(getattr(trainer.args.optim, "value", trainer.args.optim)))
    length, drawn = _length(trainer), len(batches) * max(1, trainer.args.train_batch_size)
    if length is None:
        unseen.append(f"what follows {drawn:,} rows of a stream")
    elif drawn < length:
        unseen.append(f"{length - drawn:,} of {length:,} rows")
    result = Preflight(worst_first(findings), found, unseen)
    if show:
        show_preflight(result, tokenizer, Terminal())
    return result


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


class _its_notes:
    """What a Trainer writes down about a loss or a loader is put back: TRL counts tokens, accelerate keeps loaders."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def __enter__(self) -> None:
        self.kept = {
            name: copy.deepcopy(getattr(self.trainer, name))
            for name in ("_metrics", "_total_train_tokens", "state")
            if hasattr(self.trainer, name)
        }
        self.loaders = list(self.trainer.accelerator._dataloaders)

    def __exit__(self, *_: object) -> None:
        for name, value in self.kept.items():
            setattr(self.trainer, name, value)
        self.trainer.accelerator._dataloaders = self.loaders


def _batches(trainer: Trainer, rows: int) -> Iterable[Mapping[str, Any]]:
    """Batches until there are `rows` rows, two at least where there are two."""
    try:
        loader = trainer.get_train_dataloader()
    except ValueError as error:
        raise InputError(f"the Trainer has nothing to train on: {first_line(error)}") from None
    except Exception as error:  # a loader of one's own
        raise InputError(f"the first batches cannot be built: {_said(error)}") from error
    size = max(1, trainer.args.train_batch_size)
    try:
        batches = list(islice(loader, max(2, -(-rows // size))))
    except Exception as error:  # a stranger's collator may raise anything
        raise InputError(f"the first batches cannot be built: {_said(error)}") from error
    if not batches:
        raise InputError("the Trainer's training data is empty; give it at least one example")
    for batch in batches:
        _check_kind(batch, trainer.model)
    return batches


def _check_kind(batch: Any, model: Any) -> None:
    """Raises InputError for what is no batch of a causal language model, whose labels stand under its tokens."""
    if not isinstance(batch, Mapping):
        raise InputError(f"a batch is a {type(batch).__name__}, no dictionary; {_KIND}")
    if lacking := {"input_ids", "labels"} - set(batch):
        has = ", ".join(map(str, batch))
        raise InputError(f"a batch has no {', '.join(sorted(lacking))} (it has: {has}); {_KIND}")
    ids, labels = (getattr(batch[name], "shape", ()) for name in ("input_ids", "labels"))
    if len(ids) != 2 or ids != labels:
        raise InputError(f"a batch has input_ids of shape {tuple(ids)} and labels of {tuple(labels)}; {_KIND}")
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise InputError(f"the model reads by an encoder and writes by a decoder; {_KIND}")


def _length(trainer: Trainer) -> int | None:
    try:
        return len(trainer.train_dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):  # a stream
        return None


def show_preflight(found: Preflight, tokenizer: PreTrainedTokenizerBase | None, console: Console) -> None:
    """Print what was found, each with its remedy, and one row as the model will read it."""
    for finding in found.findings:
        mark, style = _MARKS[finding.level]
        console.print(Text.assemble((f"{mark} ", style), printable(finding.what)), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"    {printable(finding.remedy)}", "dim"), soft_wrap=True)
    for what in found.unseen:
        console.print(Text(f"- not looked at: {printable(what)}", "dim"), soft_wrap=True)
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        shown = next((row for row in found.rows if row.trained), found.rows[0])
        console.print(Text("\none row, what is learned in ⟦ ⟧:", "dim"))
        console.print(marked_example(shown.encoded(), tokenizer), soft_wrap=True)
