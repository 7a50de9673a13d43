"""Where do the films' short moving pictures come from? `python scripts/film_pictures.py` takes them from the films.

    python scripts/film_pictures.py                 # one of every film -> docs/pictures/films
    python scripts/film_pictures.py lora when       # of these

A scene of each is rendered from the films' own runs, and some seconds of it are kept, small enough for a document.
"""

import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
from PIL import Image, ImageChops

from animations.studio.films import COURSE
from animations.studio.render import render_film

FOLDER = Path(__file__).parent.parent / "docs" / "pictures" / "films"
# The scene that says best what its film is about, and from which second to which.
PARTS = {
    "when": ("Asked", 0, 20),
    "full": ("Training", 18.8, 21),
    "lora": ("Turn", 0, 16),
    "qlora": ("Levels", 0, 16),
    "data": ("Glow", 0, 16),
    "tuning": ("Race", 0, 16),
    "forgetting": ("Asked", 0, 16),
    "evaluation": ("Two", 0, 16),
}
WIDTH, RATE = 640, 8  # pixels; pictures a second
HELD = 2500  # milliseconds of the last one
MOST = 480_000  # bytes
QUALITIES = (60, 45, 30, 20)  # the best that is small enough


def frames(video: Path, start: float, end: float) -> Iterator[tuple[float, Image.Image]]:
    """What stands at each of RATE moments a second, where it is another picture than before, and since when."""
    moment, before, shown = start, None, None
    with av.open(str(video)) as source:
        for frame in source.decode(video=0):
            while before is not None and moment < min(frame.time or 0.0, end):
                if shown is None or ImageChops.difference(before, shown).getbbox():
                    shown = before
                    yield moment, shown
                moment += 1 / RATE
            before = frame.to_image()
            before = before.resize((WIDTH, WIDTH * before.height // before.width), Image.Resampling.LANCZOS)


def written(pictures: list[tuple[float, Image.Image]], out: Path) -> int:
    """Write them as one moving picture, in the best quality that is small enough. Returns its quality."""
    moments, images = zip(*pictures, strict=True)
    durations = [round(1000 * (after - at)) for at, after in pairwise(moments)] + [HELD]
    for quality in QUALITIES:
        images[0].save(
            out, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=quality, method=4
        )
        if out.stat().st_size <= MOST:
            break
    return quality


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for film in sys.argv[1:] or COURSE:
        scene, start, end = PARTS[film]
        with tempfile.TemporaryDirectory() as folder:
            video = render_film(film, out=Path(folder) / "part.mp4", quality="480p15", scenes=[scene], progress=False)
            pictures = list(frames(video, start, end))
        out = FOLDER / f"{film}.webp"
        quality = written(pictures, out)
        print(f"{out}: {len(pictures)} pictures, quality {quality}, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
