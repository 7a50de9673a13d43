"""What did training do to the weights? `CaptureCallback` for any Trainer, `capture()` for a plain PyTorch loop.

Both drive one `engine.recording.recorder.Recorder`, which writes the Run (see `engine.run.format` for its form): the
change of every trained weight since step 0, at every captured step.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from engine.evaluate import Evaluator
from engine.recording.recorder import Recorder
from engine.recording.schedule import DEFAULT_BUDGET, EvaluateAt, Every
from engine.run.run import Run


class CaptureCallback(TrainerCallback):
    """What did my fine-tuning do to the weights? In any Trainer's `callbacks`, this writes it down as a Run.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[CaptureCallback("runs/mine")])

    out: the Run's folder. every: capture each n-th optimizer step; {0: 1, 100: 10}, each at first and from step 100
    each tenth; a list of steps; a function of the step; or "auto", all at first and then sparser, some 150 MB in all.
    modules: patterns of the names to capture ("*.q_proj"), default all that is trained. budget: the Run's size at
    most ("200MB"; None for no limit): matrices that do not fit are summarised, see `Run.sketch`.
    evaluator: an `engine.evaluate.Evaluator`, to grade skills and ask probes; evaluate_at: how many times about,
    or a function of the step.
    source: where the base model's files are (default: what the model says). info: more for run.json. say: print,
    once, what is kept. stop_if_diverged: end training, as "stopped", at the first logged loss that is no number.

    A Trainer that resumes from a checkpoint goes on with the Run that `out` holds; of what was captured after that
    checkpoint nothing stays. With several processes, the first writes. Raises InputError when training begins if
    `out` holds something already, or for an adapter whose change is no delta-W.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        every: Every = "auto",
        modules: str | list[str] | None = None,
        budget: str | int | None = DEFAULT_BUDGET,
        evaluator: Evaluator | None = None,
        evaluate_at: EvaluateAt = 12,
        source: str | None = None,
        info: dict[str, Any] | None = None,
        say: bool = True,
        stop_if_diverged: bool = False,
    ) -> None:
        self.out, self.info, self.stop_if_diverged = out, info, stop_if_diverged
        self.options: dict[str, Any] = {
            "every": every,
            "modules": modules,
            "budget": budget,
            "evaluator": evaluator,
            "evaluate_at": evaluate_at,
            "source": source,
            "say": say,
        }
        self.recorder: Recorder | None = None
        self.diverged = False
        self.run: Run | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder and args.auto_find_batch_size and state.global_step == 0:
            self.recorder.finish(0, "stopped")  # out of memory: the Trainer begins again, with a smaller batch
            shutil.rmtree(self.out)
        self.recorder = Recorder(
            kwargs["model"],
            self.out,
            total=state.max_steps,
            resumed=state.global_step,
            info={"seed": args.seed, **(self.info or {})},
            **self.options,
        )
        self.recorder.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self.recorder and logs and "loss" in logs:
            self.recorder.log(state.global_step, {name: float(value) for name, value in logs.items()})
            if self.stop_if_diverged and not math.isfinite(float(logs["loss"])):
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
        names = {
            name: name.removeprefix("eval_").removesuffix("loss").strip("_") or "held out"
            for name in metrics or {}
            if name.startswith("eval_") and name.endswith("loss")
        }
        if self.recorder and metrics and names and not self.recorder.evaluator:
            losses = {short: float(metrics[name]) for name, short in names.items()}
            self.recorder.log(state.global_step, {"exact": {}, "loss": losses}, "eval")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.recorder:
            self.recorder.step(state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # transformers 5.0 puts the best checkpoint back before its last log; but it saved the last step before.
        if self.recorder and control.should_training_stop:
            self.recorder.step(state.global_step, last=True)

    def settle(self) -> None:
        """Until what was captured so far is on the disk: what a checkpoint vouches for is then there."""
        if self.recorder and self.recorder.writer:
            self.recorder.writer.wait()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder:
            status = "stopped" if self.diverged else "finished"
            self.run, self.recorder = self.recorder.finish(state.global_step, status), None


class LoopRecorder:
    """What `capture()` hands to a plain loop: call `step(loss=...)` once after every optimizer step."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.steps = recorder.resumed
        self.run: Run | None = None
        self._waiting: tuple[int, dict[str, Any]] | None = None

    def step(self, **values: float | torch.Tensor) -> None:
        """One optimizer step is done. values: loss, learning_rate, ... as numbers or one-element tensors."""
        self.steps += 1
        self._log()
        if values:
            kept = {
                name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in values.items()
            }
            self._waiting = (self.steps, kept)
            if not any(isinstance(value, torch.Tensor) and value.is_cuda for value in kept.values()):
                self._log()  # on a GPU one step later, when the value is there: asking now would make training wait
        self._recorder.step(self.steps)

    def _log(self) -> None:
        if self._waiting is not None:
            (step, values), self._waiting = self._waiting, None
            self._recorder.log(step, {name: float(value) for name, value in values.items()})

    def _finish(self, status: str = "finished") -> None:
        self._log()
        self.run = self._recorder.finish(self.steps, status)


@contextmanager
def capture(model: nn.Module, out: str | Path, *, every: Every = "auto", **options: Any) -> Iterator[LoopRecorder]:
    """What does my training loop do to the weights? It writes a Run, which is finished when the block ends, however.

        with capture(model, "runs/mine", total=len(loader)) as recorder:
            for batch in loader:
                ...
                optimizer.step()
                recorder.step(loss=loss)

    every and options as `CaptureCallback`'s; besides, total: the number of the last step, if it is known; and
    resumed: the steps done before, when a checkpoint of one's own was loaded, to go on with the Run that `out` holds.
    Call it after the model is on its device, wrapped and sharded. `recorder.run` is the Run, after the block.
    """
    recorder = Recorder(model, out, every=every, **options)
    recorder.start()
    loop = LoopRecorder(recorder)
    try:
        yield loop
    except BaseException:
        loop._finish("stopped")
        raise
    loop._finish()
