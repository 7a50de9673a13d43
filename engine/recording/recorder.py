"""What turns a training into a Run? A `Recorder`, which `CaptureCallback` and `capture()` drive step by step.

It decides once what is kept (`engine.recording.trained`, `engine.recording.schedule`), says so, and from then on writes
what it is told: metrics and answers as lines, the weights' changes through `engine.recording.writer`, beside training.
"""

import atexit
import errno
import json
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from msgspec.structs import replace
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from engine import terminal
from engine.checks import check_between
from engine.errors import InputError, first_line, shown
from engine.files import json_text, write_json
from engine.merging import own_parameters
from engine.models import canonical, kept_modes
from engine.recording.folder import absolute, claim_folder
from engine.recording.live import begin_showing, find_show
from engine.recording.lock import lock, unlock
from engine.recording.model import (
    adapter_settings,
    agreed,
    configs_of,
    held_in,
    is_quantised,
    process_number,
    quantisation,
    unshared,
    unwrapped,
)
from engine.recording.options import CaptureOptions
from engine.recording.origin import provenance
from engine.recording.ours import RECORDS, holds_run
from engine.recording.prompts import prompt_parameters
from engine.recording.resume import adopt, later_modules, rewind
from engine.recording.schedule import (
    STEPS,
    allot,
    capture_schedule,
    count_captures,
    count_steps,
    evaluation_schedule,
    named,
    parse_bytes,
    readable,
)
from engine.recording.trained import Part, changes_already, find_trained, matching
from engine.recording.watch import Watch
from engine.recording.writer import Writer, is_sharded, save_start, size_of
from engine.run.format import BASE_ANSWERS, START_SCRATCH, later_starts
from engine.run.info import FORMAT, VERSION, read_info
from engine.run.run import Run
from engine.run.sketch import LEVELS, Level

OWN = ("step", "event")  # what a line of metrics says itself, of which no logged value may have the name


