"""What is new in a run that is being written? One page of all there is, then messages, as `door.js` takes them.

The run's folder is all that is looked at: whoever trains need not know, and a training can be followed from another
process. Nothing is read but by `look`, and no weights but those that are told: of several new steps the newest, since
the others come with the run's own page, when training has ended.
"""

from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.recording.lock import is_held
from engine.run.run import Run
from visualize.naming import proper
from visualize.page.asked import asked_whole, data_at_hand
from visualize.page.bundle import page_html
from visualize.page.pack import FORMAT, VERSION, WHOLE, base_of, readable, size_of
from visualize.page.pieces import Pieces, as_text
from visualize.page.runnable import plays
from visualize.page.told import told_of
from visualize.page.weights import picture_of
from visualize.page.write import BUDGET, page_of
from visualize.theme import PALETTES

MOST = 40_000_000  # bytes of text of a page; of more steps than that holds, some are left out
_SIDE = 64  # of the picture of a matrix that is not whole in the page
_LEVEL = 1  # of gzip: it goes no further than this machine
_RECORDS = ("run.json", "metrics.jsonl", "answers.jsonl", "norms.jsonl")


class Following:
    """A run that grows. Raises InputError if there is none in the folder. Several threads may ask.

    told: what is known of it now, `version` times told anew.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder, self.most = folder, most
        self._lock = RLock()
        run = Run.load(folder)
        self.title = proper(run.what)
        self._base = Pieces([""], _LEVEL)
        self.base = base_of(self._base, run.info.model.source, [run], most)
        self._data = data_at_hand(run) if self.base and self.base["live"] else None
        self.told: dict[str, Any] = {}
        self.version = self._grown = 0
        self.modules: list[str] = []
        self._seen: Any = None
        self._pieces: dict[int, dict[str, Any]] = {}  # of the last page's steps, and of the newest
        self._paged: set[int] = set()
        self.look()

    def _shape(self, run: Run) -> None:
        """In which form its changes go into the page, and of which of its matrices."""
        kept = [name for name in self.modules if not run.is_sketched(name)]
        exact = [name for name in kept if run.kind(name) == "lora" or readable(run, name)]
        whole = (self.base is not None or size_of(run) <= WHOLE) and exact == self.modules
        lora = whole and all(run.kind(name) == "lora" for name in exact)
        self.form = "factors" if lora else "deltas" if whole else "pictures"
        self.shown = exact if whole else [name for name in run.modules if run.is_sketched(name) or name in exact]
        self.left_out = [
            "precision: while training goes on, changes are in half of it",
            *([] if whole else [f"a matrix is shown as a picture of at most {_SIDE} x {_SIDE} blocks"]),
        ]

    def look(self) -> bool:
        """Read what has been written since; gives whether there was anything.

        Raises InputError where the run cannot be read (any more).
        """
        with self._lock:
            seen = [self._mark(name) for name in _RECORDS], sorted(self.folder.glob("captures/*.safetensors"))
            if seen == self._seen:
                return False
            run = Run.load(self.folder)
            self.told = told_of(run) | {"chats": asked_whole(run, self._data)}
            self._run, self._seen, self.version = run, seen, self.version + 1
            if self.modules != list(run.info.modules):
                if self.version > 1:  # more is trained than before: only another page can show it
                    self._grown = self.version
                self.modules, self._pieces = list(run.info.modules), {}
                self._shape(run)
            return True

    def close(self) -> None:
        """A last look, when nobody writes any more."""
        with self._lock:
            with suppress(InputError):  # its folder may be gone
                self.look()
            if self.told["status"] == "running":
                self.told, self.version = {**self.told, "status": "stopped"}, self.version + 1

    def final(self, door: str = "", budget: int = BUDGET) -> str:
        """The run's own page. Raises InputError as `write_page`."""
        return page_of([Run.load(self.folder)], budget, door)

    def _mark(self, name: str) -> tuple[int, int]:
        try:
            about = (self.folder / name).stat()
        except OSError:
            return 0, 0
        return about.st_mtime_ns, about.st_size

    def _tensors(self, run: Run, step: int) -> dict[str, np.ndarray]:
        found = {}
        with np.errstate(over="ignore", invalid="ignore"):  # a training that diverges is worth looking at
            for name in self.shown:
                if self.form == "factors":
                    factors = run.factors(name, step)
                    found[f"{name}#B"] = (factors.B * np.float32(factors.scaling)).astype(np.float16)
                    found[f"{name}#A"] = factors.A.astype(np.float16)
                else:
                    whole = self.form == "deltas"
                    found[name] = (run.delta(name, step) if whole else picture_of(run, name, step, _SIDE)).astype(
                        np.float16
                    )
        return found

    def _piece(self, step: int) -> dict[str, Any]:
        """The weights of a step: the text of their piece, and what lists them."""
        if step not in self._pieces:
            pieces = Pieces([""], _LEVEL)
            listed = pieces.add_tensors(self._tensors(self._run, step))
            self._pieces[step] = {"step": step, "tensors": listed, "text": pieces.texts[-1]}
        return self._pieces[step]

    def _with_room(self) -> list[int]:
        """Of all steps as many as the page holds, evenly, the newest among them: its changes take most."""
        *others, newest = self.told["captured"] or [-1]
        if newest < 0:
            return []
        room = (self.most - self._base.size) // max(1, len(self._piece(newest)["text"]))
        return [*others[:: max(1, -(-len(others) // max(1, room - 1)))], newest]

    @property
    def goes_on(self) -> bool:
        """Whether it is still being written: it says so, and its process lives."""
        return self.told["status"] == "running" and is_held(self.folder)

    def page(self, door: str = "training") -> str:
        """The page of all there is until now, which takes messages from then on."""
        with self._lock:
            steps = self._with_room()
            found = [self._piece(step) for step in steps]
            self._pieces, self._paged = dict(zip(steps, found, strict=True)), {*steps}
            texts = [*self._base.texts[1:], *(one["text"] for one in found)]
            first = len(texts) + 1 - len(found)
            told = {
                **self.told, "form": self.form, "scales": {}, "left_out": self.left_out,
                "plays": self.base is not None and self.base["live"] and plays(self._run, self.form),
                "findings": [], "bytes": 0, "steps": steps,
                "pieces": [{**one["tensors"], "piece": first + at} for at, one in enumerate(found)],
            }  # fmt: skip
            manifest = {
                "format": FORMAT, "version": VERSION, "base": self.base, "runs": [told],
                "themes": {name: vars(one) for name, one in PALETTES.items()},
                "skills": {}, "tasks": [], "replay": [], "probes": [], "training": {"version": self.version},
            }  # fmt: skip
        return page_html(f"{self.title}, in training – Glasstune", [as_text(manifest), *texts], door)

    def since(self, version: int, step: int) -> dict[str, Any] | None:
        """What is new to somebody who has been told this version, and whose newest weights are of this step."""
        with self._lock:
            if version == self.version:
                return None
            if version < self._grown:
                return {"version": self.version, "again": True}
            told = {key: value for key, value in self.told.items() if key not in ("modules", "cut")}
            message = {"version": self.version, "told": told}
            newest = max(self.told["captured"], default=-1)
            if newest > step:
                with suppress(InputError):  # its weights are being replaced, or gone
                    message |= self._piece(newest)
            kept = self._paged | {newest}  # of those that were only told about, the last is enough
            self._pieces = {one: piece for one, piece in self._pieces.items() if one in kept}
            return message
