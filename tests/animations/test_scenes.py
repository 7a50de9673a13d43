"""Every scene of every film, walked without a video: at the end of each beat, can it be read, and is it true?"""

import importlib
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need Manim: pip install -e '.[film]'")
from manim import Text, config
from manim.mobject.text.typst_mobject import Typst

from animations import runs as film_runs
from animations.answers import Answers
from animations.film import WORDS_A_SECOND, shown_run
from animations.preview import frame_of, walk
from animations.render import films, scenes_of
from engine.run import Run
from visualize.mobjects.matrix import MatrixImage
from visualize.mobjects.scale import ColourScale
from visualize.theme import PALETTES, contrast, diverging

SCENES = [pytest.param(scene, id=f"{film}-{scene.__name__}") for film in films() for scene in scenes_of(film)]
LENGTHS = {"lora": (60, 120)}  # seconds; other films: 45 to 120
MARGIN = 0.25  # units, of a frame that is 8 high
SMALLEST = 24  # pixels at 1080p
WALKED: dict[str, float] = {}


@pytest.fixture(scope="module", autouse=True)
def own_runs(tmp_path_factory):
    """The films' own runs, as they make them, but small."""
    small = {"steps": 12, "skills": 3, "batch_size": 8}
    recipes = {
        name: film_runs.Recipe(recipe.data, recipe.method, {**recipe.options, **({"r": 4} if "r" in recipe.options else {})}, small)
        for name, recipe in film_runs.RECIPES.items()
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film_runs, "RECIPES", recipes)
        patch.setenv("GLASSTUNE_RUNS", str(tmp_path_factory.mktemp("films")))
        for made in (film_runs.film_run, shown_run):
            made.cache_clear()
        yield
    for made in (film_runs.film_run, shown_run):
        made.cache_clear()


def seen(scene, kind):
    """The mobjects of a kind that are in the frame, in the order in which they are drawn."""
    family = itertools.chain.from_iterable(mobject.get_family() for mobject in scene.mobjects)
    return [m for m in dict.fromkeys(family) if isinstance(m, kind)]


def box(mobject):
    low, high = mobject.get_corner([-1, -1, 0]), mobject.get_corner([1, 1, 0])
    return SimpleNamespace(left=low[0], bottom=low[1], right=high[0], top=high[1])


def said(mobject):
    return getattr(mobject, "text", None) or mobject.typst_code


def can_be_read(scene):
    texts = seen(scene, (Text, Typst))
    wide, high = config.frame_width / 2 - MARGIN, config.frame_height / 2 - MARGIN
    for text in texts:
        at = box(text)
        assert -wide <= at.left and at.right <= wide and -high <= at.bottom and at.top <= high, f"outside: {said(text)}"
        assert text.em_pixels >= SMALLEST
        if isinstance(text, Text):  # what it was set in is what it is seen in
            assert text.font_size * 90 / 48 == pytest.approx(text.em_pixels, rel=0.01)
    for one, two in itertools.combinations(texts, 2):
        a, b = box(one), box(two)
        across, down = min(a.right, b.right) - max(a.left, b.left), min(a.top, b.top) - max(a.bottom, b.bottom)
        assert across < 0.01 or down < 0.01, f"{said(one)!r} lies on {said(two)!r}"
    stands_out(scene, texts)


def stands_out(scene, texts):
    """The commonest colour around a text's letters is its ground."""
    frame = frame_of(scene)[..., :3].astype(np.int64)
    scale = frame.shape[0] / config.frame_height
    for text in texts:
        at = box(text)
        rows = slice(
            int((config.frame_height / 2 - at.top) * scale), int((config.frame_height / 2 - at.bottom) * scale) + 1
        )
        columns = slice(
            int((at.left + config.frame_width / 2) * scale), int((at.right + config.frame_width / 2) * scale) + 1
        )
        packed = frame[rows, columns] @ [65536, 256, 1]
        colours, counts = np.unique(packed, return_counts=True)
        ground = f"#{colours[counts.argmax()]:06x}"
        for color in {part.get_fill_color().to_hex() for part in text.family_members_with_points()}:
            assert contrast(color[:7].lower(), ground) >= 4.5, f"{said(text)!r}: {color} on {ground}"


