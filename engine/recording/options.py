"""What can capturing be told? One list, which `CaptureCallback`, `capture()` and the `Recorder` behind both take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checks import check_between, check_kinds
from engine.errors import InputError, shown
from engine.recording.schedule import DEFAULT_BUDGET, EVALUATIONS, EvaluateAt, Every, check_capture

if TYPE_CHECKING:
    from engine.evaluate import Evaluator


@dataclass(kw_only=True, eq=False, repr=False)
class CaptureOptions:
    """every: capture each n-th optimizer step; {0: 1, 100: 10}, each at first and from step 100 each tenth; a list of
    steps; a function of the step; or "auto", all at first and then sparser, some 150 MB in all.
    modules: patterns of the names to capture ("*.q_proj"), default all that is trained. budget: the Run's size at
    most ("200MB"; None for no limit): matrices that do not fit are summarised, see `Run.sketch`.
    evaluator: an `engine.evaluate.Evaluator`, to grade skills and ask probes; evaluate_at: how many times about,
    or a function of the step. evaluation_share: between the first and the last those are left out with which
    all of them would take more than this share of the whole time (None: none is).
    source: where the base model's files are (default: what the model says). info: more for run.json (method, data,
    settings, ...). say: print, once, what is kept. overwrite: delete the Run in `out`, if that holds nothing else.
    live: a page of the training while it goes on, at a local address or in the notebook; at its end it is the Run's.
    must_capture: what cannot be written ends the training with an InputError. By default it ends the capture alone.
    """

    every: Every = "auto"
    modules: str | list[str] | None = None
    budget: str | int | None = DEFAULT_BUDGET
    evaluator: "Evaluator | None" = None
    evaluate_at: EvaluateAt = EVALUATIONS
    evaluation_share: float | None = None
    source: str | Path | None = None
    info: dict[str, Any] | None = None
    say: bool = True
    overwrite: bool = False
    live: bool = False
    must_capture: bool = False

    def __post_init__(self) -> None:
        check_kinds(self, type(self))  # of all that a callback or a recorder is told besides, too
        check_capture(self.every, self.evaluate_at, self.budget, self.modules)
        check_between("evaluation_share", self.evaluation_share, 0, 1)
        if self.evaluator is not None and not callable(self.evaluator):
            raise InputError(f"evaluator is {shown(self.evaluator)}; give an engine.evaluate.Evaluator, or None")
        if self.source is not None and not isinstance(self.source, str | Path):
            raise InputError(f"source is {shown(self.source)}; give the folder or the name of the base model")
        check_told({} if self.info is None else self.info)

    def options(self) -> dict[str, Any]:
        """These, to hand on."""
        return {about.name: getattr(self, about.name) for about in fields(CaptureOptions)}


# What a recorder says itself of a Run; the rest may be told, or added to.
_OWN = {"format", "version", "id", "created", "versions", "host", "command", "modules", "capture", "seconds", "status",
        "why", "steps", "resumed", "began_at", "notes", "found", "differences", "step_known", "raw"}  # fmt: skip


def check_told(info: Any) -> None:
    """Raises InputError for an `info` that would make a run.json which cannot be read, or say what is not so."""
    if not isinstance(info, Mapping) or not all(isinstance(name, str) for name in info):
        raise InputError(f"info is {shown(info)}; give a dictionary of what run.json shall say besides")
    if own := sorted(_OWN & info.keys()):
        raise InputError(f"info says {own[0]!r}, which the capture itself says in run.json; call it something else")
    try:
        json.dumps(info)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"info cannot be written as JSON ({error}); give plain values") from None
