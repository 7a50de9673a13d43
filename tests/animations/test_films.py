"""Every scene of every film, walked without a video: can it be read, and does it show what the Run holds?"""

import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.studio.cards import EndCard, TitleCard
from animations.studio.films import COURSE, films
from animations.studio.fourbits import gradients_of
from animations.studio.language import film_said
from engine.measure import factored_svd
from engine.measure.matched import learning_path
from engine.measure.quantize import quantize
from glasstune import InputError, Run
from visualize.mobjects.surface import shades
from visualize.naming import percent
from visualize.theme import diverging, diverging_rgba, glow_rgba, score_rgba

FILMS = films()
SCENES = [scene for film in FILMS for scene in importlib.import_module(f"animations.{film}").SCENES]
GERMAN = film_said("lora", "de").SCENES
LENGTHS = {"lora": (90, 170)}
name_of = lambda scene: f"{scene.__module__[11:]}.{scene.__name__}"  # noqa: E731
each_scene = pytest.mark.parametrize("scene", SCENES, ids=name_of)
each_said = pytest.mark.parametrize("scene", [*SCENES, *GERMAN], ids=name_of)  # German sentences are longer
FRAME = (14.222, 8.0)
MARGIN = 0.25  # units: a third of an inch on a lecture hall's screen of three metres


def test_films_are_found():
    assert "lora" in FILMS and SCENES
    assert sorted(COURSE) == FILMS, "a course has them all"


@each_said
def test_every_text_lies_inside_the_frame(scene, walked):
    for beat in walked(scene).beats:
        for word in beat.words:
            left, bottom, right, top = word.box
            assert left >= MARGIN - FRAME[0] / 2 and right <= FRAME[0] / 2 - MARGIN, word.text
            assert bottom >= MARGIN - FRAME[1] / 2 and top <= FRAME[1] / 2 - MARGIN, word.text


@each_said
def test_no_text_is_small_or_half_faded(scene, walked):
    for beat in walked(scene).beats:
        assert beat.words
        for word in beat.words:
            assert word.pixels >= (28 if word.text.startswith(("run ", "Lauf ", "computed: ")) else 32), word.text
            assert word.opacity == 1, word.text


@each_said
def test_no_two_texts_overlap(scene, walked):
    for beat in walked(scene).beats:
        for one, other in itertools.combinations(beat.words, 2):
            apart = (
                one.box[2] <= other.box[0] or other.box[2] <= one.box[0]
                or one.box[3] <= other.box[1] or other.box[3] <= one.box[1]
            )  # fmt: skip
            assert apart, f"{one.text!r} and {other.text!r}"


def luminance(rgb):
    """WCAG 2's relative luminance of sRGB from 0 to 1."""
    rgb = np.asarray(rgb, float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["dark", "light"])
