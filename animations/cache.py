"""Which scenes need not be rendered again? Those of which nothing that could change their picture has changed.

A scene's key is a digest of its source, of all other code that draws it, of the runs it shows, of the picture's
settings and of the libraries' versions. `GLASSTUNE_CACHE` names the folder (default: films/.cache).
"""

import ast
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from animations.join import Rendered
from engine.errors import InputError
from engine.run import Run, base_folder

KEPT = 400  # scenes; the least lately used go first
LIBRARIES = ("manim", "av", "numpy", "pillow")


def folder() -> Path:
    return Path(os.environ.get("GLASSTUNE_CACHE", "films/.cache"))


def key(scene: type, runs: Iterable[Run], settings: dict[str, Any]) -> str:
    """settings: whatever else decides the picture: size, rate, theme, encoder."""
    digest = hashlib.sha256()
    for part in (source_of(scene), settings, {name: version(name) for name in LIBRARIES}):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    for run in runs:
        digest.update(run_digest(run).encode())
    return digest.hexdigest()[:32]


def source_of(scene: type) -> str:
    """The scene's film without its other scenes, and every other file that a film draws with."""
    film = Path(importlib.import_module(scene.__module__).__file__ or "")
    text = film.read_text(encoding="utf-8")
    lines = text.splitlines()
    others = {other.__name__ for other in importlib.import_module(scene.__module__).SCENES} - {scene.__name__}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name in others:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno + 1)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SCENES":
            lines[node.lineno - 1 : node.end_lineno] = [""]  # their order does not change their pictures
    root = film.parent.parent
    shared = [*root.glob("animations/*.py"), *root.glob("visualize/mobjects/*.py"), root / "visualize/theme.py"]
    shared += [root / "engine" / name for name in ("run.py", "measure.py")]
    texts = [file.read_text(encoding="utf-8") for file in sorted(shared) if file.name not in _NO_PIXEL]
    drawing = [text for text in texts if "\nSCENES = " not in text]
    return "\n".join([scene.__name__, *filter(None, lines), *drawing])


_NO_PIXEL = {"render.py", "workers.py", "join.py", "cache.py", "preview.py", "runs.py", "notebook.py", "slides.py"}


def run_digest(run: Run) -> str:
    """What a run says and when its weights were written; the base model's file likewise, whose W is shown."""
    digest = hashlib.sha256(run.name.encode())
    for file in ("run.json", "metrics.jsonl", "answers.jsonl"):
        digest.update((run.path / file).read_bytes() if (run.path / file).exists() else b"")
    weights = sorted(run.path.glob("captures/*.safetensors"))
    with suppress(InputError, KeyError):  # a base that is not at hand is not shown either
        weights += sorted(base_folder(run.info["model"]["source"]).glob("*.safetensors"))
    for weight in weights:
        about = weight.stat()
        digest.update(f"{weight.name} {about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()


def look_up(name: str) -> Rendered | None:
    """The scene that was kept under this key, if it is there and whole."""
    note = folder() / f"{name}.json"
    try:
        kept = json.loads(note.read_text(encoding="utf-8"))
        video = folder() / kept.pop("file")
        found = Rendered(**{**kept, "video": video, "captions": tuple((t, s, e) for t, s, e in kept["captions"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not video.is_file():
        return None
    os.utime(note)
    return found


def keep(name: str, rendered: Rendered) -> Rendered:
    """Move a rendered scene into the cache; the note is written last, so that what has one is whole."""
    folder().mkdir(parents=True, exist_ok=True)
    file = folder() / f"{name}{rendered.video.suffix}"
    beside = file.with_name(file.name + ".part")
    shutil.move(rendered.video, beside)
    beside.replace(file)
    about = {**asdict(rendered), "file": file.name}
    del about["video"]
    note = folder() / f"{name}.json"
    note.with_name(note.name + ".part").write_text(json.dumps(about), encoding="utf-8")
    note.with_name(note.name + ".part").replace(note)
    _forget()
    return Rendered(**{**asdict(rendered), "video": file, "captions": rendered.captions})


def _forget() -> None:
    notes = sorted(folder().glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
    for note in notes[KEPT:]:
        for file in folder().glob(f"{note.stem}.*"):
            file.unlink(missing_ok=True)
