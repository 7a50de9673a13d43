"""How is a model fine-tuned, and captured while it happens? `finetune(model, data, method, out=...)` -> Run.

transformers' own `Trainer` does the training; this file hands it what `engine.training.prepare` made ready and puts a
`CaptureCallback` in. The same from the shell:

    python -m engine.finetune --method lora --data spanish --out runs/spanish-lora

From time to time a checkpoint is kept in the run's folder until it is finished: after a kill, the same call with
`resume=True` (`--resume`) goes on from there, to the very weights that an undisturbed training would have had.
"""

import engine.quietly  # noqa: F401

# isort: split
import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from engine.language.speaking import tr
from engine.models import without_bars
from engine.recording.callback import CaptureCallback
from engine.recording.folder import absolute, check_free
from engine.run.run import Run
from engine.terminal import note
from engine.threads import on_threads, suitable
from engine.training.prepare import Prepared, describe, left_out, prepare
from engine.training.request import Request, takes
from engine.training.trainer import (
    CHECKPOINTS,
    checkpoint_bytes,
    discard_checkpoints,
    is_finished,
    make_trainer,
    where_it_stopped,
    written_whole,
)
from engine.training.view import view

_TOO_LARGE = 200_000_000  # bytes of a checkpoint, beyond which none is kept unless asked for


@takes(Request)
def finetune(told: Request) -> Run:
    """Fine-tune, capture everything, and return the Run.

    Raises InputError for anything wrong with what it is told, before anything is written; and when the Run cannot be
    written any more: it is what this function is for, so training ends there, and `resume=True` goes on.
    """
    prepared = prepare(told)
    if told.progress:
        for sentence in left_out(prepared):
            note(sentence)
    return train(prepared)


def train(prepared: Prepared, threads: int | None = None) -> Run:
    """Train what was prepared, or what is left of it to train, and give its Run.

    threads: how many to compute on; None for as many as suit the model and the machine. The Run says how many.
    """
    told, info = prepared.told, describe(prepared)
    out, stopped_at = absolute(told.out), None  # what is trained may change the working directory
    if told.resume and out.exists():
        if is_finished(out, info, prepared.source):
            return Run.load(out)
        stopped_at = where_it_stopped(out)
    if stopped_at is None:
        check_free(out, told.overwrite)

    model = prepared.model()
    checkpoint = checkpoint_steps(prepared, model)
    capture = CaptureCallback(
        out,
        every=told.every,
        modules=told.modules,
        budget=told.budget,
        evaluator=prepared.evaluator,
        evaluate_at=prepared.evaluate_at,
        evaluation_share=prepared.evaluation_share,
        source=prepared.source,
        info={**info, "checkpoint": checkpoint},
        say=told.progress,
        overwrite=told.overwrite,
        live=told.live,
        stop_if_diverged=told.stop_if_diverged,
        must_capture=True,
    )
    with (
        on_threads(threads or suitable(sum(weights.numel() for weights in model.parameters()))),
        tempfile.TemporaryDirectory() as scratch,  # the Trainer wants a folder, though it saves nothing there
    ):
        title = tr("{method} on {task}", method=prepared.method.name, task=prepared.conversations.name)
        shown = [view(title, lambda: capture.recorder)] if told.progress else []
        trainer = make_trainer(
            model, prepared.rows, prepared.pad_id, prepared.settings, scratch, [capture, *shown], checkpoint
        )
        trainer.keep(out / CHECKPOINTS, after=capture.settle)
        try:
            trainer.train(resume_from_checkpoint=str(stopped_at) if stopped_at else None)
        except BaseException:
            for one in shown:
                one.close()
            if capture.recorder:
                capture.recorder.finish(trainer.state.global_step, status="stopped")
            raise
    assert capture.run is not None
    if told.save:
        _save(model, prepared.tokenizer, out)
    discard_checkpoints(out)
    return capture.run


def checkpoint_steps(prepared: Prepared, model: Any) -> int | None:
    """Steps between two checkpoints: as told, or a tenth of all, if one is not too large."""
    if prepared.told.checkpoint != "auto":
        return prepared.told.checkpoint
    return max(1, prepared.steps // 10) if checkpoint_bytes(model) < _TOO_LARGE else None


def result_folder(model: Any) -> str:
    """Where what was trained is saved in the run: PEFT saves an adapter, transformers a model."""
    return "adapter" if hasattr(model, "peft_config") else "model"


def _save(model: Any, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """In PEFT's or transformers' form, beside and then renamed: never half of it."""
    with written_whole(out / result_folder(model)) as beside, without_bars():
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
