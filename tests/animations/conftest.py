"""What the film tests share: a second small adapter, and every scene of every film walked once in each theme."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from glasstune import LoRA, Run, finetune

pytest.importorskip("manim", reason="films need the extra 'film'")

from manim import MathTypst, Text, VMobject
from manim.utils.family import extract_mobject_family_members

from animations.studio.cards import EndCard
from animations.studio.preview import walk
from engine.language.speaking import ENGLISH, speaking
from visualize.mobjects.answers import AnswerTable
from visualize.mobjects.bars import Bars
from visualize.mobjects.chart import Chart
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.matrix import MatrixImage
from visualize.mobjects.model import WholeModel
from visualize.mobjects.plane import Plane
from visualize.mobjects.strips import Strips
from visualize.mobjects.surface import SurfaceMap

WIDTH, HEIGHT = 480, 270


@dataclass
class Word:
    """A text as it stands: its box in units (left, bottom, right, top), size in pixels at 1080p, colour, opacity."""

    text: str
    box: tuple[float, float, float, float]
    pixels: float
    rgb: np.ndarray
    opacity: float


@dataclass
class Beat:
    """What stood in the frame when a caption had been read. behind: the frame without its words."""

    words: list[Word]
    behind: np.ndarray
    matrices: list[dict] = field(default_factory=list)
    curves: list[dict] = field(default_factory=list)
    tables: list[dict] = field(default_factory=list)
    bars: list[dict] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    maps: list[SurfaceMap] = field(default_factory=list)
    models: list[dict] = field(default_factory=list)
    strips: list[dict] = field(default_factory=list)
    planes: list[dict] = field(default_factory=list)
    drawn: list[tuple] = field(default_factory=list)  # (mobject, the numbers that its shapes stand for)


def look(scene) -> Beat:
    family = [part for mobject in scene.mobjects for part in mobject.get_family()]
    texts = [part for part in family if isinstance(part, (Text, MathTypst))]
    glyphs = {id(glyph) for text in texts for glyph in text.get_family()}
    scene.camera.reset()
    shown = extract_mobject_family_members(scene.mobjects, use_z_index=True, only_those_with_points=True)
    scene.camera.capture_mobjects([part for part in shown if id(part) not in glyphs], include_submobjects=False)
    beat = Beat([word(text) for text in texts], scene.renderer.get_frame())
    for part in family:
        if isinstance(part, MatrixImage):
            corner = part.image.get_corner(np.array([-1, 1, 0]))[:2]
            beat.matrices.append(
                {"values": part.values.copy(), "pixels": part.image.pixel_array.copy(), "limit": part.limit,
                 "theme": part.theme, "source": part.source, "corner": corner, "cell": part.cell,
                 "upright": bool(np.allclose(part.image.points[0, 1], part.image.points[1, 1]))}
            )  # fmt: skip
        elif isinstance(part, LossCurve):
            origin = part.axes[1].get_bottom()
            points = (
                (part.line.points[::4] - origin)[:, :2] / part._scale if len(part.line.points) else np.empty((0, 2))
            )
            beat.curves.append({"points": points, "steps": part.steps, "losses": part.losses})
        elif isinstance(part, AnswerTable):
            beat.tables.append({"answers": part.answers, "said": [text.original_text for text in part[1::2]]})
        elif isinstance(part, Chart):
            beat.charts.append(part)
        elif isinstance(part, SurfaceMap):
            beat.maps.append(part)
        elif hasattr(part, "stands_for"):
            beat.drawn.append((part, part.stands_for()))
        elif isinstance(part, Bars):
            beat.bars.append({"rows": part.rows, "widths": [bar.width / part.scale_of for bar in part.bars]})
        elif isinstance(part, WholeModel):
            shown = {name: part.tiles[name] for name in part.values}
            beat.models.append(
                {"run": part.run, "what": part.what, "step": part.step, "limit": part.limit, "theme": part.theme,
                 "tiles": shown, "pixels": part.image.pixel_array.copy()}
            )  # fmt: skip
        elif isinstance(part, Strips):
            beat.strips.append(
                {"run": part.run, "step": part.step, "names": list(part.scores), "tops": part.tops, "row": part.row,
                 "column": part.column, "pixels": part.image.pixel_array.copy(), "theme": part.theme,
                 "numbers": [text.original_text for text in part.numbers]}
            )  # fmt: skip
        elif isinstance(part, Plane):
            lines = [line for line in part.lines if type(line) is VMobject]
            ends = [(line.points[::4] - part.origin)[:, :2] / part.size for line in lines]
            beat.planes.append({"runs": [path.run for path in part.paths], "ends": ends})
    return beat


def word(text) -> Word:
    points = text.get_points_defining_boundary()
    box = (*points.min(axis=0)[:2], *points.max(axis=0)[:2])
    glyph = next(part for part in text.get_family() if len(part.points))
    size = getattr(text, "em_pixels", text.font_size / 0.72)
    said = getattr(text, "original_text", "formula")
    return Word(said, box, size, glyph.get_fill_color().to_rgb(), float(glyph.get_fill_opacity()))


@pytest.fixture(scope="session")
def pirate_run(runs) -> Run:
    return finetune(
        "embedded", "pirate", LoRA(r=4), out=runs / "pirate", steps=6, evaluate_at=2, skills=1, progress=False
    )


@pytest.fixture(scope="session")
def rates(runs) -> list[Run]:
    """Two runs beside `lora_run` that differ in their learning rate."""

    def made(name: str, rate: float) -> Run:
        method, out = LoRA(r=4), runs / name
        return finetune(
            "embedded", "spanish", method, out=out, steps=6, evaluate_at=2, skills=1, learning_rate=rate, progress=False
        )  # fmt: skip

    return [made("slow", 2e-4), made("fast", 2e-2)]


@pytest.fixture(scope="session")
def mixed_run(runs) -> Run:
    return finetune(
        "embedded", "spanish", LoRA(r=4), out=runs / "mixed", steps=6, evaluate_at=2, skills=1, mix=0.5, learning_rate=5e-3,
        progress=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def film_runs(lora_run, pirate_run, full_run, mixed_run, qlora_run, rates) -> dict[str, Run]:
    """The runs that stand for the films' own."""
    slow, fast = rates
    tuning = {"rate-low": slow, "rate-high": fast, "warm": fast, "cold": slow, "small": lora_run}
    forgetting = {"full": full_run, "mixed": mixed_run, "slow": slow}
    data = {"qlora": qlora_run, "clean": lora_run, "noisy": qlora_run}
    when = {"brackets-2": slow, "brackets-8": fast, "brackets-32": lora_run, "brackets-128": lora_run}
    return {"lora": lora_run, "pirate": pirate_run, **tuning, **forgetting, **data, **when}


