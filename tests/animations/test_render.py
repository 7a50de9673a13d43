"""From scenes to one file: nothing lost, nothing half written, and a failure that says which scene."""

import dataclasses
import shutil

import av
import numpy as np
import pytest

pytest.importorskip("manim", reason="films need Manim: pip install -e '.[film]'")

from animations import cache, render, workers
from animations.encode import CODECS, FrameEncoder
from animations.join import Rendered, join, thumbnail, write_srt
from engine.errors import InputError

WIDTH, HEIGHT, RATE = 64, 48, 15


def frames_of(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def part(folder, name, lengths, form="mp4"):
    """A small scene: one flat grey after another, each for so many frames."""
    encoder = FrameEncoder(folder / f"{name}.{form}", WIDTH, HEIGHT, RATE, CODECS[form])
    for at, length in enumerate(lengths):
        encoder.write(np.full((HEIGHT, WIDTH, 4), 40 + 50 * at, np.uint8), length)
    encoder.close()
    seconds = encoder.frames / RATE
    return Rendered(encoder.path, f"Scene {name}", encoder.frames, seconds, ((f"words of {name}", 0.2, seconds),))


@pytest.fixture
def parts(tmp_path):
    return [part(tmp_path, "one", [7, 9, 3]), part(tmp_path, "two", [30]), part(tmp_path, "three", [1, 1, 13])]


def test_a_film_has_every_frame_of_its_scenes_unchanged(parts, tmp_path):
    join(parts, tmp_path / "film.mp4", "a film")
    apart = [frame for one in parts for frame in frames_of(one.video)]
    together = frames_of(tmp_path / "film.mp4")
    assert len(together) == sum(one.frames for one in parts) == 64
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one, other)
    with av.open(str(tmp_path / "film.mp4")) as film:
        shown = [packet.pts * packet.time_base for packet in film.demux(video=0) if packet.pts is not None]
        np.testing.assert_allclose(sorted(map(float, shown)), np.arange(64) / RATE, atol=1e-4)


def test_a_film_carries_chapters_and_captions(parts, tmp_path):
    join(parts, tmp_path / "film.mp4", "a film")
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert [chapter["metadata"]["title"] for chapter in film.chapters()] == [one.title for one in parts]
        assert film.metadata["title"] == "a film"
        packets = [(float(p.pts * p.time_base), bytes(p)[2:].decode()) for p in film.demux(subtitles=0) if p.size > 2]
    began = np.cumsum([0.0, *(one.seconds for one in parts[:-1])])
    assert [text for _, text in packets] == [one.captions[0][0] for one in parts]
    np.testing.assert_allclose([at for at, _ in packets], began + 0.2, atol=0.002)


def test_captions_stand_beside_it_as_subrip(parts, tmp_path):
    write_srt(parts, tmp_path / "film.srt")
    text = (tmp_path / "film.srt").read_text(encoding="utf-8")
    assert "1\n00:00:00,200 --> 00:00:01,267\nwords of one\n" in text
    assert "2\n00:00:01,467 -->" in text


def test_a_joined_webm_and_gif_open(tmp_path):
    join([part(tmp_path, "a", [5, 5], "webm"), part(tmp_path, "b", [5], "webm")], tmp_path / "film.webm", "a film")
    assert len(frames_of(tmp_path / "film.webm")) == 15
    grey = part(tmp_path, "c", [50, 50])
    join([grey], tmp_path / "film.gif", "a film")
    moving = frames_of(tmp_path / "film.gif")
    assert len(moving) == 50  # of a hundred, at fifteen a second: about ten a second
    for at in (0, -1):
        assert np.abs(moving[at].astype(int) - frames_of(grey.video)[at]).max() <= 8


def test_scenes_of_other_settings_are_not_joined_and_leave_nothing(parts, tmp_path):
    other = FrameEncoder(tmp_path / "other.mp4", 32, 32, RATE, CODECS["mp4"])
    other.write(np.zeros((32, 32, 4), np.uint8), 3)
    other.close()
    odd = dataclasses.replace(parts[0], video=other.path)
    with pytest.raises(ValueError, match="other settings"):
        join([parts[1], odd], tmp_path / "film.mp4", "a film")
    assert not list(tmp_path.glob("film.*"))


def test_colours_survive(tmp_path):
    """bt709 in and out: a flat colour comes back as it was, but for the rounding of eight bits."""
    encoder = FrameEncoder(tmp_path / "colour.mp4", WIDTH, HEIGHT, RATE, CODECS["mp4"])
    colour = np.array([230, 159, 0, 255], np.uint8)
    encoder.write(np.tile(colour, (HEIGHT, WIDTH, 1)), 3)
    encoder.close()
    assert np.abs(frames_of(tmp_path / "colour.mp4")[1].astype(int) - colour[:3]).max() <= 4
    with av.open(str(tmp_path / "colour.mp4")) as file:
        assert file.streams.video[0].codec_context.colorspace == 1


