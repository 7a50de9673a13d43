"""Slides: one page that holds everything, says what the film says, and escapes it."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.lora import Beside, Onto
from animations.slides import main
from animations.studio import slides
from animations.studio.captions import Caption
from animations.studio.join import Rendered
from engine.files import check_ours
from glasstune import InputError


class Page(HTMLParser):
    """The tags, with their attributes, and what is said in each element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def made(film_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSTUNE_FILM_CACHE", str(folder / "cache"))
        path = slides.make_slides(
            "lora", film_runs["lora"], folder / "lora.html", others={"pirate": film_runs["pirate"]}, quality="480p15",
            scenes=["Beside", "Onto"], beats=True, progress=False,
        )  # fmt: skip
        videos = [path.read_bytes() for path in (folder / "cache").glob("*.mp4")]
    return path, videos


def test_the_page_holds_every_video_and_fetches_nothing(made):
    path, videos = made
    text = path.read_text("utf-8")
    held = [base64.b64decode(found) for found in re.findall(r'<script type="text/base64">(.+?)</script>', text)]
    assert sorted(held) == sorted(videos) and len(held) == 2
    for tag, attributes in Page(text).tags:
        assert tag != "link" and not attributes.get("src"), "everything is inside"
        assert attributes.get("poster", "data:image/jpeg").startswith("data:image/jpeg")
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == ["lora.html"]


def test_only_slides_are_written_anew(made, tmp_path):
    assert check_ours(made[0], slides.MADE_BY) == made[0]
    (tmp_path / "mine.html").write_text("<!doctype html>\n<title>My talk about Glasstune</title>")
    with pytest.raises(InputError, match=r"mine\.html is there already, and not made by this command"):
        slides.make_slides("lora", None, tmp_path / "mine.html")


def test_the_notes_are_what_is_said_of_this_run_and_no_more(made, walked):
    """A scene's docstring is its claim, which another run need not bear out."""
    said = " ".join(Page(made[0].read_text("utf-8")).words)
    for scene in (Beside, Onto):
        assert scene.title in said and scene.__doc__ not in said
        for caption in walked(scene).scene.captions:
            assert caption.spoken in said


def test_it_waits_after_every_caption(made, walked):
    sections = [attributes for tag, attributes in Page(made[0].read_text("utf-8")).tags if tag == "section"]
    for section, scene in zip(sections[1:], (Beside, Onto), strict=True):
        stops, walk = json.loads(section["data-stops"]), walked(scene).scene
        assert stops == sorted(stops) and stops[-1] < walk.now + 0.5
        for stop, caption in zip(stops[:-1], walk.captions[:-1], strict=True):
            assert caption.start < stop and stop == pytest.approx(caption.end, abs=1.0), caption.text


def test_what_a_scene_says_is_escaped(tmp_path, monkeypatch):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    bad = '</aside><script>alert("1 & 2")</script>'
    monkeypatch.setattr(slides, "_poster", lambda _: "data:,")
    section = slides._section(Rendered(video, bad, 30, 30, [Caption(bad, 0.0, 1.0)]), beats=False)
    assert [tag for tag, _ in Page(section).tags].count("script") == 1, "only the video's own"
    assert section.count("</aside>") == 1 and section.count("&lt;/aside&gt;") == 2


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nofilm"], "no film called 'nofilm'"),
        (["lora", "-o", "a.pdf"], "a.pdf should end in .html"),
        (["lora", "--scenes", "Nope"], "film lora has no scene 'Nope'"),
        (["lora", "--jobs", "0", "--scenes", "Beside"], "0 processes render nothing"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, said, capsys, film_runs):
    assert main([*arguments, "--run", str(film_runs["lora"].path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}") and error.count("\n") == 1
