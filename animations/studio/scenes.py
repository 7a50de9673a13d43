"""How does each scene of a film become a video? In processes side by side, from the cache where nothing has changed.

A process draws with a camera that composes a matrix into its own region of the frame only, and with one encoder that
leaves out what does not change.
"""

import importlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self, TypeVar

from animations.studio.films import check_film, scene_names
from animations.studio.language import film_said
from animations.studio.runs import film_run
from engine.errors import InputError
from engine.language.speaking import ENGLISH, language_of, speaking
from engine.run.run import Run, as_run
from engine.terminal import progress_bar
from visualize.theme import PALETTES, Theme

T = TypeVar("T")

SECONDS_A_SCENE = 900  # a worker that takes longer hangs
SECONDS_GUESSED = 12.0  # a scene's length, for the time left, until it has once been rendered
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} s of film [{elapsed}, {remaining} left]"


Given = Run | str | Path  # a Run, or the folder that it lies in


class NotShown(InputError):
    """This run is none that this film could show."""


@dataclass(frozen=True)
class Look:
    """How scenes are rendered: see `animations.studio.encode` for quality and shape, `animations.studio.voice`,
    `animations.studio.language`."""

    quality: str = "1080p30"
    theme: Theme = "dark"
    shape: str = "16x9"
    voice: str = ""
    language: str = ENGLISH

    def check(self) -> Self:
        """Raises InputError for a name that is none of ours, or a voice that cannot speak."""
        from animations.studio.encode import get_quality

        get_quality(self.quality, self.shape)
        language_of(self.language)
        if self.theme not in PALETTES:
            raise InputError(f"no theme called {self.theme!r}; there are {', '.join(PALETTES)}")
        if self.voice:
            voice_of(self)
        return self


@dataclass(frozen=True)
class Job:
    """One scene to render: all that a worker process needs. runs: the folder of each run that the scene shows."""

    film: str
    scene: str
    runs: dict[str, str]
    look: Look
    video: Path
    threads: int


def film_in(film: str, language: str) -> ModuleType:
    """As `get_film`, with its prose in a language where it has a catalogue."""
    return film_said(film, language) or get_film(film)


