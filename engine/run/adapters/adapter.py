"""What is in the folder of an adapter? `Adapter`: each module's change, and what is left out, with the reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.reading import check_name
from engine.run.adapters.changes import Change
from engine.run.adapters.settings import Settings
from engine.run.info import Module
from engine.run.pairing import EMPTY, PACKED
from engine.run.tensors import Tensors

CONFIG = "adapter_config.json"
COPY = "a copy of the base's own weight"
MERELY_SAVED = "an embedding that PEFT saves beside a resized or adapted one, and does not train"
AGAIN = "a trained weight that PEFT saved under two names"
FLAT = "flattened to one row of numbers, as FSDP leaves what was not gathered"
STACKED = "a stack of matrices, as of a mixture's experts, which is not read in this form"
HARMLESS = (COPY, MERELY_SAVED, AGAIN)  # reasons that leave nothing out of the change


@dataclass
class Adapter:
    """One adapter. method: "lora", "loha", ... modules: as run.json describes them; changes: what each is made of.

    left_out: tensor -> why its change is not shown. foreign: tensors whose names PEFT would not find when it loads the
    adapter. begun: how, as PEFT's settings say or "before", where it changes W before it is trained. beside: the
    base, loaded, of one whose change PEFT computes: the next adapter of it finds it there; loaded: each module's W.
    """

    folder: Path
    config: dict[str, Any]
    tensors: Tensors
    method: str
    settings: Settings | None = None
    modules: dict[str, Module] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    begun: Any = True
    beside: Any = None
    loaded: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def leave_out_refused(self) -> None:
        """What its file holds in a form that is not read: not where PEFT computes the change, for PEFT reads it."""
        self.left_out |= {name: f"{PACKED}{how}, which is not read" for name, how in self.tensors.refused.items()}

    def rank(self, module: str) -> tuple[int, float]:
        """(rank, alpha) of a module."""
        assert self.settings is not None
        return self.settings.of(module)

    def scaling(self, module: str) -> float:
        assert self.settings is not None
        return self.settings.scaling(module)

    def add(self, name: str, about: Module, change: Change) -> None:
        """A module, unless one of its tensors is empty."""
        empty = [part for part in change.parts if 0 in self.tensors.shape(part)]
        if empty:
            self.left_out |= dict.fromkeys(empty, EMPTY)
            return
        self.modules[name], self.changes[name] = about, change

    def leave_out(self, names: Iterable[str], why: str) -> None:
        self.left_out |= {name: EMPTY if 0 in self.tensors.shape(name) else why for name in names}

    def are_matrices(self, names: Sequence[str]) -> bool:
        """Whether a module's factors are; if not they are left out, and the other modules are read."""
        sizes = {len(self.tensors.shape(name)) for name in names}
        if sizes != {2}:
            self.leave_out(names, FLAT if min(sizes) < 2 else STACKED)
        return sizes == {2}

    @property
    def trained(self) -> int:
        """How many numbers were trained: not those that were merely saved."""
        parts = {part for change in self.changes.values() for part in change.parts}
        parts |= {name for name, why in self.left_out.items() if why not in HARMLESS}
        return sum(self.tensors.entries[part].size for part in parts if part in self.tensors)

    def reasons(self) -> dict[str, list[str]]:
        """Why -> the tensors that are left out for it."""
        found: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            found.setdefault(why, []).append(name)
        return found

    def note_left_out(self) -> None:
        """Say what is left out, a reason a line."""
        for why, names in self.reasons().items():
            more = f" and {len(names) - 1} more" * (len(names) > 1)
            self.notes.append(f"not shown, because {why}: {names[0]}{more}")


def find_adapter(path: str | Path) -> Path:
    """The folder of an adapter: a folder, its file, or a Hub id (downloaded if it is not yet)."""
    folder = check_name(path)
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        if folder.is_absolute() or str(path).startswith((".", "~")) or len(Path(path).parts) != 2:
            raise InputError(f"{path} does not exist; give the folder of an adapter, or a Hub id such as owner/name")
        folder = _download(str(path))
    if (folder / CONFIG).is_file():
        return folder
    inside = sorted(config.parent.name for config in folder.glob(f"*/{CONFIG}"))
    if inside:
        raise InputError(f"{folder} holds no adapter itself, but its folders do: give one of {', '.join(inside[:6])}")
    if (folder / "config.json").is_file():
        raise InputError(f"{folder} is a whole model, not an adapter; compare it with its base as two checkpoints")
    raise InputError(f"{folder} is no adapter: it has no {CONFIG}")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["adapter_*", "trainer_state.json"]))
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise InputError(f"{name!r} is neither a folder here nor an adapter that can be downloaded ({said})") from None