@pytest.fixture
def shown(film_runs, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_FILM_RUNS", json.dumps({name: str(run.path) for name, run in film_runs.items()}))


def language_of(scene_class) -> str:
    """A film in German is the module `animations.de.lora`."""
    _, *language, _ = scene_class.__module__.split(".")
    return language[0] if language else ENGLISH


@dataclass
class Walked:
    """figures: an end card's, asked for while the runs that stand for the film's own are named."""

    scene: object
    beats: list[Beat]
    figures: list


@pytest.fixture(scope="session")
def walked(film_runs, runs):
    """walked(scene_class, theme): the scene after its walk, and its beats; each scene is walked once a theme."""
    done = {}

    def go(scene_class, theme: str = "dark") -> Walked:
        if (scene_class, theme) not in done:
            with pytest.MonkeyPatch.context() as patch:
                named = {name: str(run.path) for name, run in film_runs.items()}
                patch.setenv("GLASSTUNE_FILM_RUNS", json.dumps(named))
                patch.setenv("GLASSTUNE_THEME", theme)
                patch.setenv("GLASSTUNE_RUNS", str(runs))  # what is measured of them is kept there
                patch.setattr("animations.tuning.POINTS", 5)
                patch.setattr("animations.when.SHOTS", (0, 1, 4))
                patch.setattr("animations.studio.dial.SCALES", (0.0, 0.5, 1.0, 1.5))
                patch.setattr("animations.studio.dial.NEW", 8)
                patch.setattr("animations.studio.dial.OLD", 1)
                patch.setattr("animations.studio.dial.WATCHED", 2)
                beats: list[Beat] = []
                with speaking(language_of(scene_class)):
                    scene = walk(scene_class, lambda scene: beats.append(look(scene)), width=WIDTH, height=HEIGHT)
                    figures = scene.figures() if isinstance(scene, EndCard) else []
                done[scene_class, theme] = Walked(scene, beats, figures)
        return done[scene_class, theme]

    return go
