"""What is new in a run that is being written? One page of all there is, then messages, as `door.js` takes them.

The run's folder is all that is looked at: whoever trains need not know, and a training can be followed from another
process. Nothing is read but by `look`.
"""

from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np

from engine.recording.lock import is_held
from engine.run.run import Run
from visualize.page.bundle import page_html
from visualize.page.pack import FORMAT, VERSION, WHOLE, base_of, readable, size_of
from visualize.page.pieces import Pieces, as_text
from visualize.page.told import told_of
from visualize.page.weights import picture_of
from visualize.page.write import BUDGET, page_of
from visualize.theme import PALETTES

MOST = 40_000_000  # bytes of text; when there are more, every second step goes
_SIDE = 64  # of the picture of a matrix that is not whole in the page
_RECORDS = ("run.json", "metrics.jsonl", "answers.jsonl", "norms.jsonl")


class Following:
    """A run that grows. Raises InputError if there is none in the folder.

    told: what is known of it now, `version` times told anew. steps: (number of the message, step, what lists its
    tensors). changed: notified after each `look` that found something.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder, self.most = folder, most
        self.changed = Condition()
        run = Run.load(folder)
        self.title = run.what
        self.pieces = Pieces([""], level=1)  # it goes no further than this machine
        self.base = base_of(self.pieces, run.info.model.source, [run], most)
        self.told: dict[str, Any] = {}
        self.version = self.sent = 0
        self.steps: list[tuple[int, int, dict[str, Any]]] = []
        self.modules = list(run.info.modules)
        self._shape(run)
        self._seen: Any = None
        self._last, self._asked, self._stride = -1, 0, 1
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
        seen = [self._mark(name) for name in _RECORDS], sorted(self.folder.glob("captures/*.safetensors"))
        if seen == self._seen:
            return False
        run = Run.load(self.folder)
        told = told_of(run)
        made = [(step, self._tensors(run, step)) for step in run.steps if step > self._last and self._wanted()]
        with self.changed:
            self._last = max([self._last, *run.steps])
            for step, tensors in made:
                self.sent += 1
                self.steps.append((self.sent, step, self.pieces.add_tensors(tensors)))
            self._thin()
            self.told, self.version, self._seen = told, self.version + 1, seen
            self.changed.notify_all()
        return True

    @property
    def grown(self) -> bool:
        """Whether more is trained than there was at first: only another page could show it."""
        return self.modules != [about["name"] for about in self.told["modules"]]

    def close(self) -> None:
        """A last look, when nobody writes any more."""
        self.look()
        if self.told["status"] == "running":
            with self.changed:
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

    def _wanted(self) -> bool:
        self._asked += 1
        return (self._asked - 1) % self._stride == 0

    def _thin(self) -> None:
        while self.pieces.size > self.most and len(self.steps) > 2:
            for _, _, listed in self.steps[1::2]:
                self.pieces.texts[listed["piece"]] = ""
            self.steps = self.steps[::2]
            self._stride *= 2

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

    @property
    def goes_on(self) -> bool:
        """Whether it is still being written: it says so, and its process lives."""
        return self.told["status"] == "running" and is_held(self.folder)

    def page(self, door: str = "training") -> str:
        """The page of all there is until now, which takes messages from then on."""
        with self.changed:
            told = {
                **self.told, "form": self.form, "scales": {}, "left_out": self.left_out,
                "findings": [], "bytes": 0, "steps": [step for _, step, _ in self.steps],
                "pieces": [listed for _, _, listed in self.steps],
            }  # fmt: skip
            manifest = {
                "format": FORMAT, "version": VERSION, "base": self.base, "runs": [told],
                "themes": {name: vars(one) for name, one in PALETTES.items()},
                "skills": {}, "tasks": {}, "replay": [], "probes": [], "training": {"after": self.sent},
            }  # fmt: skip
            texts = [as_text(manifest), *self.pieces.texts[1:]]
        return page_html(f"{self.title}, in training – Glasstune", texts, door)

    def since(self, sent: int, version: int) -> tuple[list[tuple[int, dict[str, Any]]], int, int]:
        """What is new to somebody who has had so much: numbered messages, and what they have had then."""
        with self.changed:
            found = [
                (number, {"step": step, "tensors": listed, "text": self.pieces.texts[listed["piece"]]})
                for number, step, listed in self.steps
                if number > sent
            ]
            if version < self.version:
                told = {key: value for key, value in self.told.items() if key not in ("modules", "cut")}
                found.append((self.sent, {"again": True} if self.grown else {"told": told}))
            return found, self.sent, self.version