@dataclass(eq=False, repr=False)
class Recorder(CaptureOptions):
    """Writes one Run. `start`, then `step` after every optimizer step, then `finish`. See also `CaptureOptions`.

    total: the number of the last step, if known. resumed: the steps that were done before; the Run that `out` then
    holds goes on from there. Raises InputError, before training begins, for whatever cannot be captured.
    """

    model: nn.Module
    out: str | Path
    _: KW_ONLY
    total: int | None = None
    resumed: int = 0

    def __post_init__(self) -> None:
        began = time.perf_counter()
        super().__post_init__()
        if not isinstance(self.model, nn.Module):
            raise InputError(f"model is {shown(self.model)}; give the torch.nn.Module that is trained")
        for name in ("total", "resumed"):
            check_between(name, getattr(self, name), 0, STEPS)
        self.total, self.resumed = None if self.total is None else int(self.total), int(self.resumed)
        self.folder, total, resumed = absolute(self.out), self.total, self.resumed
        self.why: str | None = None  # the capture ended before training did
        self._started = self._closing = self._put_away = False
        self._show = find_show() if self.live and process_number() == 0 else None
        self._end_showing: Callable[[], None] | None = None
        self.norms: dict[str, float] = {}  # of the last captured step
        self.answers: list[dict[str, str | bool]] = []  # of the last evaluation, which was after step `answered`
        self.answered = 0
        until, after = self._unfrozen_before()
        everything = find_trained(self.model, also=until)
        trained = find_trained(self.model, self.modules, until) if self.modules else everything
        self._everything = everything
        self.trained = {name: part for name, part in trained.items() if name not in after}
        self.writes, sharded = process_number() == 0, is_sharded(self.trained)
        self._first = self.writes
        if self.evaluator and sharded:
            raise InputError(
                "the model is sharded over processes; capture it without an evaluator, and grade its result"
            )
        self.limit = None if self.budget is None else parse_bytes(self.budget)
        goes_on = agreed(self.writes and resumed > 0 and holds_run(self.folder), sharded)
        sizes = {name: size_of(part) for name, part in self.trained.items()}
        self._captured_at = capture_schedule(self.every, sum(size.exact for size in sizes.values()), total)
        self._evaluated_at = evaluation_schedule(self.evaluate_at, total)
        if goes_on and self.writes:
            adopt(self.folder, self.trained, resumed, (self.info or {}).get("seed"))
            if (prober := getattr(self.evaluator, "prober", None)) is not None:
                prober.recall(self.folder / BASE_ANSWERS)
            self._lock = lock(self.folder)
        elif not goes_on:
            captures = count_captures(self._captured_at, total, resumed)
            for name, level in allot(sizes, captures, self.limit).items():
                self.trained[name].about = replace(self.trained[name].about, sketch=level and tuple(level))
        levels = {name: part.about.sketch for name, part in self.trained.items()}
        for name, sketched in agreed(levels, sharded).items():
            self.trained[name].about = replace(self.trained[name].about, sketch=sketched)
        kept = self._kept()
        told = self.info or {}
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            **self._describe(),
            **told,
            "capture": kept,
        }
        if isinstance(method := self.record["method"], dict):  # whoever told it need not know the bits
            self.record["method"] = {**quantisation(self.model), **method}
        self._check_record()
        if not goes_on and (before := sum(changes_already(*one) for one in self.trained.items())):
            note = (
                f"{before} of {len(self.trained)} adapted modules change W already before training: what is captured "
                "is their whole change from the base, what was there before included"
            )
            self.record["notes"] = [*self.record.get("notes", []), note]
            if self.writes:
                terminal.remark(f"capture: {note}")
        if self.writes:
            self.record = self._open(rewind(self.folder, resumed) if goes_on else None)
        self._seconds_before = dict(self.record.get("seconds", {}))
        self._last_captured = self._last_evaluated = resumed if goes_on else -1
        self._at = resumed  # the optimizer's steps that are done
        self._each_evaluation = 0.0
        self._began, self._seconds = began, {"capture": 0.0, "evaluation": 0.0}
        self.writer: Writer | None = None
        if sharded or self.writes:
            with self._giving_up():
                if not goes_on:
                    save_start(self.folder, self.trained, self.writes)
                self.writer = Writer(self.folder, self.trained, self.writes, self._note, self.limit)
                self.writer.kept = agreed(self.writer.kept, sharded)
                if self.writes:
                    self._watch = Watch(self.model, everything)
                    if again := {name: trained[name] for name in after & trained.keys()}:
                        self._add(again, resumed + 1)
        self._seconds["capture"] = time.perf_counter() - began
        if self.say and self.writes:
            terminal.remark(self._opening(goes_on))

    def _check_record(self) -> None:
        """What is written can be read again. Raises InputError for an `info` that would prevent it."""
        try:
            read_info(json.loads(json_text(self.record)), self.folder / "run.json")
        except InputError as error:
            raise InputError(f"with this info nobody could read the run: {error}") from None

    def _unfrozen_before(self) -> tuple[set[str], set[str]]:
        """Of a Run that goes on: what it saw unfrozen until the step from which it does, and later."""
        if process_number() == 0 and self.resumed and holds_run(Path(self.out)):
            return later_modules(Path(self.out), self.resumed)
        return set(), set()

    def _open(self, before: dict[str, Any] | None) -> dict[str, Any]:
        """Make or take over the folder, open its files, and give what run.json says now."""
        info = self.record
        if before is None:
            self._lock = claim_folder(self.folder, self.overwrite)
            if self.resumed:
                info["began_at"] = self.resumed
        else:
            kept = ("id", "created", "seconds", "began_at")
            keep: dict[str, Any] = {key: before[key] for key in kept if key in before}
            info = {**before, **info, **keep, "resumed": [*before.get("resumed", []), self.resumed]}
            if why := info.pop("why", None):  # of the capture that ended: this one may see training to its end
                info["notes"] = [*before.get("notes", []), f"an earlier capture ended {why}"]
        info["status"] = "running"
        self._files: dict[str, TextIO] = {name: (self.folder / name).open("a", encoding="utf-8") for name in RECORDS}
        write_json(self.folder / "run.json", info)
        return info

    def _describe(self) -> dict[str, Any]:
        model = unwrapped(self.model)
        source = canonical(self.source or getattr(getattr(model, "config", None), "_name_or_path", "") or "unknown")
        total = trainable = 0
        layers = (layer for layer in self.model.modules() if isinstance(layer, BaseTunerLayer))
        adapters = {id(parameter) for layer in layers for parameter in own_parameters(layer)}
        adapters |= {id(parameter) for parameter in prompt_parameters(self.model)}
        for name, parameter in self.model.named_parameters():
            trainable += parameter.numel() * parameter.requires_grad
            if id(parameter) not in adapters and ".modules_to_save." not in name:
                total += held_in(parameter)
        return {
            "id": uuid.uuid4().hex,
            "method": {"name": self._method(), **adapter_settings(self.model)},
            "model": {
                "name": Path(source).name,
                "source": source,
                "architecture": type(model).__name__.removeprefix("FSDP"),
                "parameters": total,
                "trainable": trainable,
            },
            "modules": {name: part.about.to_json() for name, part in self.trained.items()},
            **provenance(),
        }

    def _method(self) -> str:
        """What this training is by itself, whoever set it up; `info` may say more."""
        adapted = any(part.about.kind != "delta" or part.merged for part in self.trained.values())
        if adapted or any(True for _ in prompt_parameters(self.model)):
            kinds = {
                str(config.peft_type.value).lower() for configs in configs_of(self.model) for config in configs.values()
            }
            if kinds and "lora" not in kinds:
                return min(kinds)
            return "qlora" if is_quantised(self.model) else "lora"
        whole = all(parameter.requires_grad for parameter in self.model.parameters())
        return "full" if whole else "partial"

    def _kept(self) -> dict[str, Any]:
        """What run.json says about the choice: counts of trained matrices and vectors, how they are kept."""
        matrices = [part for part in self.trained.values() if part.about.is_matrix]
        sketched = [part for part in matrices if part.about.sketch is not None]
        return {
            "every": named(self.every),
            "budget": self.limit,
            "steps": self.total,
            "exact_matrices": len(matrices) - len(sketched),
            "sketched_matrices": len(sketched),
            "sketch": max((part.about.sketch for part in sketched if part.about.sketch is not None), default=None),
            "vectors": len(self.trained) - len(matrices),
            "left_out": len(self._everything) - len(self.trained),
        }

    def _opening(self, goes_on: bool) -> str:
        kept = self.record["capture"]
        words = [f"{kept['exact_matrices']} matrices and {kept['vectors']} vectors exactly"]
        if kept["sketched_matrices"]:
            level = Level(*kept["sketch"])
            parts = ["exact norm"]
            parts += [f"{level.triplets} singular directions"] if level.triplets else []
            parts += [f"a picture of at most {level.side} x {level.side}"] if level.side else []
            words.append(f"{kept['sketched_matrices']} matrices too large for budget={readable(self.limit or 0)} as a "
                         f"summary ({', '.join(parts)})")  # fmt: skip
        left = "that is all that is trainable now, and what is unfrozen later is added"
        if self.modules:
            left = f"leaves out {kept['left_out']} others by modules="
        assert self.writer is not None
        until = "?" if kept["steps"] is None else kept["steps"]
        captures = count_captures(self._captured_at, kept["steps"], self.resumed)
        size = f"about {readable(self.writer.once + captures * self.writer.each)}"
        if kept["steps"] is None:
            size = f"{readable(self.writer.each)} a capture" + (
                f", thinned to stay within {readable(self.limit)}" if self.limit else ""
            )
        begins = f"goes on from step {self.resumed}" if goes_on else "keeps"
        return (
            f"capture {begins}{': ' if goes_on else ' '}{' and '.join(words)}; {left}; every={kept['every']} of "
            f"{until} steps, {size} in {self.folder}"
        )

    def start(self) -> None:
        """Capture and evaluate the step before training: every delta is zero, but for an adapter that was trained
        before. A Run that goes on has it already.

        Raises what goes wrong: so far, nothing has been trained.
        """
        with self._giving_up():
            self.step(self.resumed)
            self.settle()
        self._started = True
        if self.say and self.writes and getattr(self.evaluator, "prober", None) is not None and not self.resumed:
            terminal.remark(self._cost())
        if self.writes:
            # Before the first optimizer step that could move what has just been unfrozen: later, its start is lost.
            this = weakref.ref(self)

            @torch.compiler.disable
            def look(*_: Any) -> None:
                if (recorder := this()) is not None:
                    recorder._before_optimizer()

            self._hook = register_optimizer_step_pre_hook(look)
            weakref.finalize(self, self._hook.remove)
            self._at_exit = partial(_close_at_exit, this, os.getpid())
            atexit.register(self._at_exit)
            if self._show is not None:
                self._end_showing = begin_showing(self._show, self.folder)

    def _cost(self) -> str:
        """What the evaluations will take, now that the first is done."""
        each = self._seconds["evaluation"]
        total = self.total or 0
        between = count_steps(self._evaluated_at, 1, total - 1)
        share = self.evaluation_share
        if not between:
            bound = ""
        elif share is None:
            bound = f", and {between} times before: about {each * (between + 1):.0f} s more"
        else:
            bound = f", and before, up to {between} times, where all of it takes at most {share:.0%} of the time"
        return (
            f"capture: before training, the base answered what shows forgetting, in {each:.1f} s; it is asked again at "
            f"the end{bound}"
        )

    def _before_optimizer(self) -> None:
        if self.writes and self._watch.stirred():
            self._try(self._at + 1, lambda: self._look(self._at + 1))

    def _look(self, step: int) -> None:
        """Compare the model with how it was: follow what can be followed, or raise InputError."""
        began = time.perf_counter()
        assert self.writer is not None
        seen = self._watch.look(step)
        for name, part in seen.replaced.items():
            if name in self.trained:
                self.trained[name].live = part.live
        if seen.replaced:
            self.writer.follow()
        if seen.notes:
            notes = [f"at step {step}, {note}" for note in seen.notes]
            self.record["notes"] = [*self.record.get("notes", []), *notes]
            for note in notes:
                terminal.remark(f"capture: {note}")
            write_json(self.folder / "run.json", self.record)
        if seen.added:
            model = self.record.get("model")
            if isinstance(model, dict) and isinstance(model.get("trainable"), int):
                added = (tensor for part in seen.added.values() for tensor in part.live.values())
                model["trainable"] += sum(tensor.numel() for tensor in added)
            self._add(seen.added, step)
        self._seconds["capture"] += time.perf_counter() - began

    def _add(self, parts: dict[str, Part], step: int) -> None:
        """Capture what is trained from `step` on and was not before."""
        assert self.writer is not None
        self._everything |= parts
        parts = matching(parts, self.modules)
        for name, level in self._levels(parts, step).items():
            part = parts[name]
            about = replace(part.about, sketch=level and tuple(level), since=step)
            if about.kind == "lora" and level is None and not about.from_start:  # its factors before are the start's
                part.start = {key: tensor.detach for key, tensor in part.live.items()}
            parts[name] = Part(about, part.live, part.start, part.scale)
        if parts:
            self.writer.extend(parts, step)  # whose parts `trained` is
        self.record["modules"] |= {name: part.about.to_json() for name, part in parts.items()}
        self.record["capture"] |= self._kept()
        write_json(self.folder / "run.json", self.record)
        if self.say and parts:
            terminal.remark(
                f"capture: {len(parts)} more are trained from step {step} on, and captured ({min(parts)}, ...); "
                "until then their change is zero"
            )

    def _levels(self, parts: dict[str, Part], step: int) -> dict[str, Level | None]:
        """How each is kept within what the budget has left; at least its norm, for which captures are then thinned."""
        assert self.writer is not None
        sizes = {name: size_of(part) for name, part in parts.items()}
        captures = count_captures(self._captured_at, self.total, step)
        planned = self.writer.once + self.writer.each * (len(self.writer.kept) + captures)
        try:
            return allot(sizes, captures, None if self.limit is None else self.limit - planned)
        except InputError:
            return {name: LEVELS[-1] if size.shape is not None else None for name, size in sizes.items()}

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """What fails inside is raised, and the Run is closed and says so."""
        try:
            yield
        except BaseException as error:  # Ctrl-C, too: the base's first answers take longest
            self.why = f"before training: {_said(error)}"
            with suppress(Exception):
                self.finish(self.resumed, "stopped")
            raise

    def step(self, step: int, last: bool = False) -> None:
        """After optimizer step `step` (1, 2, ...): capture and evaluate if a schedule says so, or if it is the last."""
        first = step == self.resumed
        due = step > self._last_captured and (first or last or self._captured_at(step))
        if self.writes and not first and (due or (step > self._at and self._watch.stirred())):
            self._try(step, lambda: self._look(step))
        self._at = step
        if due:
            self._try(step, lambda: self._capture(step, first or last))
        if self.evaluator and self.writes and step > self._last_evaluated and (last or self._may_evaluate(step)):
            self._try(step, lambda: self._evaluate(step))

    def _may_evaluate(self, step: int) -> bool:
        """Is it due, and is there time for it? The first always is."""
        if not self._evaluated_at(step):
            return False
        if self.evaluation_share is None or self._last_evaluated < 0:
            return True
        last = self._each_evaluation if self.total else 0.0  # of an endless loop it may never come
        evaluating = self._seconds["evaluation"] + self._each_evaluation + last
        training = time.perf_counter() - self._began - self._seconds["evaluation"]
        if self.total and step > self.resumed:
            training *= (self.total - self.resumed) / (step - self.resumed)  # as it goes on like this
        return evaluating <= self.evaluation_share * (training + evaluating)

    def log(self, step: int, values: Mapping[str, Any], event: str = "train") -> None:
        """Write one line of metrics: of training (loss in nats a token, learning_rate, ...) or of an evaluation."""
        self._try(step, lambda: self._log(step, values, event))

    def settle(self) -> None:
        """Until what was captured so far is on the disk."""
        if self.writer is not None:
            self._try(self._last_captured, self.writer.wait)

    def _try(self, step: int, act: Callable[[], None]) -> None:
        """Do it. What goes wrong once training has begun ends the capture, with one sentence, and training goes on."""
        try:
            act()
        except Exception as error:  # an evaluator may raise anything
            if not self._started or (self.must_capture and not self._closing):
                raise
            self._end(step, error)

    def _end(self, step: int, error: Exception) -> None:
        """No more is written. With a sharded model, this process still helps the others to gather it."""
        if self.why is not None:
            return
        self.writes, self.why = False, f"at step {step}: {_said(error)}"
        terminal.remark(f"capture has ended, and training goes on without it: {self.why}")
        if self.writer is not None:
            with suppress(Exception):
                self.writer.close()

    def _capture(self, step: int, surely: bool) -> None:
        began = time.perf_counter()
        if self.writer is not None and (self.writes or self.writer.shards) and self.writer.capture(step, surely):
            self._last_captured = step
        self._seconds["capture"] += time.perf_counter() - began

    def _note(self, step: int, norms: dict[str, float]) -> None:
        self.norms = norms
        self._write("norms.jsonl", {"step": step, "norms": norms})

    def _log(self, step: int, values: Mapping[str, Any], event: str) -> None:
        self._write("metrics.jsonl", {**values, "step": step, "event": event})

    def _evaluate(self, step: int) -> None:
        began = time.perf_counter()
        assert self.evaluator is not None
        try:
            with kept_modes(self.model):  # dropout goes on as it was
                # DDP knows no config and no generate, and waits for the other processes.
                result = self.evaluator(unshared(self.model))
        except Exception as error:
            if isinstance(error, InputError) or not self._started:
                raise
            raise InputError(f"the evaluator failed ({type(error).__name__}: {first_line(error)})") from error
        self.answers, self.answered = result.answers, step
        measured = getattr(result, "measured", {})
        values = {"exact": result.exact, "loss": result.loss, "graded": result.graded}
        self._log(step, {**values, **({"measured": measured} if measured else {})}, "eval")
        for answer in result.answers:
            self._write("answers.jsonl", {"step": step, **answer})
        self._last_evaluated = step
        if (prober := getattr(self.evaluator, "prober", None)) is not None:
            prober.keep(self.folder / BASE_ANSWERS)
        self._each_evaluation = time.perf_counter() - began
        self._seconds["evaluation"] += self._each_evaluation

    def _write(self, name: str, record: dict[str, Any]) -> None:
        if self.writes:
            path = self.folder / name
            try:
                if not path.exists():  # what is written to a file without a name is lost
                    raise FileNotFoundError(errno.ENOENT, "it has been deleted")
                self._files[name].write(json_text(record) + "\n")
                self._files[name].flush()
            except OSError as error:
                raise InputError(f"{path} cannot be written ({error.strerror}); free some space") from None

    def finish(self, step: int, status: str = "finished") -> Run | None:
        """Capture and evaluate the last step, close the files, and open the Run (None but in the first process, or if
        nothing is left of it). status: "incomplete" if the capture ended before training did.

        What interrupts it, Ctrl-C in the last evaluation say, is raised, and the Run is "stopped". Once is enough.
        """
        if self._put_away:
            return None
        self._closing = status != "finished"  # then another error is under way, which is the one to hear of
        try:
            if status == "finished":
                self.step(step, last=True)
            self._end_well(step, status)
        except BaseException as error:
            self._closing = True
            if isinstance(error, Exception):
                self.why = self.why or f"at step {step}: {_said(error)}"
            with suppress(Exception):
                self._end_well(step, "stopped")
            raise
        if self._first:
            with suppress(InputError) if self.why else nullcontext():
                return Run.load(self.folder)
        return None

    def _end_well(self, step: int, status: str) -> None:
        """All is on the disk and said, and nobody holds the folder any more; what watched the training is gone."""
        self._try(step, self._close)
        if self._first:
            self._try(step, lambda: self._keep_record(step, status))
            unlock(self.folder, self._lock)
        self._put_away = True
        if self._started and self._first:
            self._hook.remove()
            atexit.unregister(self._at_exit)
        if self._end_showing is not None:
            self._end_showing()

    def _close(self) -> None:
        if self.writer is not None:
            began = time.perf_counter()
            self.writer.close()
            self._seconds["capture"] += time.perf_counter() - began
            self._seconds["beside"] = self.writer.seconds

    def _keep_record(self, step: int, status: str) -> None:
        """run.json's last word, and the other files closed."""
        for file in self._files.values():
            with suppress(OSError):  # what was not written has been said
                file.close()
        if status == "finished":  # a stopped run may go on, and then needs what its summaries are measured from
            for scratch in (self.folder / START_SCRATCH, *later_starts(self.folder)):
                if scratch.name.startswith(Path(START_SCRATCH).stem):
                    scratch.unlink(missing_ok=True)
        seconds = {"total": time.perf_counter() - self._began, **self._seconds}
        before = self._seconds_before
        self.record["seconds"] = {name: round(before.get(name, 0.0) + value, 3) for name, value in seconds.items()}
        self.record |= {"status": status, "steps": step}
        if self.why is not None:
            self.record |= {"status": "incomplete" if status == "finished" else status, "why": self.why}
        write_json(self.folder / "run.json", self.record)


def _close_at_exit(this: "weakref.ref[Recorder]", process: int) -> None:
    """A program that ends without having finished its capture, after an error say, does not leave a Run that runs."""
    recorder = this()
    if recorder is not None and os.getpid() == process:
        with suppress(Exception):
            recorder.finish(recorder._at, "stopped")


def _said(error: BaseException) -> str:
    """An error of any kind, as one clause."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {first_line(error)}"
