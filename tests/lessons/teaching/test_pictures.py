"""A terminal is asked what it can show, and a picture is drawn in it by that."""

import base64
import os
import re
import threading
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lessons.teaching import pictures, terminals
from visualize import plots
from visualize.theme import theme

KITTY, DARK, LIGHT = "\033_Gi=31;OK\033\\", "\033]11;rgb:1414/1616/1b1b\033\\", "\033]11;rgb:ff/ff/f0\033\\"
SIXEL, PLAIN = "\033[?62;4;22c", "\033[?62;22c"


@pytest.fixture
def plain(monkeypatch):
    for name in ("TERM_PROGRAM", "LC_TERMINAL", "TMUX", "COLORFGBG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    return monkeypatch


@pytest.mark.parametrize(
    "environment, said, protocol",
    [
        ({}, KITTY + SIXEL, "kitty"),
        ({}, SIXEL, "sixel"),
        ({"LC_TERMINAL": "iTerm2"}, PLAIN, "iterm"),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "1"}, PLAIN, "blocks"),
        ({}, "", "blocks"),
    ],
)
def test_the_protocol_follows_from_what_a_terminal_answers(plain, environment, said, protocol):
    for name, value in environment.items():
        plain.setenv(name, value)
    plain.setattr(terminals, "Terminal", lambda: type("T", (), {"color_system": "truecolor"})())
    assert terminals._protocol(said) == protocol


@pytest.mark.parametrize(
    "said, ground, light", [(DARK, "0;15", False), (LIGHT, "", True), ("", "0;15", True), ("", "", None)]
)
def test_the_ground_is_light_or_dark_or_not_known(plain, said, ground, light):
    plain.setenv("COLORFGBG", ground)
    assert terminals._is_light(said) is light


def test_a_terminal_is_asked_and_its_settings_come_back(plain):
    """A pseudo-terminal whose other side answers as a light one with sixels would."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    ends = type("End", (), {"isatty": lambda _: True, "fileno": lambda _: theirs})()
    plain.setattr(terminals.sys, "stdin", ends)
    plain.setattr(terminals.sys, "stdout", ends)
    before = termios.tcgetattr(theirs)
    asked = []

    def answer():
        asked.append(os.read(ours, 1024))
        os.write(ours, (LIGHT + "\033[6;18;9t" + SIXEL).encode())

    other = threading.Thread(target=answer)
    other.start()
    found = terminals.abilities()
    other.join()
    after = termios.tcgetattr(theirs)
    os.close(ours)
    os.close(theirs)
    assert found == terminals.Abilities("sixel", True, (9, 18)) and asked[0].endswith(b"\033[c")
    assert after == before


def picture(size=(40, 24)):
    """A PNG of two halves, red on blue."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2, :, 0] = 255
    pixels[size[1] // 2 :, :, 2] = 255
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue(), pixels


def test_what_is_sent_holds_the_picture():
    png, _ = picture((600, 400))
    sent = pictures.kitty(png, 30, 10)
    assert base64.b64decode("".join(re.findall(r"m=\d;([^\033]*)\033", sent))) == png
    assert base64.b64decode(re.search(r":([^\a]*)\a", pictures.iterm(png, 30, 10))[1]) == png


def read_sixels(sent):
    """(rows, columns, 3) of 0 to 255: a decoder, after the VT340's manual."""
    width, height = (int(n) for n in re.search(r'"1;1;(\d+);(\d+)', sent).groups())
    colours = {
        n: [round(255 * int(v) / 100) for v in rgb.split(";")] for n, rgb in re.findall(r"#(\d+);2;([\d;]+)", sent)
    }
    drawn = np.full((height + 6, width, 3), 77, np.uint8)
    body = re.sub(r"#\d+;2;[\d;]+", "", sent.split('"', 1)[1].removesuffix("\033\\\n"))
    for number, band in enumerate(body.removeprefix(f"1;1;{width};{height}").split("-")):
        for colour, line in re.findall(r"#(\d+)([^$#]*)\$", band):
            column = 0
            for count, sign in re.findall(r"(?:!(\d+))?([?-~])", line):
                for _ in range(int(count or 1)):
                    for row in range(6):
                        if ord(sign) - 63 >> row & 1:
                            drawn[6 * number + row, column] = colours[colour]
                    column += 1
    return drawn[:height]


def test_sixels_read_back_are_the_picture():
    png, pixels = picture()
    back = read_sixels(pictures.sixel(png, 4, 2, (10, 12)))
    assert back.shape == pixels.shape and np.abs(back.astype(int) - pixels).max() <= 3


def test_half_blocks_hold_the_picture_without_its_words():
    figure, ax = plt.subplots(figsize=(4, 4), layout="none")
    figure.text(0.5, 0.5, "words", fontsize=60)
    ax.set_position([0, 0, 1, 1])
    ax.set_axis_off()
    assert pictures.blocks(figure, 20, 10) is None, "nothing but words"
    ax.imshow([[0.0], [1.0]], cmap="gray", aspect="auto")
    drawn = pictures.blocks(figure, 20, 10)
    plt.close(figure)
    assert drawn.plain.count("\n") == 10 and len(drawn.plain.split("\n")[0]) == 20
    first, last = drawn.spans[0].style, drawn.spans[-1].style
    assert (tuple(first.color.triplet), tuple(last.bgcolor.triplet)) == ((0, 0, 0), (255, 255, 255))


def test_a_picture_fits_the_screen_and_keeps_its_proportions():
    assert pictures.fitted((1000, 500), 100, 20, (10, 20)) == (80, 20)
    assert pictures.fitted((1000, 100), 80, 20, (10, 20)) == (80, 4)


def test_the_words_of_a_picture_stand_beside_its_blocks(lora_run):
    with theme("dark"):
        said = pictures.words(plots.plot_loss(lora_run).figure).plain
        skills = pictures.words(plots.plot_skills(lora_run).figure).plain
        plt.close("all")
    assert "across: step" in said and "nats a token" in said and "held out" in said
    assert "colours: exactly right" in skills and "task: " in skills


def test_an_axis_without_names_is_not_spoken_of():
    figure, ax = plt.subplots()
    ax.set(xticks=[], yticks=[0, 1], yticklabels=["step 0", "step 0"])
    said = str(pictures.words(figure))
    plt.close(figure)
    assert said.strip() == "up: step 0"
