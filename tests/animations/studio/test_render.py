"""The renderer: what is written is whole, is the film that was walked, and nothing half is ever left."""

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("av", reason="films need the extra 'film'")
pytest.importorskip("manim", reason="films need the extra 'film'")

import av

from animations.render import main
from animations.studio import cache, captions, films, render, workers
from animations.studio.encode import QUALITIES, TILE, Encoder, SceneWriter, Yuv
from animations.studio.join import join, to_gif
from animations.studio.preview import contact_sheet
from animations.studio.scenes import get_film
from engine.files import check_ours
from glasstune import InputError, Run

ROOT = cache.ROOT
SMALL = QUALITIES["480p15"]
RANDOM = np.random.default_rng(0)


def picture():
    frame = np.full((SMALL.height, SMALL.width, 4), 255, np.uint8)
    frame[..., :3] = (20, 22, 27)
    frame[100:228, 200:328, :3] = RANDOM.integers(0, 2, (32, 32, 1)).repeat(4, 0).repeat(4, 1) * 180 + 40
    return frame


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_FILM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def film(film_runs, tmp_path_factory):
    """Two scenes, really rendered, in processes of their own: the film's file and the cache that it came to lie in."""
    folder = tmp_path_factory.mktemp("film")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSTUNE_FILM_CACHE", str(folder / "cache"))
        made = render.render_film(
            "lora", film_runs["lora"], folder / "a.mp4", others={"pirate": film_runs["pirate"]}, quality="480p15", scenes=["Onto", "Beside"],
            progress=False,
        )  # fmt: skip
    return made


def test_a_film_has_its_scenes_in_order_and_every_frame(film, walked):
    from animations.lora import Beside, Onto

    with av.open(str(film)) as video:
        chapters, seconds = video.chapters(), video.duration / av.time_base
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == (SMALL.width, SMALL.height)
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        moments = [frame.time for frame in video.decode(video=0)]
    assert [chapter["metadata"]["title"] for chapter in chapters] == [Beside.title, Onto.title]
    content = film.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "a browser can play it before it has all of it"
    expected = sum(walked(scene).scene.now for scene in (Beside, Onto))
    assert seconds == pytest.approx(expected, abs=1.0), "the walk and the film are equally long"
    assert moments == sorted(set(moments)) and moments[0] == 0
    assert max(np.diff(moments)) <= 1.0 + 1e-3, "a player can jump to any second"
    assert moments[-1] + 1 / SMALL.rate == pytest.approx(seconds, abs=1e-3), "the last frame is the last"
    ends = chapters[-1]["end"] * chapters[-1]["time_base"]
    assert float(ends) == pytest.approx(seconds, abs=1e-3)


def test_captions_are_inside_and_beside(film, walked):
    from animations.lora import Beside, Onto

    said = [caption.text for scene in (Beside, Onto) for caption in walked(scene).scene.captions]
    with av.open(str(film)) as video:
        packets = [bytes(packet)[2:].decode() for packet in video.demux(subtitles=0) if packet.pts is not None]
    assert [text for text in packets if text] == said
    assert [block.split("\n")[2] for block in film.with_suffix(".srt").read_text("utf-8").split("\n\n")] == said


def test_beside_the_film_lie_captions_and_thumbnail_only(film):
    assert sorted(path.name for path in film.parent.iterdir()) == ["a.md", "a.mp4", "a.png", "a.srt", "a.vtt", "cache"]


