"""A voice: recordings or a program, a sentence at a time; a caption stays as long as it is heard."""

import html
import sys
import wave

import av
import numpy as np
import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations.studio.captions import Caption, clock, timed, write_script, write_srt, write_vtt
from animations.studio.encode import QUALITIES, Encoder
from animations.studio.film import FilmScene
from animations.studio.films import films
from animations.studio.join import Rendered, join
from animations.studio.preview import walk
from animations.studio.scenes import film_in, showing
from animations.studio.voice import RATE, Voice, samples, seconds_of, track
from glasstune import InputError

SMALL = QUALITIES["480p15"]
SPEAK = (
    "import sys, wave; w = wave.open(sys.argv[1], 'wb'); w.setparams((1, 2, 8000, 0, 'NONE', '')); "
    "w.writeframes(bytes([0, 64]) * 8000 * len(sys.stdin.read().split())); w.close()"
)


def tone(path, seconds, level=0.5, rate=16_000):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.full(round(seconds * rate), level * 32767, np.int16).tobytes())
    return path


@pytest.fixture
def speaker(tmp_path):
    """A program that takes a second for each word."""
    (tmp_path / "speak.py").write_text(SPEAK)
    return f"{sys.executable} {tmp_path / 'speak.py'} {{file}}"


def test_a_recording_is_found_by_its_name(tmp_path):
    tone(tmp_path / "lora-Turn-01.wav", 1.5)
    voice = Voice.given(str(tmp_path), tmp_path / "kept")
    assert seconds_of(voice.sound("lora-Turn-01", "One.")) == pytest.approx(1.5, abs=0.01)
    with pytest.raises(InputError, match=r"holds no lora-Turn-02.wav .*: 'Two.'"):
        voice.sound("lora-Turn-02", "Two.")


def test_a_program_speaks_each_sentence_once(speaker, tmp_path):
    voice = Voice.given(speaker, tmp_path / "kept")
    first = voice.sound("x", "three words here")
    assert seconds_of(first) == pytest.approx(3.0, abs=0.05)
    (tmp_path / "speak.py").unlink()
    assert voice.sound("y", "three words here") == first
    with pytest.raises(InputError, match="did not speak 'four': "):
        voice.sound("z", "four")


def test_a_program_may_choose_a_format_by_the_files_ending(speaker, tmp_path):
    before = "import sys; sys.argv[1].endswith('.wav') or sys.exit('no format has this ending'); "
    (tmp_path / "speak.py").write_text(before + SPEAK)
    sound = Voice.given(speaker, tmp_path / "kept").sound("x", "two words")
    assert seconds_of(sound) == pytest.approx(2.0, abs=0.05) and list((tmp_path / "kept").iterdir()) == [sound]


@pytest.mark.parametrize("said, why", [("nowhere", "no folder of recordings"), ("espeak-ng -w", "lacks {file}")])
def test_what_is_no_voice_is_said(said, why, tmp_path):
    with pytest.raises(InputError, match=why):
        Voice.given(said, tmp_path)


def test_a_program_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="the voice no-such-program cannot be run"):
        Voice.given("no-such-program {file}", tmp_path).sound("x", "Hello.")


def test_what_is_no_sound_is_said(tmp_path):
    (tmp_path / "x.wav").write_text("no sound")
    with pytest.raises(InputError, match="holds no sound"):
        samples(tmp_path / "x.wav")


def test_the_track_has_each_sentence_where_it_is_said(tmp_path):
    sound = str(tone(tmp_path / "a.wav", 0.5))
    captions = [Caption("a", 1.0, 2.0, sound=sound), Caption("silent", 2.0, 3.0)]
    line = np.concatenate(list(track(captions, 3.0)))
    assert len(line) == 3 * RATE
    assert np.abs(line[: RATE - 100]).max() == 0 and np.abs(line[round(1.6 * RATE) :]).max() == 0
    assert line[round(1.25 * RATE)] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("suffix, codec", [(".mp4", "aac"), (".webm", "opus")])
def test_a_film_holds_the_voice(suffix, codec, tmp_path):
    encoder = Encoder(tmp_path / f"scene{suffix}", SMALL)
    encoder.add(np.zeros((SMALL.height, SMALL.width, 4), np.uint8), 45)
    encoder.close()
    sound = str(tone(tmp_path / "a.wav", 1.0))
    part = Rendered(tmp_path / f"scene{suffix}", "one", 45, 15, [Caption("Hello.", 0.5, 2.0, "Hello.", sound)])
    join([part, part], tmp_path / f"film{suffix}", "x")
    with av.open(str(tmp_path / f"film{suffix}")) as film:
        (stream,) = film.streams.audio
        assert stream.codec_context.name.removeprefix("lib") == codec and stream.language == "eng"
        heard = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)]).astype(float)
    rate = stream.rate
    loud = [np.abs(heard[round(a * rate) : round(b * rate)]).mean() for a, b in ((0.6, 1.4), (2.0, 3.0), (3.6, 4.4))]
    assert loud[0] > 10 * loud[1] and loud[2] > 10 * loud[1], "where each scene says it"


