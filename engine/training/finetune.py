"""How is a model fine-tuned, and captured while it happens? `finetune(model, data, method, out=...)` -> Run.

transformers' own `Trainer` does the training; this file hands it the data and the settings (see
`engine.training.settings`) and puts a `CaptureCallback` in. The same from the shell:

    python -m engine.finetune --method lora --data spanish --out runs/spanish-lora

From time to time a checkpoint is kept in the run's folder until it is finished: after a kill, the same call with
`resume=True` (`--resume`) goes on from there, to the very weights that an undisturbed training would have had.
"""

import hashlib
import json
import random
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from engine.data import Conversations, Encoded, Source, collate, encode_all, hold_out, load, marking
from engine.errors import InputError
from engine.evaluate import OPEN_ENDED, Evaluator, curriculum_groups, curriculum_probes, task_probes
from engine.messages import Message
from engine.models import load_tokenizer, without_bars
from engine.recording.callback import CaptureCallback
from engine.recording.recorder import check_free
from engine.recording.schedule import EvaluateAt, Every, named
from engine.run.base import EMBEDDED
from engine.run.run import Run
from engine.school.curriculum import mixture
from engine.training.methods import Full, LoRA, get_method
from engine.training.settings import Settings, training_arguments
from engine.training.trainer import (
    CHECKPOINTS,
    ListTrainer,
    checkpoint_bytes,
    discard_checkpoints,
    is_finished,
    where_it_stopped,
    written_whole,
)

CURRICULUM = "curriculum"
_TOO_LARGE = 200_000_000  # bytes of a checkpoint, beyond which none is kept unless asked for


