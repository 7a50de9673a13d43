"""What is said in a film, and when? Captions as SubRip text and as WebVTT, and the script that a speaker reads.

A caption is what stands in the frame, a few words; what is spoken with it explains more. Both are timed by the film.
"""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from engine.files import write_text
from engine.language.speaking import tr
from engine.reading import opened

HEAD = "WEBVTT\nKind: captions\nLanguage: "


class Caption(NamedTuple):
    """One line at the foot of the frame, from `start` to `end` in seconds. spoken: what a voice says with it.

    sound: the file of that voice, where there is one; name: what a recording of it is called, without its ending.
    """

    text: str
    start: float
    end: float
    spoken: str = ""
    sound: str = ""
    name: str = ""


class Part(Protocol):
    """A rendered scene, as far as what is said in it."""

    @property
    def title(self) -> str: ...

    @property
    def captions(self) -> list[Caption]: ...

    @property
    def seconds(self) -> float: ...


def timed(parts: Iterable[Part]) -> Iterator[Caption]:
    """Every caption, with its start and end in the film's seconds."""
    began = 0.0
    for part in parts:
        for one in part.captions:
            yield one._replace(start=began + one.start, end=began + one.end)
        began += part.seconds


def write_srt(parts: Iterable[Part], path: Path) -> None:
    """The captions, for players that want them beside the film and for translators."""
    blocks = [
        f"{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{' '.join(one.text.split())}\n"
        for number, one in enumerate(timed(parts), 1)
    ]
    write_text(path, "\n".join(blocks))


def write_vtt(parts: Iterable[Part], path: Path, language: str) -> None:
    """What is spoken, as WebVTT, which has tags: for a page's own player, and for who cannot hear the voice."""
    blocks = [
        f"{clock(one.start, '.')} --> {clock(one.end, '.')}\n"
        f"{html.escape(' '.join((one.spoken or one.text).split()), quote=False)}\n"
        for one in timed(parts)
    ]
    write_text(path, f"{HEAD}{language}\n\n" + "\n".join(blocks))


def is_captions(path: Path) -> bool:
    """Did `write_vtt` write this?"""
    with opened(path) as file:
        return bytes(file.read(len(HEAD))) == HEAD.encode()


def write_script(parts: Iterable[Part], path: Path, title: str) -> None:
    """The script as Markdown: scene by scene what is spoken, when, and what a recording of each sentence is called."""
    lines, began, recording = [f"# {plain(title)}", ""], 0.0, tr("recording")
    for part in parts:
        lines += [f"## {plain(part.title)}", ""]
        for one in part.captions:
            moment = clock(began + one.start, ".")[3:-4]
            lines += [f"**{moment}** {plain(one.spoken or one.text)}", ""]
            more = one.spoken and one.spoken != one.text
            shown = f"{tr('on screen')}: {plain(one.text)}; " if more else ""
            lines += [f"<sub>{shown}{recording}: `{one.name}`</sub>", ""]
        began += part.seconds
    write_text(path, "\n".join(lines))


def plain(text: str) -> str:
    """As Markdown that shows just this text: what a model said is no markup, and no HTML."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", html.escape(text, quote=False))


def clock(seconds: float, mark: str) -> str:
    """ "00:01:02,500" for 62.5 and a comma."""
    whole = round(1000 * seconds)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d}{mark}{whole % 1000:03d}"
