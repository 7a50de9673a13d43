"""What can `finetune` be asked? One list of every keyword, from which its signature, help and command line are made.

Nothing heavy is imported here, so that `--help` answers at once.
"""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

from engine.checks import check_between, check_kinds
from engine.errors import InputError, shown
from engine.reading import DIGITS, parse_json
from engine.recording.schedule import (
    DEFAULT_BUDGET,
    EvaluateAt,
    Every,
    check_capture,
    parse_bytes,
)
from engine.run.base import EMBEDDED
from engine.training.methods import METHODS, Method
from engine.training.settings import Settings, option

if TYPE_CHECKING:
    from peft import PeftConfig

    from engine.data import Source

P = ParamSpec("P")
R = TypeVar("R")


def _whole_number_or(*words: str) -> Callable[[str], int | str | None]:
    """Reads "12", or one of the words; "none" is None."""

    def read(text: str) -> int | str | None:
        return (None if text == "none" else text) if text in words else whole(text)

    return read


def whole(text: str) -> int:
    """A whole number that was typed. Raises ValueError for other text, and for thousands of digits."""
    return int(text) if len(text) < DIGITS else int("x")


def read_every(text: str) -> Every:
    """Reads "auto", 10, [0, 5, 50] or {"0": 1, "100": 10}."""
    if text == "auto":
        return "auto"
    value = parse_json(text)
    return {int(step): stride for step, stride in value.items()} if isinstance(value, dict) else value


def read_budget(text: str) -> str | None:
    if text != "none":
        parse_bytes(text)
    return None if text == "none" else text


@dataclass(frozen=True)
class Request(Settings):
    """One call of `finetune`: everything that it can be told."""

    model: str | Path = option(EMBEDDED, "'embedded', a folder or a Hub id")
    data: "Source" = option("spanish", "a task's name, a file or a Hub id; in Python also a Dataset or records")
    method: "str | Method | PeftConfig" = option(
        "lora", f"{', '.join(METHODS)}; in Python also LoRA(r=16) and the like, or a peft.LoraConfig"
    )
    _: KW_ONLY
    out: str | Path = field(
        metadata={"help": "the run's folder, which must not exist yet, but for resume and overwrite"}
    )
    every: Every = option(
        "auto",
        'auto, each n-th step, [0, 5, 50], or {"0": 1, "100": 10}: each at first, from 100 each 10th',
        read=read_every,
    )
    modules: str | list[str] | None = option(None, "patterns of names to capture (default: all that is trained)")
    budget: str | int | None = option(
        DEFAULT_BUDGET, "the captures' size at most; what does not fit is summarised; none for no limit",
        read=read_budget,
    )  # fmt: skip
    skills: int | None = option(
        None, "graded examples of each old skill, or of each kind of general probe; 0: none (default: 20)"
    )
    probes: str | Path | None = option(
        None,
        "what shows forgetting: 'curriculum', 'general' (fits any model), or a file of your own probes (default: "
        "curriculum for the embedded model, general for others)",
    )
    evaluate_at: EvaluateAt | Literal["auto"] = option(
        "auto",
        "how many evaluations, about; in Python also a function of the step; auto: 12, of a model that is not embedded "
        "those of them that keep evaluation below a third of the time",
        read=_whole_number_or("auto"),
    )
    answers: bool = option(True, "have the model answer in its own words then, which takes longest")
    mix_with: "Source | None" = option(None, "where the share mix comes from: 'curriculum' (default) or any other data")
    save: bool = option(True, "keep the trained adapter or model")
    resume: bool = option(False, "go on with this very call's run in out, if it was killed or stopped")
    overwrite: bool = option(False, "delete the run that out holds, if it is one of Glasstune's and nothing else")
    checkpoint: int | Literal["auto"] | None = option(
        "auto", "steps between what a resumed run goes on from; none; auto: ten in all, while one is below 200 MB",
        read=_whole_number_or("auto", "none"),
    )  # fmt: skip
    stop_if_diverged: bool = option(False, "end, as 'stopped', at the first loss that is no number")
    live: bool = option(False, "a page of the training while it goes on, at a local address or in the notebook")
    progress: bool = option(True, "show a bar, and what is kept and left out")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kinds(self, Request)
        self._check_capture()
        if self.resume and self.overwrite:
            raise InputError(
                "give resume or overwrite, not both: one goes on with the run in out, the other deletes it"
            )

    def _check_capture(self) -> None:
        """What the capture would refuse is said before anything is loaded."""
        check_capture(self.every, 1 if self.evaluate_at == "auto" else self.evaluate_at, self.budget, self.modules)
        check_between("skills", self.skills, 0, 10_000)
        if self.skills is not None and not isinstance(self.skills, int):
            raise InputError(f"skills is {shown(self.skills)}; it must be a whole number")
        if self.checkpoint not in ("auto", None):
            if not isinstance(self.checkpoint, int) or isinstance(self.checkpoint, bool):
                raise InputError(f"checkpoint is {shown(self.checkpoint)}; give a number of steps, 'auto' or None")
            check_between("checkpoint", self.checkpoint, 1, 10_000_000)
        for name in ("model", "out"):
            if not isinstance(getattr(self, name), str | Path) or not str(getattr(self, name)):
                raise InputError(f"{name} is {shown(getattr(self, name))}; give a name or a folder")

    @property
    def settings(self) -> Settings:
        return Settings(**{about.name: getattr(self, about.name) for about in fields(Settings)})


def takes(request: Callable[P, Request]) -> Callable[[Callable[[Request], R]], Callable[P, R]]:
    """Makes a function of a Request one that takes its fields as keywords, which an editor completes and checks.

    Raises InputError for a name that is none of them.
    """
    about = inspect.signature(request)

    def decorate(function: Callable[[Request], R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs.keys() - about.parameters.keys():
                near = difflib.get_close_matches(name, about.parameters, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(about.parameters)}"
                raise InputError(f"no setting called {name!r}; {hint}")
            about.bind(*args, **kwargs)  # a missing or doubled argument is named as the function's own
            return function(request(*args, **kwargs))

        result = inspect.signature(function).return_annotation
        called.__signature__ = about.replace(return_annotation=result)  # type: ignore[attr-defined]
        lines = (f"    {field.name}: {field.metadata['help']}" for field in fields(Request))
        called.__doc__ = "\n".join([function.__doc__ or "", "    It is told:", *lines])
        return called

    return decorate