def finetune(
    model: str | Path = EMBEDDED,
    data: Source = "spanish",
    method: str | Full = "lora",
    *,
    out: str | Path,
    every: Every = "auto",
    skills: int | None = None,
    evaluate_at: EvaluateAt = 12,
    answers: bool = True,
    mix_with: Source | None = None,
    save: bool = True,
    resume: bool = False,
    checkpoint: int | Literal["auto"] | None = "auto",
    stop_if_diverged: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Fine-tune, capture everything, and return the Run.

    model: "embedded", a folder, or a Hub id. data: a task's name, a file, a Hub id, a `datasets.Dataset` or records
    (see `engine.data.records`).
    method: `Full()`, `LoRA(r=16, ...)`, `QLoRA(...)`, or a name. out: a folder that does not exist yet, or with
    `resume` the one of a run of this very call that was killed or stopped; it goes on, or is given if it was finished.
    checkpoint: steps between what a resumed run goes on from; None for none; "auto" for ten in all, as long as one
    stays below 200 MB. stop_if_diverged: end, as "stopped", at the first loss that is no number.
    every: capture each n-th step, or "auto". skills: graded examples of each skill of the curriculum; by default 20
    for the embedded model and 0 for others, which were not taught them. evaluate_at: about how many times, or a
    function of the step. answers: have the model answer in its own words then, which takes longest. save: keep the
    trained adapter or model.
    mix_with: where the share `mix` of the examples comes from: "curriculum" (the default: what the embedded model was
    pretrained on) or any data that `data` may be; all of it is drawn on before any of it twice.
    settings: see `engine.training.settings.Settings`. Raises InputError for anything wrong with these, before anything
    is written.
    """
    method, chosen = get_method(method), Settings.of(settings)
    source = str(model)
    conversations = hold_out(load(data), chosen.seed)
    mixed_in, mixed_name = _mixed_in(mix_with, len(conversations.train), chosen)
    tokenizer = load_tokenizer(source)
    rows = encode_all(tokenizer, [*conversations.train, *mixed_in], chosen.max_length, chosen.mask_prompts)
    dropped = len(conversations.train) + len(mixed_in) - len(rows)
    cut = sum(row.cut > 0 for row in rows)
    skills = (20 if source == EMBEDDED else 0) if skills is None else skills
    evaluator = make_evaluator(tokenizer, conversations, skills, chosen.max_length, answers=answers)
    chosen = chosen.completed(method.name, embedded=source == EMBEDDED)
    if progress:
        _note_what_is_left_out(tokenizer, len(rows), dropped, cut, chosen.max_length)

    mixed = {"name": mixed_name, "source": _named(mix_with or CURRICULUM), "examples": len(mixed_in)}
    info = {
        "method": method.describe(),
        "data": {
            "name": conversations.name,
            "source": _named(data),
            "digest": digest(conversations),
            "train": len(conversations.train),
            "heldout": len(conversations.heldout),
            "mixed_in": mixed if mixed_in else None,
            "dropped": dropped,
            "cut": cut,
            "marking": marking(tokenizer),
        },
        "settings": asdict(chosen),
        "evaluated": {"skills": skills, "at": named(evaluate_at), "answers": answers},
    }
    out, stopped_at = Path(out), None
    if resume and out.exists():
        if is_finished(out, info, source):
            return Run.load(out)
        stopped_at = where_it_stopped(out)
    if stopped_at is None:
        check_free(out)

    torch.manual_seed(chosen.seed)  # LoRA's A is drawn at random
    trained = method.prepare(source)
    if checkpoint == "auto":
        steps = chosen.steps or int((chosen.epochs or 1) * len(rows) / (chosen.batch_size * chosen.accumulation))
        checkpoint = max(1, steps // 10) if checkpoint_bytes(trained) < _TOO_LARGE else None
    capture = CaptureCallback(
        out,
        every=every,
        evaluator=evaluator,
        evaluate_at=evaluate_at,
        source=source,
        info={**info, "checkpoint": checkpoint},
        say=progress,
        stop_if_diverged=stop_if_diverged,
    )
    with tempfile.TemporaryDirectory() as scratch:  # the Trainer wants a folder, though it saves nothing there
        bar = [_Bar(f"{method.name} on {conversations.name}")] if progress else []
        trainer = make_trainer(trained, rows, tokenizer.pad_token_id, chosen, scratch, [capture, *bar], checkpoint)
        trainer.keep(out / CHECKPOINTS, after=capture.settle)
        try:
            trainer.train(resume_from_checkpoint=str(stopped_at) if stopped_at else None)
        except BaseException:
            if capture.recorder:
                capture.recorder.finish(trainer.state.global_step, status="stopped")
            raise
    assert capture.run is not None
    if save:
        _save(trained, tokenizer, out / ("adapter" if isinstance(method, LoRA) else "model"))
    discard_checkpoints(out)
    return capture.run


def _note_what_is_left_out(tokenizer: PreTrainedTokenizerBase, kept: int, dropped: int, cut: int, longest: int) -> None:
    """What of the data is not learned, said before training rather than found out after it."""
    if "cannot mark" in marking(tokenizer):
        tqdm.write(f"note: {marking(tokenizer)}")
    if dropped or cut:
        tqdm.write(
            f"note: of {kept + dropped} examples {dropped} have no answer to learn from and are left out, and "
            f"{cut} are cut at {longest} tokens; python -m engine.data shows more"
        )


def make_trainer(
    model: PreTrainedModel,
    rows: list[Encoded],
    pad_id: int,
    settings: Settings,
    scratch: str,
    callbacks: list[TrainerCallback],
    checkpoint: int | None = None,
) -> ListTrainer:
    """What `finetune` trains with, without its capture: transformers' Trainer over encoded conversations, silent.

    The settings must name a learning rate, and steps or epochs. scratch: the folder that the Trainer wants.
    checkpoint: see `finetune`.
    """
    trainer = ListTrainer(
        model,
        training_arguments(settings, scratch, checkpoint),
        train_dataset=rows,
        data_collator=lambda batch: collate(batch, pad_id),
        callbacks=callbacks,
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer


def _save(trained: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """In PEFT's or transformers' form, beside and then renamed: never half of it."""
    with written_whole(folder) as beside, without_bars():
        trained.save_pretrained(beside)
        tokenizer.save_pretrained(beside)


def _named(data: Any) -> str | None:
    """How the same data can be asked for again; None for what was made in Python."""
    return str(data) if isinstance(data, str | Path) else None


def digest(conversations: Conversations) -> str:
    """What was trained and graded on, in sixteen digits: other data gives others."""
    text = json.dumps([conversations.train, conversations.heldout], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _mixed_in(source: Source | None, train: int, settings: Settings) -> tuple[list[list[Message]], str]:
    """As many other conversations as make them `mix` of the whole, and what they are called."""
    if source is not None and not settings.mix:
        raise InputError("mix_with does nothing without its share; give mix too, e.g. mix=0.3")
    count = round(train * settings.mix / (1 - settings.mix))
    if source is None or (isinstance(source, str) and source == CURRICULUM):
        drawn = mixture(seed=10_000 + settings.seed)
        return [next(drawn)[1].messages for _ in range(count)], CURRICULUM
    other, rng = load(source), random.Random(settings.seed)
    chosen: list[list[Message]] = []
    while len(chosen) < count:
        chosen += rng.sample(other.train, min(len(other.train), count - len(chosen)))
    return chosen, other.name


def make_evaluator(
    tokenizer: PreTrainedTokenizerBase,
    task: Conversations,
    skills: int,
    max_length: int = 512,
    most: int = 100,
    answers: bool = True,
) -> Evaluator | None:
    """Grades the task's held-out part (at most `most` of it) and `skills` examples of each skill of the curriculum;
    answers: asks the probes as well."""
    groups = curriculum_groups(skills) if skills else {}
    probes = curriculum_probes() if skills else []
    if task.heldout:
        groups[task.name] = task.heldout[:most]
        probes = task_probes(task.name, task.heldout) + probes
    return Evaluator(tokenizer, groups, probes if answers else [], OPEN_ENDED, max_length) if groups else None


class _Bar(TrainerCallback):
    """One progress bar: steps and the loss."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar = tqdm(total=state.max_steps, desc=self.title, unit="step")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()
