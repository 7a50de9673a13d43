"""What did training do to the weights? `CaptureCallback` for any Trainer, `capture()` for a plain PyTorch loop.

Both drive one `engine.recording.recorder.Recorder`, which writes the Run (see `engine.run.format` for its form): the
change of every trained weight since step 0, at every captured step.
"""

import engine.quietly  # noqa: F401

# isort: split
import copy
import inspect
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from engine import terminal
from engine.checks import check_between
from engine.errors import InputError, first_line, shown
from engine.evaluate import Evaluator
from engine.evaluate.probes import EACH, Prober
from engine.recording.folder import absolute
from engine.recording.model import process_number
from engine.recording.options import CaptureOptions
from engine.recording.ours import clear, holds_run
from engine.recording.recorder import OWN, Recorder
from engine.run.format import evaluated_losses
from engine.run.run import Run

_SHARE = 0.2  # of the time, that probing forgetting may take
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(eq=False, repr=False)
class CaptureCallback(CaptureOptions, TrainerCallback):
    """What did my fine-tuning do to the weights? In any Trainer's `callbacks`, this writes it down as a Run.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[CaptureCallback("runs/mine")])

    Where no evaluator is given, and the Trainer has the tokenizer (`processing_class`), what is forgotten is probed as
    `engine.evaluate.probes` says, and what that costs is said.

    out: the Run's folder. probes: how many of each kind; 0 for none. stop_if_diverged: end training, as "stopped", at
    the first logged loss that is no number. All else as `CaptureOptions` says.

    A Trainer that resumes from a checkpoint goes on with the Run that `out` holds; of what was captured after that
    checkpoint nothing stays. With several processes, the first writes. Raises InputError when training begins if
    `out` holds something already, for an adapter whose change is no delta-W, and at a second `train()`: its Run needs
    a callback of its own.

    What is unfrozen later is captured from there. What cannot be followed (an adapter merged into W, another one
    activated, a frozen weight written to) ends the capture, and `run.info.why` says so.
    """

    out: str | Path
    _: KW_ONLY
    stop_if_diverged: bool = False
    probes: int = EACH
    recorder: Recorder | None = field(default=None, init=False)
    diverged: bool = field(default=False, init=False)
    run: Run | None = field(default=None, init=False)
    _batch: int | None = field(default=None, init=False)  # of the training that wrote the Run in `out`
    _step: int = field(default=0, init=False)
    _lifted: bool = field(default=False, init=False)  # the Trainer's logging_nan_inf_filter, which was on
    _watched: Trainer | None = field(default=None, init=False)  # whose errors end the Run, too

    def __post_init__(self) -> None:
        super().__post_init__()
        absolute(self.out)
        check_between("probes", self.probes, 0, 10_000)

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # A Trainer tells its callbacks of no error. So that none leaves a Run that seems to run, its train() does.
        if trainer := _trainer():
            trainer.train, self._watched = self._closing(trainer.train), trainer

    def _closing(self, work: Callable[..., R]) -> Callable[..., R]:
        @wraps(work)
        def called(*args: Any, **kwargs: Any) -> R:
            try:
                return work(*args, **kwargs)
            except BaseException:
                if self._watched is not None:
                    self._filter_again(self._watched.args)
                left, self.recorder = self.recorder, None
                if left:
                    with suppress(Exception):
                        left.finish(self._step, "stopped")
                raise

        return called

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._filter_again(args)  # out of memory in a step, which then has no end
        left, self.recorder = self.recorder, None
        if left:  # an error ended the training before this one
            left.finish(self._step, "stopped")
        if self._batch is not None and state.global_step == 0 and holds_run(Path(self.out)):
            if not (left and args.auto_find_batch_size and (state.train_batch_size or 0) < self._batch):
                raise InputError(
                    f"{self.out} holds the run of this callback's earlier train(), which stays; give this one a "
                    "CaptureCallback of its own, with another folder"
                )
            # Out of memory: the same train() begins anew, with a smaller batch; what it wrote so far is no run.
            if process_number() == 0 and (said := clear(Path(self.out))):
                terminal.remark(said)
        if (trainer := _trainer()) and trainer is not self._watched and not args.auto_find_batch_size:
            # Given by add_callback, in whose train() we are already: what is left to watch is each of its steps.
            trainer.training_step, self._watched = self._closing(trainer.training_step), trainer
        probing = self._probing(kwargs["model"], kwargs.get("processing_class"))
        recorder = Recorder(
            kwargs["model"],
            self.out,
            total=state.max_steps,
            resumed=state.global_step,
            **{**self.options(), **probing, "info": {"seed": args.seed, **(self.info or {})}},
        )
        recorder.start()
        self.recorder, self._batch, self._step = recorder, state.train_batch_size or 0, state.global_step

    def _probing(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """An evaluator of general probes, where none is given and they can be asked: one of each kind is tried here."""
        if self.evaluator is not None or not self.probes or not isinstance(tokenizer, PreTrainedTokenizerBase):
            return {}
        try:
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                raise InputError("several processes train; give an evaluator to the first")
            if not getattr(model, "can_generate", lambda: False)() or model.config.is_encoder_decoder:
                return {}
            # Its own: one without a chat template is given a plain one, which the user's would be saved with.
            tokenizer = copy.deepcopy(tokenizer)
            Prober(tokenizer, most=1)(model)
        except Exception as error:  # a model of any kind may raise anything; it is trained all the same
            terminal.remark(f"capture: forgetting is not probed: {first_line(error)}")
            return {}
        share = _SHARE if self.evaluation_share is None else self.evaluation_share
        return {
            "evaluator": Evaluator(tokenizer, {}, [], prober=Prober(tokenizer, most=self.probes)),
            "evaluation_share": share,
        }

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.recorder and logs and "loss" in logs:
            # Another callback may add what a record says itself: both are kept.
            values = {f"logs_{name}" if name in OWN else name: _logged(value) for name, value in logs.items()}
            self.recorder.log(state.global_step, values)
            if (loss := values["loss"]) is not None and not math.isfinite(loss):
                # A Trainer begins its next mean with what this one leaves, NaN - NaN, in what is its own affair.
                if (left := getattr(_trainer(), "_tr_loss", None)) is not None:
                    left.zero_()
                if self.stop_if_diverged:
                    control.should_training_stop = self.diverged = True
        elif self.recorder and logs and "train_runtime" in logs:
            # The last step is captured at the Trainer's last log, not at the end: by then it may have put the best
            # checkpoint back. (An evaluation that stops it comes after on_epoch_end, so that would be too early.)
            self.recorder.step(state.global_step, last=True)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """The Trainer's own evaluations: "eval_loss" is kept as "held out", "eval_french_loss" as "french"."""
        losses = {name: _logged(value) for name, value in evaluated_losses(metrics or {}).items()}
        if self.recorder and losses and not self.evaluator:
            self.recorder.log(state.global_step, {"exact": {}, "loss": losses}, "eval")

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # In the place of a loss that is no number it would log the mean of those before. During a step alone: the
        # Trainer's own evaluations go by it too, and what they decide is to be as without a capture.
        if args.logging_nan_inf_filter:
            args.logging_nan_inf_filter, self._lifted = False, True

    def _filter_again(self, args: TrainingArguments) -> None:
        if self._lifted:
            args.logging_nan_inf_filter, self._lifted = True, False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._filter_again(args)
        self._step = state.global_step
        if self.recorder:
            self.recorder.step(state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # transformers 5.0 puts the best checkpoint back before its last log; but it saved the last step before.
        if self.recorder and control.should_training_stop:
            self.recorder.step(state.global_step, last=True)

    def settle(self) -> None:
        """Until what was captured so far is on the disk: what a checkpoint vouches for is then there."""
        if self.recorder:
            self.recorder.settle()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder:
            status = "stopped" if self.diverged else "finished"
            self.run, self.recorder = self.recorder.finish(state.global_step, status), None


def _logged(value: Any) -> float | None:
    """A value that a Trainer logs; None for one that is no number, which other callbacks may add."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _trainer() -> Any:
    """The Trainer that is calling; None where there is none."""
    callers = (frame.f_locals.get("self") for frame, _ in traceback.walk_stack(None))
    return next((one for one in callers if isinstance(one, Trainer)), None)


class LoopRecorder:
    """What `capture()` hands to a plain loop: call `step(loss=...)` once after every optimizer step."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.steps = recorder.resumed
        self.run: Run | None = None
        self._waiting: tuple[int, dict[str, Any]] | None = None

    def step(self, **values: float | torch.Tensor) -> None:
        """One optimizer step is done. values: loss, learning_rate, ... as numbers or one-element tensors."""
        kept = {name: _number(name, value) for name, value in values.items()}
        self.steps += 1
        self._log()
        if values:
            self._waiting = (self.steps, kept)
            if not any(isinstance(value, torch.Tensor) and value.is_cuda for value in kept.values()):
                self._log()  # on a GPU one step later, when the value is there: asking now would make training wait
        self._recorder.step(self.steps)

    def _log(self) -> None:
        if self._waiting is not None:
            (step, values), self._waiting = self._waiting, None
            self._recorder.log(step, {name: float(value) for name, value in values.items()})

    def _finish(self, status: str = "finished") -> None:
        try:
            self._log()
        except BaseException:
            status = "stopped"
            raise
        finally:
            self.run = self._recorder.finish(self.steps, status)


def _number(name: str, value: Any) -> float | torch.Tensor:
    """What can be written of a step. Raises InputError, before anything is, for what cannot."""
    if name in OWN:
        raise InputError(f"step({name}=...): steps are counted by themselves; call it once after each optimizer step")
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.is_complex():
            raise InputError(f"step({name}=...): a tensor of shape {tuple(value.shape)}; give one number, its mean say")
        return value.detach()
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"step({name}={shown(value)}): that is no number; leave out what is not known") from None


def _takes(recorder: Callable[P, Recorder]) -> Callable[[Callable[[Recorder], R]], Callable[P, R]]:
    """Makes a function of a Recorder one that takes what makes it, so that an editor completes the names."""

    def decorate(function: Callable[[Recorder], R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(recorder(*args, **kwargs))

        called.__signature__ = inspect.signature(recorder)  # type: ignore[attr-defined]
        return called

    return decorate


@_takes(Recorder)
@contextmanager
def capture(recorder: Recorder) -> Iterator[LoopRecorder]:
    """What does my training loop do to the weights? It writes a Run, which is finished when the block ends, however.

        with capture(model, "runs/mine", total=len(loader)) as recorder:
            for batch in loader:
                ...
                optimizer.step()
                recorder.step(loss=loss)

    Options as `CaptureOptions` says; besides, total: the number of the last step, if it is known; and resumed: the
    steps done before, when a checkpoint of one's own was loaded, to go on with the Run that `out` holds.
    Call it after the model is on its device, wrapped and sharded. `recorder.run` is the Run, after the block.
    """
    recorder.start()
    loop = LoopRecorder(recorder)
    try:
        yield loop
    except BaseException:
        loop._finish("stopped")
        raise
    loop._finish()