def get_film(film: str) -> ModuleType:
    """The film's module. Raises InputError for an unknown film or where Manim is missing."""
    check_film(film)
    try:
        return importlib.import_module(f"animations.{film}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("manim", "manimpango", "typst", "av"):
            raise InputError(
                "films need Manim, which is not installed; install it with: pip install -e '.[film]'"
            ) from None
        raise


def chosen_scenes(film: str, scenes: list[str] | None) -> list[str]:
    """All scenes, or those of these names, in the film's order. Raises InputError for a name that is none."""
    every = scene_names(film)
    if unknown := set(scenes or ()) - set(every):
        raise InputError(f"film {film} has no scene {min(unknown)!r}; there are {', '.join(every)}")
    return [name for name in every if not scenes or name in scenes]


def names_of(film: str) -> list[str]:
    """What a film calls the runs that it shows."""
    return list(dict.fromkeys(name for scene in get_film(film).SCENES for name in scene.names_of_runs()))


def of_film(film: str, others: Mapping[str, T]) -> dict[str, T]:
    """Of runs that were given to several films those that this one shows beside the first."""
    own = {scene.shows for scene in get_film(film).SCENES}
    return {name: others[name] for name in names_of(film) if name in others and name not in own}


def check_names(films: Sequence[str], others: Mapping[str, object]) -> None:
    """Raises InputError for a name that none of these films has a run for."""
    names = list(dict.fromkeys(name for film in films for name in names_of(film)))
    if unknown := set(others) - set(names):
        said = f"film {films[0]} has" if len(films) == 1 else "these films have"
        raise InputError(f"{said} no run called {min(unknown)!r}; the names are {', '.join(names)}")


def runs_of(film: str, run: Given | None, others: Mapping[str, Given] | None, chosen: list[str]) -> dict[str, Run]:
    """The runs that these scenes show, by the names that the film has for them. Each is given as a Run or its folder.

    Where nothing is given they are the film's own, made now if need be. Beside a run that was given stand only others
    that were given, too.
    Raises NotShown for a run that the film cannot show, alone or beside the others; InputError for a name that it has
    none for.
    """
    module = get_film(film)
    check_names([film], others or {})
    given = {name: as_run(other) for name, other in (others or {}).items()}
    run = None if run is None else as_run(run)
    if run is not None and (own := {scene.shows for scene in module.SCENES}) <= given.keys():
        raise InputError(f"{min(own)!r} is what film {film} calls the run itself; give it once")
    scenes = [scene for scene in module.SCENES if scene.__name__ in chosen]
    shown: dict[str, Run] = {}
    for name in dict.fromkeys(scene.shows for scene in scenes):
        shown[name] = given.get(name) or run or film_run(name)
        if check := getattr(module, "check", None):
            with _not_shown():
                check(shown[name])
    for name in (other for scene in scenes for other in scene.others):
        if name not in shown and (name in given or run is None):
            shown[name] = given.get(name) or film_run(name)
    if given and (check := getattr(module, "check_beside", None)):
        with _not_shown():
            check(shown)
    return shown


@contextmanager
def _not_shown() -> Iterator[None]:
    """What a film's own checks refuse is refused as what this film could not show: others may."""
    try:
        yield
    except InputError as error:
        raise NotShown(str(error)) from None


def with_their_runs(film: str, chosen: list[str], shown: Mapping[str, Run], named: bool) -> list[str]:
    """Of these scenes those whose runs are all there. Raises InputError for one that was named, or if none is left."""
    module, first = get_film(film), next(iter(shown.values()))
    lacking = {name: other for name in chosen for other in getattr(module, name).names_of_runs() if other not in shown}
    left = [name for name in chosen if name not in lacking]
    if lacking and (named or not left):
        name, other = next(iter(lacking.items()))
        raise InputError(f"scene {name} shows a run {other!r} beside {first.name}; give one: --beside {other}=DIR")
    return left


def in_shape(film: str, chosen: list[str], shape: str) -> list[str]:
    """Of these scenes those that are laid out for a frame of this shape. Raises InputError if none is."""
    module = get_film(film)
    if not (left := [name for name in chosen if shape in getattr(module, name).shapes]):
        raise InputError(
            f"film {film} has no scene for a frame of {shape}; the openers of lora and forgetting have one"
        )
    return left


@contextmanager
def showing(runs: Mapping[str, Given], theme: Theme | None = None, voice: str = "") -> Iterator[None]:
    """Scenes show these runs (or the runs in these folders), by the films' names for them, in this theme."""
    names = ("GLASSTUNE_FILM_RUNS", "GLASSTUNE_THEME", "GLASSTUNE_VOICE")
    before = {name: os.environ.get(name) for name in names}
    show_runs(runs, theme)
    os.environ["GLASSTUNE_VOICE"] = voice
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def show_runs(runs: Mapping[str, Given], theme: Theme | None = None) -> None:
    """As `showing`, from now on."""
    folders = {name: str((run.path if isinstance(run, Run) else Path(run)).resolve()) for name, run in runs.items()}
    os.environ["GLASSTUNE_FILM_RUNS"] = json.dumps(folders)
    if theme:
        os.environ["GLASSTUNE_THEME"] = theme


def render_scene(job: Job, report: Callable[[float], None]) -> Any:
    """Render one scene to `job.video`, in this process."""
    from functools import partial

    from manim import tempconfig
    from manim.renderer.cairo_renderer import CairoRenderer

    from animations.studio.camera import RegionCamera
    from animations.studio.encode import SceneWriter, frame_settings, get_quality
    from animations.studio.film import quiet
    from animations.studio.join import Rendered

    quiet()
    began = time.process_time()
    quality = get_quality(job.look.quality, job.look.shape)
    settings = frame_settings(quality) | {
        "media_dir": str(job.video.with_suffix("")), "disable_caching": True, "write_to_movie": True,
    }  # fmt: skip
    scene_class = getattr(film_in(job.film, job.look.language), job.scene)
    spoken = speaking(job.look.language)
    with spoken, showing(job.runs, job.look.theme, job.look.voice), tempconfig(settings):
        writer = partial(SceneWriter, path=job.video, quality=quality, threads=job.threads, report=report)
        scene = scene_class(renderer=CairoRenderer(file_writer_class=writer, camera_class=RegionCamera))
        scene.render()
        frames = scene.renderer.file_writer.frames
    took = time.process_time() - began
    return Rendered(job.video, scene.title, frames, quality.rate, scene.captions, scene.poster, took)


def render_scenes(
    film: str,
    run: Given | None,
    folder: Path,
    suffix: str = ".mp4",
    *,
    others: Mapping[str, Given] | None = None,
    look: Look = Look(),
    jobs: int | None = None,
    scenes: list[str] | None = None,
    progress: bool = True,
) -> tuple[list[Any], list[Run]]:
    """Every scene of a film, or those named, as a `Rendered` in the film's order; and the runs shown, the main first.

    Their videos lie in the cache; `folder` is for work. Scenes that need a run which is not there are left out, unless
    they were named. Raises InputError for unknown names, where Manim is missing, or, naming the scene, when one fails.
    """
    look.check()
    chosen = in_shape(film, chosen_scenes(film, scenes), look.shape)
    if jobs is not None and jobs < 1:
        raise InputError(f"{jobs} processes render nothing; give --jobs 1 or more")
    shown = runs_of(film, run, others, chosen)
    chosen = with_their_runs(film, chosen, shown, named=bool(scenes))
    jobs = min(jobs or os.cpu_count() or 1, len(chosen))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    paths = {name: str(shown_run.path.resolve()) for name, shown_run in shown.items()}
    todo = [Job(film, name, paths, look, folder / f"{name}{suffix}", threads) for name in chosen]
    return _render_all(todo, shown, jobs, progress), list(shown.values())


def voice_of(look: Look) -> Any:
    """Raises InputError for a voice that cannot speak."""
    from animations.studio import cache
    from animations.studio.voice import Voice

    return Voice.given(look.voice, cache.folder() / "voice")


def _render_all(todo: list[Job], shown: dict[str, Run], jobs: int, progress: bool) -> list[Any]:
    """Every scene as a `Rendered`, in the film's order: from the cache, or rendered now."""
    from animations.studio import cache
    from animations.studio.workers import Failed, run_all

    cache.prune()
    every = scene_names(todo[0].film)
    keys, done, suffix = {}, {}, todo[0].video.suffix
    for job in todo:
        scene = getattr(get_film(job.film), job.scene)
        own = {name: shown[name] for name in scene.names_of_runs()}
        settings = asdict(job.look) | {"format": suffix, "voice": job.look.voice and voice_of(job.look).digest()}
        keys[job.scene] = cache.scene_key(job.film, job.scene, every, own, settings)
        if (known := cache.look_up(keys[job.scene], suffix)) is not None:
            done[job.scene] = known
    missing = [job for job in todo if job.scene not in done]
    reached = {job.scene: done[job.scene].seconds if job.scene in done else 0.0 for job in todo}
    before = cache.usual()
    titles = {job.scene: getattr(get_film(job.film), job.scene).title for job in missing}
    usual = {scene: before.get(title, (SECONDS_GUESSED, 0.0)) for scene, title in titles.items()}
    guess = {job.scene: usual[job.scene][0] for job in missing}
    # What takes longest comes first, lest one process be left with it while the others have nothing to do. A scene that
    # was never rendered may be that one.
    missing.sort(key=lambda job: usual[job.scene][1] or math.inf, reverse=True)
    with progress_bar(
        total=round(sum(reached.values()) + sum(guess.values())), initial=round(sum(reached.values())),
        title=f"film {todo[0].film}", unit="s", bar_format=BAR, disable=not progress,
    ) as bar:  # fmt: skip

        def hear(job: Job, seconds: float, result: Any) -> None:
            reached[job.scene] = seconds
            if result:
                done[job.scene] = cache.keep(keys[job.scene], result)
                reached[job.scene] = result.seconds
            bar.total = round(
                sum(reached[name] if name in done else max(reached[name], guess[name]) for name in reached)
            )
            bar.update(round(sum(reached.values())) - bar.n)

        try:
            if missing:
                run_all(render_scene, missing, jobs, SECONDS_A_SCENE, hear)
        except Failed as failed:
            if failed.said:
                raise InputError(f"scene {failed.job.scene} of film {failed.job.film}: {failed.said}") from None
            log = cache.folder() / f"{todo[0].film}-{failed.job.scene}.log"
            with suppress(OSError):  # a full disk, which may be why it failed
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(failed.log or failed.why, encoding="utf-8")
            raise InputError(
                f"scene {failed.job.scene} of film {failed.job.film} failed ({failed.why}); its log is {log}"
            ) from None
    return [done[job.scene] for job in todo]
