"""When need a scene not be rendered again? When nothing that it is made of has changed: source, runs, settings.

The key of a scene is a digest of its own source and what it shares (not of the other scenes of its film), of every
file of the runs it shows and of their base model, of quality, theme and format, and of the versions at work.
"""

import ast
import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import animations
import engine
import visualize
from animations.join import Rendered
from engine.errors import InputError
from engine.run import Run, base_folder

MOST_BYTES = 500_000_000  # then those that were not used for longest go


def folder() -> Path:
    return Path(os.environ.get("GLASSTUNE_FILM_CACHE", "films/.cache"))


def scene_key(film: str, scene: str, scenes: list[str], runs: dict[str, Run], settings: dict[str, str]) -> str:
    """The digest of everything that a scene is made of. scenes: all of its film's, to leave the others out."""
    digest = hashlib.sha256(json.dumps([film, scene, settings, _versions()]).encode())
    digest.update(_source(Path(animations.__file__).parent / f"{film}.py", set(scenes) - {scene}).encode())
    for file in _shared():
        digest.update(file.read_bytes())
    for name, run in sorted(runs.items()):
        digest.update(f"{name} {run.name}".encode())
        for file in _files(run):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:24]


def _source(path: Path, others: set[str]) -> str:
    """A film's source without its other scenes; comments and layout do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name in others)]
    return ast.unparse(tree)


def _shared() -> list[Path]:
    """What every scene is drawn with: the building blocks, the theme, the measures, the camera and the encoder."""
    drawing = Path(visualize.__file__).parent
    own = Path(animations.__file__).parent
    measuring = Path(engine.__file__).parent
    return [
        *sorted((drawing / "mobjects").glob("*.py")),
        drawing / "theme.py",
        *(own / f"{name}.py" for name in ("film", "camera", "encode")),
        *(measuring / f"{name}.py" for name in ("run", "measure")),
    ]


def _files(run: Run) -> list[Path]:
    found = [file for file in run.path.rglob("*") if file.is_file()]
    try:
        base = base_folder(run.info.get("model", {}).get("source", ""))
        found += base.glob("*.safetensors")
    except InputError:  # a base that is not at hand is not shown
        pass
    return sorted(found)


def _versions() -> list[str]:
    return [f"{name} {version(name)}" for name in ("manim", "av", "numpy", "pillow")]


def look_up(key: str, suffix: str) -> Rendered | None:
    """The scene that was rendered with this key, if it still lies there."""
    video, note = (folder() / f"{key}{end}" for end in (suffix, ".json"))
    if not (video.exists() and note.exists()):
        return None
    note.touch()
    known = json.loads(note.read_text(encoding="utf-8"))
    return Rendered(video, known["title"], known["frames"], known["rate"], [tuple(c) for c in known["captions"]])


def keep(key: str, scene: Rendered) -> Rendered:
    """Move a rendered scene into the cache; returns it where it lies now."""
    folder().mkdir(parents=True, exist_ok=True)
    video, note = (folder() / f"{key}{end}" for end in (scene.video.suffix, ".json"))
    scene.video.replace(video)
    kept = Rendered(video, scene.title, scene.frames, scene.rate, scene.captions)
    beside = note.with_suffix(".part")
    beside.write_text(json.dumps({**asdict(kept), "video": video.name}), encoding="utf-8")
    beside.replace(note)
    _prune()
    return kept


def _prune() -> None:
    notes = sorted(folder().glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
    total = 0
    for note in notes:
        videos = [file for file in folder().glob(f"{note.stem}.*") if file != note]
        total += sum(file.stat().st_size for file in videos)
        if total > MOST_BYTES:
            for file in (note, *videos):
                file.unlink(missing_ok=True)