def test_captions_are_not_switched_on_and_say_their_language(tmp_path):
    encoder = Encoder(tmp_path / "scene.mp4", SMALL)
    encoder.add(np.zeros((SMALL.height, SMALL.width, 4), np.uint8), 30)
    encoder.close()
    join([Rendered(tmp_path / "scene.mp4", "one", 30, 15, [Caption("Hello.", 0.0, 2.0)])], tmp_path / "film.mp4", "x")
    with av.open(str(tmp_path / "film.mp4")) as film:
        (texts,) = film.streams.subtitles
        assert texts.language == "eng" and not texts.disposition.value & 1
        assert film.streams.video[0].disposition.value & 1


def test_a_caption_stays_as_long_as_it_is_heard(speaker, film_runs, tmp_path, monkeypatch):
    from animations.lora import Beside

    monkeypatch.setenv("GLASSTUNE_FILM_CACHE", str(tmp_path / "cache"))
    with showing(film_runs, "dark", speaker):
        scene = walk(Beside, lambda scene: None, width=480, height=270)
    for caption in scene.captions:
        assert caption.end - caption.start >= len(caption.spoken.split()), "a second a word"
        assert seconds_of(caption.sound) == pytest.approx(len(caption.spoken.split()), abs=0.05)


def test_script_and_subtitles_are_timed_by_the_film(tmp_path):
    captions = [
        Caption("Short.", 0.5, 2.0, "Said at length.", name="lora-Turn-01"),
        Caption("Only.", 2.0, 3.0, name="lora-Turn-02"),
    ]
    parts = [Rendered(tmp_path, "One", 60, 15, captions), Rendered(tmp_path, "Two", 30, 15, captions[1:])]
    assert [(one.text, one.start) for one in timed(parts)] == [("Short.", 0.5), ("Only.", 2.0), ("Only.", 6.0)]
    write_srt(parts, tmp_path / "a.srt")
    write_vtt(parts, tmp_path / "a.vtt", "en")
    write_script(parts, tmp_path / "a.md", "A film")
    assert "00:00:00,500 --> 00:00:02,000\nShort." in (tmp_path / "a.srt").read_text()
    vtt = (tmp_path / "a.vtt").read_text()
    assert vtt.startswith("WEBVTT\n") and "00:00:00.500 --> 00:00:02.000\nSaid at length." in vtt
    script = (tmp_path / "a.md").read_text()
    assert (
        "## One" in script
        and "Said at length." in script
        and "on screen: Short." in script
        and "`lora-Turn-01`" in script
    )
    assert clock(3725.25, ".") == "01:02:05.250"


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_film_speaks_with_the_recordings_of_another(language):
    """Scenes of several films may be called the same."""
    names = []
    for film in films():
        for scene in film_in(film, language).SCENES:
            shown = scene.__new__(scene)
            shown.captions = []
            names.append(shown._recording())
    assert "lora-End-01" in names and len(set(names)) == len(names)


class Quoting(FilmScene):
    title = "Quoting"
    headed = False

    def construct(self):
        self.say("It says: \x1b[31mred\u202e dlrow\nand more.")
        self.finish()


def test_what_a_model_says_reaches_no_terminal_and_no_page(lora_run, tmp_path, monkeypatch):
    monkeypatch.setattr("animations.studio.film.shown_run", lambda name: lora_run)
    (caption,) = walk(Quoting, lambda _: None, width=240, height=136).captions
    assert caption.text.isprintable() and caption.spoken == caption.text and "red" in caption.text
    said = "<think> --> a <b <img src=x onerror=alert(1)> [a](b) `c`"
    parts = [Rendered(tmp_path, "One", 60, 15, [Caption(said, 0.5, 2.0, name="lora-Turn-01")])]
    write_vtt(parts, tmp_path / "a.vtt", "en")
    write_script(parts, tmp_path / "a.md", said)
    blocks = (tmp_path / "a.vtt").read_text().split("\n\n")[1].split("\n")
    assert html.unescape(blocks[1]) == said and "<" not in blocks[1] and ">" not in blocks[1]
    script = (tmp_path / "a.md").read_text()
    assert "<img" not in script and "<think" not in script and "[a](b)" not in script