@each_scene
def test_text_stands_out_from_what_is_behind_it(scene, theme, walked):
    for beat in walked(scene, theme).beats:
        for word in beat.words:
            (left, bottom, right, top), (height, width) = word.box, beat.behind.shape[:2]
            columns = slice(int((left / FRAME[0] + 0.5) * width), int((right / FRAME[0] + 0.5) * width) + 1)
            rows = slice(int((0.5 - top / FRAME[1]) * height), int((0.5 - bottom / FRAME[1]) * height) + 1)
            behind = luminance(np.median(beat.behind[rows, columns, :3].reshape(-1, 3), axis=0) / 255)
            bright, dark = sorted((luminance(word.rgb), behind), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, f"{word.text!r} in {theme}"


@each_said
def test_captions_can_be_read_and_follow_each_other(scene, walked):
    captions = walked(scene).scene.captions
    assert captions
    for caption in captions:
        assert len(caption.text.split()) / (caption.end - caption.start) <= 3, caption.text
    assert all(one.end <= other.start + 1e-6 for one, other in itertools.pairwise(captions))


@pytest.mark.parametrize("scene", GERMAN, ids=name_of)
def test_a_german_film_says_nothing_in_english(scene, walked):
    """But what the model was asked and said: that was measured."""
    shown = walked(scene)
    rows = shown.scene.run.answers
    measured = {text for text in (*rows.prompt, *rows.answer) if text}
    said = [word.text for beat in shown.beats for word in beat.words]
    said += [text for one in shown.scene.captions for text in (one.text, one.spoken)]
    said = [text for text in said if not any(one in text for one in measured)]
    assert said
    assert not [text for text in said if re.search(r"\b(the|what|step|weights|right|before|run|old|new|of)\b", text)]


@each_scene
def test_something_is_there_from_the_first_frame_on(scene, walked):
    assert not walked(scene).scene.timeline.blank


@each_scene
def test_nothing_large_is_swapped_at_once(scene, walked):
    assert not walked(scene).scene.timeline.swaps


@pytest.mark.parametrize("film", FILMS)
def test_something_moves_while_one_reads(film, walked):
    still = whole = 0.0
    for scene in importlib.import_module(f"animations.{film}").SCENES:
        timeline, seconds = walked(scene).scene.timeline, walked(scene).scene.now
        assert timeline.longest(seconds) <= 3.0, f"{scene.__name__} stands still: {timeline.stills(seconds)}"
        still, whole = still + timeline.still(seconds), whole + seconds
    assert still <= 0.55 * whole


@pytest.mark.parametrize("film", FILMS)
def test_a_film_begins_with_its_question_and_ends_with_numbers(film, walked):
    scenes = importlib.import_module(f"animations.{film}").SCENES
    asked = next(scene for scene in scenes[:2] if issubclass(scene, TitleCard))
    assert walked(asked).scene.poster is not None, "a picture is chosen"
    assert issubclass(scenes[-1], EndCard)
    words = [word.text for word in walked(scenes[-1]).beats[-1].words]
    assert any(text.startswith(f"glasstune film {film}") for text in words), "how it is made"
    assert 1 <= len(walked(scenes[-1]).figures) <= 3


@pytest.mark.parametrize("film", FILMS)
def test_the_film_is_as_long_as_it_should_be(film, walked):
    scenes = importlib.import_module(f"animations.{film}").SCENES
    seconds = sum(walked(scene).scene.now for scene in scenes)
    least, most = LENGTHS.get(film, (45, 150))
    assert least <= seconds <= most


def strongest(run, module, step, k):
    u, s, v = factored_svd(run.factors(module, step))
    root = np.sqrt(s[:k])
    return u[:, :k] * root, root[:, None] * v[:k]


def layer_of(run, module, step, k):
    u, s, v = factored_svd(run.factors(module, step))
    return np.outer(u[:, k] * s[k], v[k])


TRUTH = {
    "W": lambda run, module, step, part: run.weight(module)[:part, :part],
    "A": lambda run, module, step, part: run.factors(module, step).A,
    "B": lambda run, module, step, part: run.factors(module, step).B,
    "delta": lambda run, module, step, part: run.delta(module, step),
    "merged": lambda run, module, step, part: run.weight(module) + run.delta(module, step),
    "unmerged": lambda run, module, step, part: run.weight(module),
    "layer": lambda run, module, step, k: (
        run.factors(module, step).scaling * np.outer(run.factors(module, step).B[:, k], run.factors(module, step).A[k])
    ),
    "sum": lambda run, module, step, k: (
        run.factors(module, step).scaling * run.factors(module, step).B[:, :k] @ run.factors(module, step).A[:k]
    ),
    "strongest layer": lambda run, module, step, k: layer_of(run, module, step, k),
    "strongest B": lambda run, module, step, k: strongest(run, module, step, k)[0],
    "strongest A": lambda run, module, step, k: strongest(run, module, step, k)[1],
    "strongest": lambda run, module, step, k: np.matmul(*strongest(run, module, step, k)),
}


def in_four_bits(run, module):
    method = run.info.method.options
    return quantize(run.weight(module), method["quant_type"], 64, method["double_quant"]).values()


TRUTH |= {
    "four bits": lambda run, module, step, part: in_four_bits(run, module),
    "error": lambda run, module, step, part: run.weight(module) - in_four_bits(run, module),
    "arriving": lambda run, module, step, part: gradients_of(run, module, step).arriving[:, :part],
    "passed": lambda run, module, step, part: gradients_of(run, module, step).passed[:, :part].T,
    "gradient A": lambda run, module, step, part: gradients_of(run, module, step).A,
    "gradient B": lambda run, module, step, part: gradients_of(run, module, step).B,
}


@each_scene
def test_every_matrix_shows_what_the_run_holds(scene, walked):
    steps = set()
    for beat in walked(scene).beats:
        stamps = [word.text for word in beat.words if word.text.startswith(("run ", "Lauf ", "computed: "))]
        for matrix in beat.matrices:
            np.testing.assert_array_equal(
                matrix["pixels"][..., :3], diverging(matrix["values"], matrix["limit"], matrix["theme"])
            )
            if (source := matrix["source"]) is None:  # a scale of colours
                continue
            truth = TRUTH[source.what](source.run, source.module, source.step, source.part)
            np.testing.assert_allclose(matrix["values"], truth, atol=1e-6)
            if source.step:
                assert f"step {source.step}" in stamps[0], "data of a step other than the stamp's"
            steps.add(source.step)
        assert len(stamps) == 1, "one stamp says which run and step is shown, or that it was computed"


@each_scene
def test_cells_lie_on_even_pixels(scene, walked):
    for beat in walked(scene).beats:
        for matrix in beat.matrices:
            if matrix["source"] and matrix["upright"] and matrix["cell"] % 2 == 0:
                pixels = (matrix["corner"] + [FRAME[0] / 2, -FRAME[1] / 2]) * [1920 / FRAME[0], -1080 / FRAME[1]]
                assert np.abs(pixels / 2 - np.rint(pixels / 2)).max() < 0.05, pixels


@each_scene
def test_curves_answers_and_bars_are_the_runs(scene, walked, film_runs):
    run = film_runs[scene.shows]
    every = [r.answers for r in film_runs.values()]
    for beat in walked(scene).beats:
        for curve in beat.curves:
            np.testing.assert_array_equal(curve["steps"], run.metrics.index)
            np.testing.assert_array_equal(curve["losses"], run.metrics.loss)
            shown = len(curve["points"])
            np.testing.assert_allclose(curve["points"], run.metrics.loss.reset_index().to_numpy()[:shown], atol=1e-3)
        for table in beat.tables:
            for said, row in zip(table["said"], table["answers"].itertuples(index=False), strict=True):
                assert any(
                    ((a.step == row.step) & (a.prompt == row.prompt) & (a.answer == row.answer)).any() for a in every
                )
                start = said.lstrip("\N{CHECK MARK}\N{MULTIPLICATION X} ").rstrip("\N{HORIZONTAL ELLIPSIS}")
                assert row.answer.replace("\n", " ").strip().startswith(start) or not row.answer.strip()
        for bars in beat.bars:
            for row, width in zip(bars["rows"], bars["widths"], strict=True):
                assert width == pytest.approx(row.value, rel=1e-3, abs=0.02)


@each_scene
def test_charts_draw_what_the_runs_hold(scene, walked):
    for chart in (chart for beat in walked(scene).beats for chart in beat.charts):
        for series in chart.series:
            if series.source:
                for shown, true in zip((series.x, series.y), series.source.read(), strict=True):
                    np.testing.assert_array_equal(shown, true)
            inside = series.y[np.isfinite(series.y)]
            assert inside.min() >= chart.y.low - 1e-9 and inside.max() <= chart.y.high + 1e-9, "cut off at an end"


@each_scene
def test_maps_show_the_grounds_that_were_measured(scene, walked):
    for surface in (surface for beat in walked(scene).beats for surface in beat.maps):
        true = shades(surface.ground.losses[surface.group], surface.low, surface.high, surface.colours)
        np.testing.assert_array_equal(surface.image.pixel_array[::-1], true)
        for name in surface.looks:
            assert set(surface.ground.paths[name].columns) == {"x", "y", "outside"}


@each_scene
def test_whole_models_strips_and_planes_are_the_runs(scene, walked):
    for beat in walked(scene).beats:
        stamps = [word.text for word in beat.words if word.text.startswith("run ")]
        for model in beat.models:
            run, step = model["run"], model["step"]
            assert model["what"] == "W" or f"step {step}" in stamps[0]
            for name, tile in model["tiles"].items():
                if model["what"] == "moved":
                    truth = np.full(
                        run.shape(name), np.linalg.norm(run.delta(name, step)) / np.linalg.norm(run.weight(name))
                    )
                else:
                    truth = run.weight(name) if model["what"] == "W" else run.delta(name, step)
                colour = diverging_rgba if model["what"] in ("W", "signed") else glow_rgba
                seen = model["pixels"][tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns]
                difference = seen.astype(int) - colour(tile.fold(np.float32(truth)), model["limit"], model["theme"])
                assert np.abs(difference).max() <= 2, f"{name}: rounding"
        for strip in beat.strips:
            scores = strip["run"].skills[strip["names"]].loc[: strip["step"]].to_numpy()
            across = np.arange(len(scores)) * strip["column"] + strip["column"] // 2
            down = np.array(strip["tops"]) + strip["row"] // 2
            seen = strip["pixels"][np.ix_(down, across)]
            np.testing.assert_array_equal(seen, score_rgba(scores.T, strip["theme"]))
            assert set(strip["names"]) == set(strip["run"].skills)
            if strip["numbers"]:
                assert strip["numbers"] == [percent(value) for value in scores[-1]]
        for plane in beat.planes:
            for run, ends in zip(plane["runs"], plane["ends"], strict=True):
                truth = learning_path(run).to_numpy()[: len(ends)]
                np.testing.assert_allclose(ends, truth, atol=1e-6)


def test_stock_manim_renders_a_scene(film_runs, tmp_path, shown):
    file = Path(importlib.import_module("animations.lora").__file__)
    command = [sys.executable, "-W", "ignore", "-m", "manim", "render", "-s", "-ql", "-v", "ERROR", "--media_dir"]
    subprocess.run([*command, str(tmp_path), str(file), "Beside"], check=True, capture_output=True, timeout=120)
    assert list(tmp_path.rglob("*.png"))


def test_a_film_says_which_runs_it_cannot_show(lora_run, full_run, tmp_path):
    from animations import forgetting, full

    with pytest.raises(InputError, match="did not keep the change of whole matrices"):
        full.check(lora_run)
    full.check(full_run)
    large = tmp_path / "large"
    shutil.copytree(full_run.path, large)
    about = json.loads((large / "run.json").read_text())
    about["modules"]["model.layers.9.mlp.up_proj"] = {"kind": "delta", "shape": [4096, 1024], "parameter": "x"}
    (large / "run.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"takes 4,100 x 1,\d\d\d pixels at one a weight, but a frame has room for"):
        full.check(Run.load(large))
    forgetting.check(lora_run)
    shutil.copytree(lora_run.path, tmp_path / "ungraded")
    (tmp_path / "ungraded" / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match="was not graded on its task and on old skills"):
        forgetting.check(Run.load(tmp_path / "ungraded"))


def test_captions_follow_from_what_was_measured(lora_run, mixed_run, full_run):
    """The same words for every run would be a conclusion that nobody measured."""
    from animations.forgetting import differences, names_of

    assert differences(full_run, lora_run) == "full fine-tuning"
    assert differences(mixed_run, lora_run) == "LoRA, rate 0.005, 50 % old data"
    assert differences(lora_run, lora_run) == "the same again"
    names = names_of([lora_run, full_run])
    assert names == ["LoRA, as before", "full fine-tuning"]


def test_what_films_share_is_made_in_one_process(request):
    """xdist keeps a group together by the name that it gives its tests; with some versions of pytest it cannot."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@films")