def of_run(claim):
    """What the picture says it shows, from the Run, by another way than the film's where there is one."""
    run = Run.load(claim.run)
    if claim.kind in ("W", "delta", "A", "B"):
        read = {"W": lambda: run.weight(claim.module), "delta": lambda: run.delta(claim.module, claim.step)}
        return read[claim.kind]() if claim.kind in read else getattr(run.factors(claim.module, claim.step), claim.kind)
    weight, delta = run.weight(claim.module), run.delta(claim.module, claim.step)
    if claim.kind in ("merged", "unmerged"):
        return weight + delta if claim.kind == "merged" else weight
    if claim.kind == "layers":
        b, a, scaling = run.factors(claim.module, claim.step)
        return scaling * sum((np.outer(b[:, k], a[k]) for k in range(claim.first, claim.last)), np.zeros_like(delta))
    if claim.kind == "best":
        u, s, vt = np.linalg.svd(delta)
        return u[:, : claim.last] * s[: claim.last] @ vt[: claim.last]
    raise AssertionError(f"the suite does not know how to check {claim.kind!r}")


def is_true(scene):
    scales = {scale.bar for scale in seen(scene, ColourScale)}
    pictures = [picture for picture in seen(scene, MatrixImage) if picture not in scales]
    stamps = [text for text in seen(scene, Text) if hasattr(text, "of")]
    for picture in pictures:
        rows, columns = picture.values.shape
        wanted = of_run(picture.claim)
        np.testing.assert_allclose(picture.values, wanted[:rows, :columns], atol=2e-6 * max(1, np.abs(wanted).max()))
        drawn = picture.image.pixel_array[..., :3]
        np.testing.assert_array_equal(drawn, diverging(picture.values, picture.limit, scene.theme))
        if picture.claim.kind != "W":
            assert (picture.claim.run, picture.claim.step) in {text.of for text in stamps}
    for answers in seen(scene, Answers):
        run = Run.load(answers.run)
        step = max(s for s in run.answers.step if s <= answers.step)
        known = {(row.prompt, row.answer, row.correct) for row in run.answers[run.answers.step == step].itertuples()}
        assert answers.shown and set(answers.shown) <= known
        assert (answers.run, answers.step) in {text.of for text in stamps}
    assert len(stamps) == 1 or not (pictures or seen(scene, Answers))


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("scene_class", SCENES)
def test_a_scene_can_be_read_and_is_true_at_every_beat(scene_class, theme, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_THEME", theme)
    beats = []

    def beat(scene):
        can_be_read(scene)
        is_true(scene)
        beats.append(scene.now)

    scene = walk(scene_class, beat)
    assert len(beats) == len(scene.captions) > 0
    for caption in scene.captions:
        assert len(caption.text.split()) <= WORDS_A_SECOND * (caption.end - caption.start) + 1e-6
    WALKED[f"{scene_class.__module__.split('.')[-1]}-{scene_class.__name__}"] = scene.now


@pytest.mark.parametrize("film", films())
def test_a_film_is_as_long_as_a_lecture_bears(film):
    names = [f"{film}-{scene.__name__}" for scene in scenes_of(film)]
    if not set(names) <= set(WALKED):
        pytest.skip("its scenes were walked elsewhere")
    shortest, longest = LENGTHS.get(film, (45, 120))
    assert shortest <= sum(WALKED[name] for name in names) <= longest


@pytest.mark.parametrize("film", films())
def test_a_scene_is_one_claim_told_in_short_beats(film):
    source = importlib.import_module(f"animations.{film}")
    for scene in scenes_of(film):
        assert scene.__doc__ and scene.title
        assert scene in source.SCENES
