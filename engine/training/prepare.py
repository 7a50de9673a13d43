"""What is needed before training, and can it be had? Data, tokens, graders and settings, read and checked; no weights.

`prepare` makes of a `Request` what `engine.training.finetune.train` trains; `describe` says it for run.json.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.data import Conversations, Encoded, Source, encode, encode_all, hold_out, load, marking
from engine.data.overlap import CURRICULUM, drawn, trained_on
from engine.data.records import YOURS, digest
from engine.errors import InputError
from engine.evaluate import OPEN_ENDED, Evaluator, curriculum_groups, curriculum_probes, last_answer, task_probes
from engine.evaluate.probes import EACH, GENERAL, Prober, probes_of
from engine.models import canonical, load_config, load_tokenizer
from engine.recording.schedule import AUTO, EVALUATIONS, EvaluateAt, named
from engine.run.base import EMBEDDED
from engine.training.arguments import training_arguments
from engine.training.methods import Method, get_method
from engine.training.request import Request
from engine.training.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """A request that can be carried out. source: the model's name, one for one model. mixed: what was drawn of
    `mix_with`. rows: what is trained on, with that. dropped, cut: examples with nothing to learn, or longer than
    max_length. seen: held-out questions that are trained on too. old: what shows forgetting."""

    told: Request
    source: str
    method: Method
    settings: Settings
    tokenizer: PreTrainedTokenizerBase
    conversations: Conversations
    rows: list[Encoded]
    mixed: Conversations
    dropped: int
    cut: int
    seen: int
    skills: int
    old: str
    evaluator: Evaluator | None

    def model(self) -> PreTrainedModel:
        """The model, loaded and made trainable, A drawn as the seed says."""
        torch.manual_seed(self.settings.seed)
        if self.settings.dtype == "bfloat16":
            return self.method.prepare(self.source, dtype="bfloat16")
        return self.method.prepare(self.source)

    @property
    def steps(self) -> int:
        """How many optimizer steps there will be, for plans made before the Trainer counts them."""
        batches = math.ceil(len(self.rows) / self.settings.batch_size)
        if (self.settings.trainer or {}).get("dataloader_drop_last"):
            batches = len(self.rows) // self.settings.batch_size
        an_epoch = max(1, math.ceil(batches / self.settings.accumulation))  # what is left over makes a step of its own
        return self.settings.steps or math.ceil((self.settings.epochs or 1) * an_epoch)

    @property
    def evaluate_at(self) -> EvaluateAt:
        """How many evaluations there are, about, or a function of the step."""
        return EVALUATIONS if self.told.evaluate_at == "auto" else self.told.evaluate_at

    @property
    def evaluation_share(self) -> float | None:
        """The share of the time that they may take: a third of it where nobody asked for more, but of the embedded
        model, whose answers take little, all are wanted."""
        return 1 / 3 if self.told.evaluate_at == "auto" and self.source != EMBEDDED else None

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_token_id


def _check_context(
    source: str, tokenizer: PreTrainedTokenizerBase, rows: list[Encoded], heldout: list[Any], max_length: int
) -> None:
    """Raises InputError for what a model that learned a vector for each place (GPT-2, OPT) has no place for; another
    kind reads on."""
    try:
        config = load_config(source).get_text_config()
    except Exception:  # of any kind, and said when the model is loaded
        return
    context = getattr(config, "max_position_embeddings", None)
    if not isinstance(context, int) or max_length <= context or getattr(config, "rope_parameters", None):
        return
    lengths = [len(row.ids) for row in rows]
    lengths += [len(encode(tokenizer, messages, max_length).ids) for messages in heldout]
    if long := sum(length > context for length in lengths):
        raise InputError(
            f"{source} reads {context} tokens at once, and {long} of {len(lengths)} examples have more, up to "
            f"{max(lengths)}: give max_length={context} (--max-length {context}), which cuts them"
        )


def prepare(told: Request) -> Prepared:
    """Everything but the model. Raises InputError for anything wrong with what was told; nothing is written."""
    method, source, chosen = get_method(told.method), canonical(told.model), told.settings
    method.describe()  # what cannot be recorded is said now
    conversations = hold_out(load(told.data), chosen.seed)
    mixed = _mixed_in(told.mix_with, len(conversations.train), chosen)
    tokenizer = load_tokenizer(source)
    every = [*conversations.train, *mixed.train]
    rows = encode_all(tokenizer, every, chosen.max_length, chosen.mask_prompts)
    _check_context(source, tokenizer, rows, conversations.heldout, chosen.max_length)
    skills = EACH if told.skills is None else told.skills
    old = str(told.probes or (CURRICULUM if source == EMBEDDED else GENERAL))
    prepared = Prepared(
        told=told,
        source=source,
        method=method,
        settings=chosen.completed(method.name, embedded=source == EMBEDDED),
        tokenizer=tokenizer,
        conversations=conversations,
        rows=rows,
        mixed=mixed,
        dropped=len(every) - len(rows),
        cut=sum(row.cut > 0 for row in rows),
        seen=trained_on(conversations.heldout, conversations.train, mixed.train),
        skills=skills,
        old=old,
        evaluator=make_evaluator(tokenizer, conversations, skills, chosen.max_length, answers=told.answers, old=old),
    )
    training_arguments(prepared.settings, "unused", None)  # what the Trainer would refuse is said now
    return prepared


def describe(prepared: Prepared) -> dict[str, Any]:
    """What run.json says of a fine-tuning: its method, data, settings and evaluations."""
    told, conversations = prepared.told, prepared.conversations
    mixed = {
        "name": prepared.mixed.name,
        "source": _named(told.mix_with or CURRICULUM),
        "digest": digest(prepared.mixed),
        "examples": len(prepared.mixed.train),
    }
    return {
        "method": prepared.method.describe(),
        "data": {
            "name": conversations.name,
            "source": _named(told.data),
            "digest": digest(conversations),
            "train": len(conversations.train),
            "heldout": len(conversations.heldout),
            "mixed_in": mixed if prepared.mixed.train else None,
            "dropped": prepared.dropped,
            "cut": prepared.cut,
            "marking": marking(prepared.tokenizer),
        },
        "settings": asdict(prepared.settings),
        "evaluated": {
            "skills": prepared.skills,
            "at": AUTO if prepared.evaluation_share else named(prepared.evaluate_at),
            "answers": told.answers,
            "probes": prepared.old,
        },
    }


def left_out(prepared: Prepared) -> list[str]:
    """What of the data is not learned, said before training rather than found out after it."""
    said = []
    if (name := prepared.conversations.name).endswith(YOURS):
        said.append(f"note: {name.removesuffix(YOURS)!r} is something else here, so this data is called {name!r}")
    if "cannot mark" in marking(prepared.tokenizer):
        said.append(f"note: {marking(prepared.tokenizer)}")
    if prepared.dropped or prepared.cut:
        said.append(
            f"note: of {len(prepared.rows) + prepared.dropped} examples {prepared.dropped} have no answer to learn "
            f"from and are left out, and {prepared.cut} are cut at {prepared.settings.max_length} tokens; "
            "python -m engine.data shows more"
        )
    if prepared.seen:
        said.append(
            f"note: {prepared.seen} of {len(prepared.conversations.heldout)} held-out questions are trained on too, so "
            "grades show in part what was learned by heart; python -m engine.data names those of one file"
        )
    if (evaluator := prepared.evaluator) and (short := evaluator.too_long()):
        said.append(
            f"note: of {short} questions that are watched the right answer is longer than the {evaluator.room} tokens "
            "that the model is let say, and so never given"
        )
    if unused := {field for talk in prepared.conversations.train for field in getattr(talk, "unused", ())}:
        said.append(
            f"note: nothing is made of the records' {', '.join(sorted(unused))}; python -m engine.data shows more"
        )
    if unseen := {what for row in prepared.rows for what in row.unseen}:
        said.append(f"note: the model's chat template does not show the records' {', '.join(sorted(unseen))}")
    return said


def _named(data: Any) -> str | None:
    """How the same data can be asked for again; None for what was made in Python."""
    return str(data) if isinstance(data, str | Path) else None


def _mixed_in(source: Source | None, train: int, settings: Settings) -> Conversations:
    """As many other conversations as make them `mix` of the whole, and what they are called."""
    if source is not None and not settings.mix:
        raise InputError("mix_with does nothing without its share; give mix too, e.g. mix=0.3")
    found, name = drawn(source, round(train * settings.mix / (1 - settings.mix)), settings.seed)
    return Conversations(name, found, [])


def make_evaluator(
    tokenizer: PreTrainedTokenizerBase,
    task: Conversations,
    skills: int,
    max_length: int = 512,
    most: int = 100,
    answers: bool = True,
    old: str | Path = CURRICULUM,
) -> Evaluator | None:
    """Grades the task's held-out part (at most `most` of it) and `skills` examples of each skill of the curriculum, or
    general probes, as `old` says. answers: asks for answers in words as well. Raises InputError for probes that are
    none."""
    ours = skills and str(old) == CURRICULUM
    groups = curriculum_groups(skills) if ours else {}
    probes = curriculum_probes() if ours else []
    prober = None
    if skills and not ours:
        asked = [both[0] for talk in task.heldout[:most] if (both := last_answer(talk))]
        prober = Prober(tokenizer, probes_of(old), skills, on_task=asked, in_words=answers)
    if task.heldout:
        groups[task.name] = task.heldout[:most]
        probes = task_probes(task.name, task.heldout) + probes
    if not groups and prober is None:
        return None
    return Evaluator(tokenizer, groups, probes if answers else [], OPEN_ENDED, max_length, prober)
