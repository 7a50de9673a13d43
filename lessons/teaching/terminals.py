"""What can this terminal show? It is asked once: whether it draws pictures, and whether its ground is light or dark.

The questions are control sequences that terminals answer or ignore: kitty's graphics query, the background's colour
(OSC 11), the size of a cell (CSI 16 t) and, last because every terminal answers it, the device attributes (DA1).
"""

import os
import re
import sys
from dataclasses import dataclass
from typing import Literal

from engine.terminal import Terminal

Protocol = Literal["kitty", "iterm", "sixel", "blocks", "none"]

_QUESTIONS = "\033_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\033\\\033]11;?\033\\\033[16t\033[c"
_LAST = re.compile(r"\033\[\?([\d;]*)c")
_PATIENCE = 0.4  # seconds for an answer; over a slow line the terminal counts as one that draws blocks
_SILENT = ("dumb", "linux", "")  # what would print the questions, or cannot draw


@dataclass(frozen=True)
class Abilities:
    """protocol: how a picture is drawn in it. light: is its background light (None: it does not say)? cell: the width
    and height of a character, in pixels."""

    protocol: Protocol = "none"
    light: bool | None = None
    cell: tuple[int, int] = (10, 20)


def abilities() -> Abilities:
    """What the terminal at standard output can show; nothing, where it is none."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in _SILENT:
        return Abilities()
    said = _ask(_QUESTIONS)
    size = re.search(r"\033\[6;(\d+);(\d+)t", said)
    return Abilities(_protocol(said), _is_light(said), (int(size[2]), int(size[1])) if size else (10, 20))


def _protocol(said: str) -> Protocol:
    attributes = _LAST.search(said)
    if "\033_Gi=31;OK" in said:
        return "kitty"
    # What runs inside tmux has its terminal's variables, but tmux does not pass these pictures on.
    program = os.environ.get("TERM_PROGRAM") or os.environ.get("LC_TERMINAL", "")
    if program in ("iTerm.app", "iTerm2", "WezTerm") and "TMUX" not in os.environ:
        return "iterm"
    if attributes and "4" in attributes[1].split(";"):
        return "sixel"
    return "blocks" if Terminal().color_system in ("truecolor", "256") else "none"


def _is_light(said: str) -> bool | None:
    """By the background's luminance (Rec. 709), or else by the variable that rxvt and Konsole set."""
    found = re.search(r"\033\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)", said)
    if found:
        red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in found.groups())
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
    ground = os.environ.get("COLORFGBG", "").split(";")[-1]
    return int(ground) in (7, *range(9, 16)) if ground.isdecimal() else None


def _ask(questions: str) -> str:
    """What the terminal answers, up to its device attributes; nothing where it cannot be asked (Windows)."""
    try:
        import select
        import termios
        import tty
    except ImportError:
        return ""
    if not sys.stdin.isatty():
        return ""
    keyboard, said = sys.stdin.fileno(), ""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)  # an answer is neither shown nor held back until Enter
        os.write(sys.stdout.fileno(), questions.encode())
        while not _LAST.search(said) and select.select([keyboard], [], [], _PATIENCE)[0]:
            said += os.read(keyboard, 1024).decode("ascii", "replace")
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return said