def test_an_unchanged_scene_comes_from_the_cache(film, film_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_FILM_CACHE", str(film.parent / "cache"))
    monkeypatch.setattr(workers, "run_all", lambda *_: pytest.fail("nothing has to be rendered"))
    again = render.render_film(
        "lora", film_runs["lora"], tmp_path / "b.mp4", others={"pirate": film_runs["pirate"]}, quality="480p15", scenes=["Beside", "Onto"],
        progress=False,
    )  # fmt: skip
    assert again.read_bytes() == film.read_bytes()


def test_a_key_changes_with_what_the_scene_is_made_of(film_runs, tmp_path):
    scenes = films.scene_names("lora")
    settings = {"quality": "480p15", "theme": "dark", "format": ".mp4"}

    def key(scene="Beside", runs=film_runs, **changed):
        return cache.scene_key("lora", scene, scenes, runs, {**settings, **changed})

    assert key() == key()
    copy = tmp_path / film_runs["lora"].name
    shutil.copytree(film_runs["lora"].path, copy)
    assert key(runs={**film_runs, "lora": Run.load(copy)}) == key(), "the same run elsewhere"
    (copy / "metrics.jsonl").write_text("")
    others = {key("Onto"), key(theme="light"), key(quality="720p30"), key(runs={**film_runs, "lora": Run.load(copy)})}
    assert len({*others, key(language="de")}) == 5 and key() not in others


def test_a_key_changes_with_the_ledger_where_a_film_reads_it(film_runs, tmp_path, monkeypatch):
    def keys():
        return [cache.scene_key(film, scene, films.scene_names(film), {"lora": film_runs["lora"]}, {})
                for film, scene in (("forgetting", "Helps"), ("lora", "Beside"))]  # fmt: skip

    kept = tmp_path / "claims.json"
    kept.write_text("{}")
    monkeypatch.setattr(cache.ledger, "KEPT", kept)
    before = keys()
    kept.write_text('{"a": 1}')
    after = keys()
    assert before[0] != after[0] and before[1] == after[1]


def test_a_key_counts_what_measures_only_when_it_is_asked_to():
    found = {path.relative_to(ROOT).as_posix() for path in cache.drawn_with("lora")}
    asked = {"engine/evaluate/__init__.py", "engine/evaluate/weights.py", "engine/evaluate/compare.py"}
    assert asked <= found, "the dial's answers"


@pytest.mark.parametrize("suffix", [".mp4", *render.BESIDE])
def test_nothing_foreign_is_replaced_by_or_beside_a_film(suffix, tmp_path):
    out = tmp_path / "films.mp4"
    other = out.with_suffix(suffix)
    other.write_text("A page of somebody's.")
    with pytest.raises(InputError, match=f"films{suffix} is there already"):
        render.render_film("lora", None, out)
    assert other.read_text() == "A page of somebody's." and list(tmp_path.iterdir()) == [other]
    other.unlink()
    captions.write_vtt([], out.with_suffix(".vtt"), "en")
    out.with_suffix(".md").write_text("of an earlier film")
    assert render.alone(out) == out


def test_a_film_that_a_kill_stopped_at_its_end_is_known_for_ours(tmp_path, monkeypatch):
    """Joining it takes longest; when it lies there its captions do."""
    monkeypatch.setattr("animations.studio.join.join", lambda parts, out, *_: out.write_text("a film"))
    monkeypatch.setattr("animations.studio.captions.write_srt", None)
    out = tmp_path / "a.mp4"
    with pytest.raises(TypeError):
        render._finish([], out, "a", "", "en")
    assert out.exists() and render.alone(out) == out


def test_a_key_counts_every_file_that_the_film_is_drawn_with():
    found = {path.relative_to(ROOT).as_posix() for path in cache.drawn_with("lora")}
    loaded = "import sys, animations.lora, animations.studio.camera; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)), sep='\\n')"
    said = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    ours = {
        Path(line).relative_to(ROOT).as_posix()
        for line in said.splitlines()
        if Path(line).is_relative_to(ROOT) and ".venv" not in line
    }
    packages = {
        "animations/__init__.py",
        "animations/studio/__init__.py",
        "engine/__init__.py",
        "engine/language/__init__.py",
        "engine/run/__init__.py",
        "engine/run/stores/__init__.py",
        "engine/school/__init__.py",
        "visualize/__init__.py",
    }
    assert ours - found <= {
        *packages,
        "visualize/mobjects/__init__.py",
        "animations/studio/runs.py",
        # What only the making of runs writes and clears with.
        "engine/files.py",
        "engine/recording/__init__.py",
        "engine/recording/lock.py",
        "engine/recording/ours.py",
        "engine/school/tasks/__init__.py",
    }
    assert {"visualize/theme.py", "visualize/mobjects/matrix.py", "engine/measure/__init__.py"} <= found


def test_a_scene_that_fails_is_named_and_leaves_nothing(film_runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(film_runs["lora"].path, broken)
    (broken / "captures" / "step-000000.safetensors").write_bytes(b"not a capture")
    out = tmp_path / "films" / "x.mp4"
    with pytest.raises(InputError, match=r"scene Beside of film lora: .*step-000000.safetensors"):
        render.render_film("lora", Run.load(broken), out, quality="480p15", scenes=["Beside"], progress=False)
    assert not list(out.parent.iterdir())


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    (tmp_path / "tasks_of_tests.py").write_text(
        "import os, time\n"
        "def double(job, report):\n    report(0.5)\n    return 2 * job\n"
        "def die(job, report):\n    os._exit(3)\n"
        "def sleep(job, report):\n    time.sleep(60)\n"
        "def fail(job, report):\n    raise ValueError('no')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import tasks_of_tests

    return tasks_of_tests


def test_workers_do_every_job(tasks):
    heard = []
    workers.run_all(tasks.double, [1, 2, 3], 2, 60, lambda job, seconds, result: heard.append((job, result)))
    assert sorted((job, result) for job, result in heard if result) == [(1, 2), (2, 4), (3, 6)]


@pytest.mark.parametrize(
    "name, limit, why", [("die", 60, "exit code 3"), ("sleep", 0.1, "took longer"), ("fail", 60, "ValueError")]
)
def test_a_worker_that_fails_dies_or_hangs_is_named(name, limit, why, tasks):
    with pytest.raises(workers.Failed, match=why) as failed:
        workers.run_all(getattr(tasks, name), ["the job"], 1, limit, lambda *_: None)
    assert failed.value.job == "the job"


def test_a_worker_that_dies_at_its_start_is_named(tmp_path, monkeypatch):
    (tmp_path / "dies_at_its_start.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}:\n    os._exit(4)\ndef task(job, report):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from dies_at_its_start import task

    with pytest.raises(workers.Failed, match="exit code 4") as failed:
        workers.run_all(task, ["the job", "another"], 1, 60, lambda *_: None)
    assert failed.value.job == "the job"
    worker = workers._start(task)
    worker.process.join()
    with pytest.raises(workers.Failed, match="exit code 4"):  # nobody is there any more to be given a job
        worker.give("late")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_what_does_not_change_is_not_encoded_but_lasts(suffix, tmp_path):
    encoder = Encoder(tmp_path / f"a{suffix}", SMALL)
    one, other = picture(), picture()
    for frame, repeat in ((one, 1), (one.copy(), 1), (one, 38), (other, 1), (one, 2)):
        encoder.add(frame, repeat)
    encoder.close()
    with av.open(str(tmp_path / f"a{suffix}")) as video:
        frames = list(video.decode(video=0))
    assert encoder.frames == 43 and encoder.encoded == len(frames) == 7
    shown = [round(frame.time * SMALL.rate) for frame in frames]
    assert shown == [0, 15, 30, 39, 40, 41, 42]
    seen = frames[4].to_ndarray(format="rgb24", src_colorspace="ITU709").astype(float)
    assert np.sqrt(np.mean((seen[100:228, 200:328] - other[100:228, 200:328, :3]) ** 2)) < 12


@pytest.mark.parametrize("quality", ["480p15", "720p30", "1080p30"])
def test_converting_only_what_changed_is_converting_all_of_it(quality):
    size = QUALITIES[quality]
    assert size.height % TILE == 0
    yuv, shown = Yuv(size.height, size.width), RANDOM.integers(0, 256, (size.height, size.width, 4), np.uint8)
    yuv.update(shown, np.arange(size.height))
    for _ in range(8):
        rows = np.unique(RANDOM.integers(0, size.height, RANDOM.integers(1, 6)))
        shown = shown.copy()
        shown[rows, 100:300, :3] = RANDOM.integers(0, 256, (len(rows), 200, 3))
        yuv.update(shown, rows)
        whole = av.VideoFrame.from_ndarray(shown, format="rgba").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        for plane, source in zip(yuv.planes, whole.planes, strict=True):
            true = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)[:, : source.width]
            np.testing.assert_array_equal(plane, true)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_an_encoder_is_done_with_a_frame_before_the_next(suffix, tmp_path):
    """They share their memory: encoded from copies, the video is the same."""
    frames = [picture() for _ in range(6)]
    for name, kept in (("shared", None), ("copied", [])):
        encoder = Encoder(tmp_path / f"{name}{suffix}", SMALL, threads=2)
        if kept is not None:
            frame = encoder._yuv.frame
            encoder._yuv.frame = lambda frame=frame, kept=kept: kept.append(copied(frame())) or kept[-1]
        for pixels in frames:
            encoder.add(pixels)
        encoder.close()
    with av.open(str(tmp_path / f"shared{suffix}")) as one, av.open(str(tmp_path / f"copied{suffix}")) as other:
        assert [bytes(p) for p in one.demux(video=0)] == [bytes(p) for p in other.demux(video=0)]


def test_what_took_longest_is_rendered_first(film_runs, tmp_path, monkeypatch):
    titles = {name: getattr(get_film("lora"), name).title for name in ("Turn", "Beside", "Onto", "Price")}
    took = {"Turn": 2.0, "Beside": 9.0, "Price": 30.0}
    monkeypatch.setattr(cache, "usual", lambda: {titles[name]: (1.0, seconds) for name, seconds in took.items()})
    order = []

    def run_all(task, jobs, *_):
        order.extend(job.scene for job in jobs)
        raise workers.Failed(jobs[0], "enough", "")

    monkeypatch.setattr(workers, "run_all", run_all)
    with pytest.raises(InputError, match="enough"):
        render.render_film(
            "lora",
            film_runs["lora"],
            tmp_path / "a.mp4",
            others={"pirate": film_runs["pirate"]},
            scenes=[*titles],
            progress=False,
        )
    assert order == ["Onto", "Price", "Beside", "Turn"], "one that was never rendered may be the longest"


def test_a_failure_to_encode_is_met_while_drawing_or_at_the_end_and_leaves_no_half_video(tmp_path):
    def writer(fails):
        made = SceneWriter.__new__(SceneWriter)
        made.frames, made._waiting, made._thread = 0, deque(), ThreadPoolExecutor(1)
        made.encoder = SimpleNamespace(add=fails, close=lambda: None, _container=SimpleNamespace(close=lambda: None))
        made.path = tmp_path / "scene.mp4"
        made.path.write_bytes(b"half")
        return made

    def full(pixels, repeat):
        raise OSError("no space left")

    one = writer(full)
    one.write_frame(picture())
    with pytest.raises(OSError, match="no space left"):
        one.finish()
    assert not one.path.exists()
    other = writer(full)
    with pytest.raises(OSError, match="no space left"):
        for _ in range(9):
            other.write_frame(picture())
    seen = []
    good = writer(lambda pixels, repeat: seen.append(repeat))
    for repeat in range(1, 9):
        good.write_frame(picture(), repeat=repeat)
    good.finish()
    assert seen == [*range(1, 9)] and good.frames == 36 and good.path.exists()


def copied(frame):
    made = av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    return made


def test_scenes_of_other_kinds_are_not_joined(film, tmp_path):
    from animations.studio.join import Rendered

    part = Rendered(film, "one", 15, 15, [])
    encoder = Encoder(tmp_path / "large.mp4", QUALITIES["720p30"])
    encoder.add(np.zeros((720, 1280, 4), np.uint8), 15)
    encoder.close()
    with pytest.raises(ValueError, match="not encoded as"):
        join([part, Rendered(tmp_path / "large.mp4", "two", 15, 30, [])], tmp_path / "x.mp4", "x")
    assert not [path for path in tmp_path.iterdir() if "x.mp4" in path.name]


def test_a_film_can_be_a_gif(tmp_path):
    encoder = Encoder(tmp_path / "a.mp4", SMALL)
    for _ in range(3):
        encoder.add(picture(), 5)
    encoder.close()
    to_gif(tmp_path / "a.mp4", tmp_path / "a.gif", width=320)
    with av.open(str(tmp_path / "a.gif")) as video:
        assert video.streams.video[0].width == 320
        assert sum(1 for _ in video.decode(video=0)) >= 3


def test_a_contact_sheet_shows_every_beat(film_runs, shown, tmp_path):
    from PIL import Image

    from animations.lora import Onto

    with Image.open(contact_sheet([Onto], tmp_path / "sheet.png", "dark", columns=2)) as sheet:
        assert sheet.width > 2 * 900
    assert check_ours(tmp_path / "sheet.png", render.SHEET)
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(InputError, match=r"mine\.png is there already, and not made by this command"):
        render.preview("lora", None, tmp_path / "mine.png", "dark", ["Onto"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nofilm"], "no film called 'nofilm'; there are: "),
        (["lora", "--quality", "8k"], "no quality called '8k'; there are 480p15, "),
        (["lora", "--theme", "blue"], "no theme called 'blue'; there are dark, light"),
        (["lora", "--scenes", "Nope"], "film lora has no scene 'Nope'; there are Turn, "),
        (["lora", "--run", "nowhere"], "nowhere does not exist"),
        (["lora", "--jobs", "0"], "0 processes render nothing"),
        (["lora", "--preview", "-o", "film.mp4"], "film.mp4 should end in .png"),
        (["lora", "-o", "film.avi"], "film.avi should end in one of .mp4, .webm, .gif"),
        (["lora", "-o", "pyproject.toml/film.mp4"], "pyproject.toml cannot be made"),
        (["lora", "--voice", "nowhere"], "voice 'nowhere' is no folder of recordings"),
        (["lora", "--beside", "pirate"], "--beside pirate should be NAME=DIR"),
        (["lora", "--beside", "pirate=nowhere"], "nowhere does not exist"),
        (["lora", "--beside", "Pirate=nowhere"], "film lora has no run called 'Pirate'; the names are lora, pirate"),
        (
            ["lora", "data", "--beside", "Pirate=nowhere"],
            "these films have no run called 'Pirate'; the names are lora, ",
        ),
        (["lora", "--scenes", "Onto"], "scene Onto shows a run 'pirate' beside lora; give one: --beside pirate=DIR"),
        (["tuning", "--format", "9x16"], "film tuning has no scene for a frame of 9x16"),
        (["course"], "course is all films of their own runs in one file"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, said, capsys, film_runs):
    run = [] if "--run" in arguments else ["--run", str(film_runs["lora"].path)]
    assert main([*arguments, *run]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}") and error.count("\n") == 1


def test_a_full_run_has_no_factors_to_show(full_run, tmp_path):
    with pytest.raises(InputError, match="run full is full, without factors; the film lora shows those of LoRA"):
        render.render_film("lora", full_run, tmp_path / "x.mp4")


def test_factors_that_began_as_a_part_of_w_are_not_shown_as_loras(lora_run, tmp_path):
    shutil.copytree(lora_run.path, tmp_path / "pissa")
    about = tmp_path / "pissa" / "run.json"
    run = json.loads(about.read_text())
    run["modules"] = {name: {**module, "from_start": True} for name, module in run["modules"].items()}
    about.write_text(json.dumps(run))
    with pytest.raises(InputError, match=r"run pissa began with a part of W in its factors \(PiSSA, OLoRA"):
        render.render_film("lora", Run.load(tmp_path / "pissa"), tmp_path / "x.mp4")


def test_what_is_read_of_films_is_what_they_show():
    for film in films.films():
        assert films.scene_names(film) == [scene.__name__ for scene in get_film(film).SCENES]


def test_films_are_listed(capsys):
    assert main(["--list"]) == 0
    assert "lora: Turn, " in capsys.readouterr().out


def test_some_scenes_never_take_the_whole_films_place():
    assert render.name_of("lora", None, "16x9") == "lora"
    others = {
        render.name_of("lora", scenes, shape)
        for scenes in (None, ["Turn"], list("abcdef"))
        for shape in ("16x9", "9x16")
    }
    assert len(others) == 6


def test_a_second_run_that_was_not_given_is_not_shown(film_runs):
    from animations.studio.scenes import runs_of, with_their_runs

    names = films.scene_names("lora")
    alone = runs_of("lora", film_runs["lora"], None, names)
    assert list(alone) == ["lora"]
    assert set(names) - set(with_their_runs("lora", names, alone, named=False)) == {"Onto"}
    both = runs_of("lora", film_runs["lora"], {"pirate": film_runs["pirate"]}, names)
    assert with_their_runs("lora", names, both, named=False) == names


def test_a_scene_without_its_second_run_says_so(film_runs, monkeypatch):
    from animations.lora import Onto
    from animations.studio.preview import walk

    monkeypatch.setenv("GLASSTUNE_FILM_RUNS", f'{{"lora": "{film_runs["lora"].path}"}}')
    with pytest.raises(InputError, match="scene Onto shows a run 'pirate' beside its own"):
        walk(Onto, lambda scene: None, width=96, height=54)


def test_an_upright_film_has_the_scenes_that_are_laid_out_for_it(film_runs):
    from animations.studio.preview import walk
    from animations.studio.scenes import get_film, in_shape, showing

    for film in ("lora", "forgetting"):
        names = in_shape(film, films.scene_names(film), "9x16")
        assert names[0] == films.scene_names(film)[0] and names[-1] == "End"
        with showing(film_runs, "dark"), pytest.MonkeyPatch.context() as patch:
            patch.setattr("animations.studio.dial.SCALES", (0.0, 0.5, 1.0, 1.5))
            for name in names:
                seen = []

                def look(scene, seen=seen):
                    seen += [
                        part for shown in scene.mobjects for part in shown.get_family() if hasattr(part, "em_pixels")
                    ]

                walk(getattr(get_film(film), name), look, width=270, height=480)
                assert seen and all(abs(text.get_center()[0]) + text.width / 2 <= 4.0 for text in seen)


def test_the_course_has_all_films_as_chapters(tmp_path, monkeypatch):
    from animations.studio.join import Rendered

    scene = tmp_path / "scene.mp4"
    encoder = Encoder(scene, SMALL)
    encoder.add(picture(), 30)
    encoder.close()

    def rendered(name, run, folder, suffix, **options):
        return [Rendered(scene, f"Scene of {name}", 30, SMALL.rate, [])], [None]

    monkeypatch.setattr(render, "render_scenes", rendered)
    made = render.render_course(tmp_path / "course.mp4", quality="480p15", progress=False)
    with av.open(str(made)) as video:
        titles = [chapter["metadata"]["title"] for chapter in video.chapters()]
    assert titles == [f"{name}: Scene of {name}" for name in films.COURSE]
