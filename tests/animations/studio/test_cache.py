"""What a film keeps is used again only as it was: a damaged note, a cut video or a full disk is made good, not met."""

import errno
import json
import os
import time

import pytest

from animations.studio import cache, measures
from animations.studio.captions import Caption
from animations.studio.join import Rendered

DIGEST = "0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_FILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GLASSTUNE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "cache"


def aged(folder):
    """All that lies there was last used two days ago."""
    for file in folder.iterdir():
        os.utime(file, (then := time.time() - 2 * cache.IN_USE, then))


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "scene.mp4").write_bytes(b"frames" * 100)
    return Rendered(tmp_path / "scene.mp4", "A title", 30, 15, [Caption("Words", 0.0, 1.5)], None, 7.5)


def test_what_was_kept_is_found_as_it_was(scene, folder):
    kept = cache.keep(DIGEST, scene)
    assert cache.look_up(DIGEST, ".mp4") == kept and kept.video.parent == folder and not scene.video.exists()
    assert cache.usual() == {"A title": (2.0, 7.5)} and cache.look_up("f" * 24, ".mp4") is None


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "{}", "null", '{"title": 1}', "[" * 10_000, '{"title": "a", "frames": "x"}']
)
def test_a_damaged_note_is_none(note, scene, folder):
    cache.keep(DIGEST, scene)
    (folder / f"{DIGEST}.json").write_text(note)
    assert cache.look_up(DIGEST, ".mp4") is None and cache.usual() == {}
    cache.prune()


def test_every_field_of_a_note_may_be_gone_or_wrong(scene, folder):
    cache.keep(DIGEST, scene)
    whole = json.loads((folder / f"{DIGEST}.json").read_text())
    for name in whole.keys() - {"video"}:
        for wrong in (None, -1, [], {}, "x", 10**400, [[1]], [["a", "b", "c"]]):
            (folder / f"{DIGEST}.json").write_text(json.dumps({**whole, name: wrong}))
            if (name, wrong) not in (("title", "x"), ("captions", []), ("poster", None)):
                assert cache.look_up(DIGEST, ".mp4") is None, (name, wrong)
            cache.usual()


def test_a_cut_or_altered_video_is_rendered_again(scene, folder):
    video = cache.keep(DIGEST, scene).video
    whole = video.read_bytes()
    for damaged in (whole[:-1], b"", whole[:-1] + b"?"):
        video.write_bytes(damaged)
        assert cache.look_up(DIGEST, ".mp4") is None
    video.unlink()
    assert cache.look_up(DIGEST, ".mp4") is None


def test_a_full_disk_keeps_nothing_and_shows_the_scene(scene, folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    for module, name in ((cache, "write_text"), (cache.shutil, "copyfile")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            assert cache.keep(DIGEST, scene) == scene and scene.video.read_bytes() == b"frames" * 100
        assert cache.look_up(DIGEST, ".mp4") is None
    cache.prune()
    assert list(folder.glob("*.mp4")), "another process may be about to write its note"
    aged(folder)
    cache.prune()
    assert not list(folder.glob("*.mp4")), "a video whose note could not be written goes"


def test_measures_survive_a_damaged_file_and_a_full_disk(tmp_path, monkeypatch):
    asked = []

    def make():
        asked.append(1)
        return {"a": [1, 2]}

    assert measures.measured("it", [], make) == measures.measured("it", [], make) == {"a": [1, 2]} and len(asked) == 1
    (file,) = (path for path in (tmp_path / "runs").rglob("it-*.json"))
    file.write_text("{")
    assert measures.measured("it", [], make) == {"a": [1, 2]} and len(asked) == 2 and json.loads(file.read_text())

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    file.unlink()
    monkeypatch.setattr(measures, "write_json", full)
    assert measures.measured("it", [], make) == {"a": [1, 2]} and not file.exists()


def test_only_what_is_ours_makes_room(scene, folder, monkeypatch):
    """The cache may be told to lie where other files do."""
    folder.mkdir()
    others = [folder / name for name in ("train.json", "train.parquet", "*.json", "0123.mp4", f"{DIGEST}.wav")]
    for other in others:
        other.write_text('{"title": "mine"}')
    cache.keep(DIGEST, scene)
    monkeypatch.setattr(cache, "MOST_BYTES", 1)
    aged(folder)
    cache.prune()
    assert set(folder.iterdir()) == set(others)


def test_what_a_film_may_yet_be_joined_from_stays(scene, folder, monkeypatch):
    """A course is larger than the cache, or made in another terminal."""
    monkeypatch.setattr(cache, "MOST_BYTES", 1)
    kept = cache.keep(DIGEST, scene)
    cache.prune()
    assert kept.video.is_file() and cache.look_up(DIGEST, ".mp4") == kept
    aged(folder)
    cache.look_up(DIGEST, ".mp4")  # it is used again
    cache.prune()
    assert kept.video.is_file()
