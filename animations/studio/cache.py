"""When need a scene not be rendered again? When nothing that it is made of has changed: source, runs, settings.

The key of a scene is a digest of its own source and of all that it imports (not of the other scenes of its film), of
every file of the runs it shows and of their base model, of quality, theme and format, and of the versions at work.
"""

import hashlib
import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from animations.studio import ledger
from animations.studio.captions import Caption
from animations.studio.join import Rendered
from animations.studio.language import files_of
from engine.derived import ROOT, code_of, imported, key, reached, source_without
from engine.errors import InputError
from engine.files import whole, write_text
from engine.language.speaking import ENGLISH
from engine.reading import opened, read_json
from engine.run.base import base_folder
from engine.run.run import Run

_OURS = re.compile(r"[0-9a-f]{24}\.(?:json|mp4|webm)")
MAKING = frozenset({"animations.studio.runs"})
MOST_BYTES = 500_000_000  # then those that were not used for longest go
IN_USE = 86_400  # seconds for which nothing goes: a course takes hours, and another terminal may make it


def folder() -> Path:
    return Path(os.environ.get("GLASSTUNE_FILM_CACHE", "films/.cache"))


def scene_key(film: str, scene: str, scenes: list[str], runs: dict[str, Run], settings: dict[str, str]) -> str:
    """The digest of everything that a scene is made of. scenes: all of its film's, to leave the others out."""
    own = ROOT / "animations" / f"{film}.py"
    code = source_without(own, set(scenes) - {scene}) + code_of(drawn_with(film) - {own})
    asked = [film, scene, settings, {name: run.name for name, run in runs.items()}]
    files = [file for _, run in sorted(runs.items()) for file in _files(run)]
    files += files_of(film, settings.get("language", ENGLISH))
    if ledger.__name__ in imported(own) and ledger.KEPT.is_file():
        files.append(ledger.KEPT)
    return key(asked, code=code, files=files, packages=("manim", "av", "numpy", "pillow"))[:24]


def drawn_with(film: str) -> set[Path]:
    """What a film's scenes are drawn with: every file of ours that is loaded with it, the camera and the encoder; and
    of `engine` what they load only when they measure.

    How the films' own runs are made is left out: what the run at hand holds, counts.
    """
    modules = [f"animations.{film}", *(f"animations.studio.{part}" for part in ("camera", "encode", "language"))]
    loaded = reached(modules, besides=MAKING)
    measuring = {name for file in loaded for name in imported(file, lazily=True) if name.startswith("engine.")}
    return loaded | reached(measuring, lazily=True, besides=MAKING)


def _files(run: Run) -> list[Path]:
    found = [file for file in run.path.rglob("*") if file.is_file()]
    try:
        base = base_folder(run.info.model.source or "")
        found += base.glob("*.safetensors")
    except InputError:  # a base that is not at hand is not shown
        pass
    return sorted(found)


def look_up(digest: str, suffix: str) -> Rendered | None:
    """The scene that was rendered with this key, if it still lies there as it was."""
    video, note = (folder() / f"{digest}{end}" for end in (suffix, ".json"))
    known = _read(note)
    if known is None or not video.is_file() or _digest(video) != known["digest"]:
        return None
    with suppress(OSError):
        note.touch()
    captions = [Caption(*one) for one in known["captions"]]
    if not all(Path(one.sound).is_file() for one in captions if one.sound):
        return None
    return Rendered(video, known["title"], known["frames"], known["rate"], captions, known["poster"], known["took"])


def keep(digest: str, scene: Rendered) -> Rendered:
    """Move a rendered scene into the cache; returns it where it lies now. A disk that is full keeps nothing: the scene
    is shown from where it was rendered, and rendered again another time."""
    video, note = (folder() / f"{digest}{end}" for end in (scene.video.suffix, ".json"))
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with whole(video) as part:
            shutil.copyfile(scene.video, part)  # it may come from another file system
        kept = replace(scene, video=video)
        write_text(note, json.dumps({**asdict(kept), "video": video.name, "digest": _digest(video)}))
    except OSError:
        return scene
    scene.video.unlink(missing_ok=True)
    return kept


def _read(note: Path) -> dict[str, Any] | None:
    """What is known of a scene in the cache; None if the note is not there or is damaged."""
    try:
        known = read_json(note)
        captions = [Caption(*one) for one in known["captions"]]
        poster = 0.0 if known["poster"] is None else known["poster"]
        times = [poster, known["took"], *(t for one in captions for t in one[1:3])]
        numbers = [known["frames"], known["rate"], *times]
        words = [known["title"], known["digest"], *(word for one in captions for word in (one.text, *one[3:]))]
        whole = all(isinstance(n, int | float) and n >= 0 for n in numbers) and all(isinstance(w, str) for w in words)
        return known if whole and known["rate"] > 0 and isinstance(known["captions"], list) else None
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _digest(video: Path) -> str:
    with opened(video) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def usual() -> dict[str, tuple[float, float]]:
    """What scenes were when last rendered, whatever has changed since, by title: how long, and what they took."""
    found = {}
    notes = {file: about.st_mtime for file, about in _there().items() if file.suffix == ".json"}
    for note in sorted(notes, key=notes.__getitem__):
        if known := _read(note):
            found[known["title"]] = (known["frames"] / known["rate"], known["took"])
    return found


def prune() -> None:
    """Make room, before a film is rendered: what was not used for longest goes; but nothing that is not ours, wherever
    the cache was told to lie, and nothing that a film may yet be joined from."""
    ours = _there()
    scenes: dict[str, list[Path]] = {}
    for file in sorted(ours, key=lambda file: ours[file].st_mtime, reverse=True):
        scenes.setdefault(file.stem, []).append(file)  # the last used first
    total, now = 0, time.time()
    for files in scenes.values():
        total += sum(ours[file].st_size for file in files)
        noted = any(file.suffix == ".json" for file in files)  # or the note could not be written
        if (total > MOST_BYTES or not noted) and now - ours[files[0]].st_mtime > IN_USE:
            for file in files:
                file.unlink(missing_ok=True)


def _there() -> dict[Path, os.stat_result]:
    """What lies in the cache that is ours; another process may be making room."""
    found = {}
    for file in folder().glob("*"):
        with suppress(FileNotFoundError):
            if _OURS.fullmatch(file.name) and file.is_file():
                found[file] = file.stat()
    return found