def test_a_thumbnail_is_a_scenes_last_frame(parts, tmp_path):
    from PIL import Image

    thumbnail(parts[0], tmp_path / "film.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "film.png")), frames_of(parts[0].video)[-1])


class TestCache:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GLASSTUNE_CACHE", str(tmp_path / "cache"))

    def test_a_kept_scene_is_found_again(self, tmp_path):
        made = part(tmp_path, "one", [4])
        kept = cache.keep("abc", made)
        assert cache.look_up("abc") == kept
        assert (kept.title, kept.frames, kept.captions) == (made.title, made.frames, made.captions)
        assert len(frames_of(kept.video)) == 4
        assert cache.look_up("abd") is None
        kept.video.unlink()
        assert cache.look_up("abc") is None

    def test_what_changes_a_picture_changes_its_key(self, lora_run, full_run):
        one, two = render.scenes_of("lora")[:2]
        settings = {"size": (854, 480, 15), "theme": "dark"}
        first = cache.key(one, [lora_run], settings)
        assert first == cache.key(one, [lora_run], dict(settings))
        others = [
            cache.key(two, [lora_run], settings),
            cache.key(one, [full_run], settings),
            cache.key(one, [lora_run, full_run], settings),
            cache.key(one, [lora_run], {**settings, "theme": "light"}),
        ]
        assert len({first, *others}) == 5

    def test_another_scenes_source_does_not_change_a_scene(self):
        one, two = render.scenes_of("lora")[:2]
        assert one.title in cache.source_of(one) and two.title not in cache.source_of(one)


def test_a_scene_renders_joins_and_comes_from_the_cache(lora_run, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(render, "runs_of", lambda film, run: [run])
    monkeypatch.setitem(render.QUALITIES, "480p15", (320, 180, 5))
    out = tmp_path / "films" / "lora.mp4"
    assert (
        render.render_film("lora", lora_run, out, quality="480p15", scenes=["Factors"], jobs=1, progress=False) == out
    )
    kept = next((tmp_path / "cache").glob("*.mp4"))
    frames = frames_of(out)
    assert frames[0].shape == (180, 320, 3) and len(frames) == len(frames_of(kept)) > 5 * 8
    assert sorted(file.name for file in out.parent.iterdir()) == ["lora.mp4", "lora.png", "lora.srt"]
    monkeypatch.setattr(workers, "render_all", lambda *_: pytest.fail("it was in the cache"))
    render.render_film("lora", lora_run, out, quality="480p15", scenes=["Factors"], progress=False)


def test_a_scene_that_fails_is_named_and_leaves_nothing(lora_run, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(render, "runs_of", lambda film, run: [run])
    broken = shutil.copytree(lora_run.path, tmp_path / "broken")
    (broken / "captures" / "step-000000.safetensors").write_bytes(b"not a capture")
    out = tmp_path / "films" / "lora.mp4"
    with pytest.raises(InputError, match=r"scene Factors of film lora failed: .*step-000000.*; its log is"):
        render.render_film(
            "lora", type(lora_run).load(broken), out, quality="480p15", scenes=["Factors"], progress=False
        )
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "no film called 'nothing'; there are: "),
        (["lora", "--quality", "4k"], "no quality called '4k'; there are 480p15"),
        (["lora", "--theme", "pink"], "no theme called 'pink'; there are dark, light"),
        (["lora", "--format", "avi"], "no format called 'avi'; there are mp4, webm, gif"),
        (["lora", "--scenes", "Weights,Nope"], "film lora has no scene 'Nope'; there are Weights"),
        (["lora", "--run", "nowhere"], "nowhere holds no run"),
        (["lora", "-o", "film.mp4", "--format", "gif"], "film.mp4 is to be a gif"),
    ],
)
def test_a_wrong_word_gets_one_sentence(arguments, sentence, lora_run, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(render, "runs_of", lambda film, run: [run])
    given = arguments if "--run" in arguments else [*arguments, "--run", str(lora_run.path)]
    assert render.main(given) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {sentence}") and said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_run_is_not_a_film_of_factors(full_run):
    with pytest.raises(InputError, match="trained by method full; the film lora shows lora or qlora"):
        render.runs_of("lora", full_run)


def test_films_and_scenes_are_listed(capsys):
    assert render.main(["--list"]) == 0
    assert "lora: Weights, Factors, Training" in capsys.readouterr().out
