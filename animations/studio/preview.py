"""What does a film look like, before it is rendered? A contact sheet: the frame at the end of every beat, in seconds.

A scene is walked: its animations jump to their ends, nothing is encoded, and each beat's last frame is drawn once.
The suite walks scenes in the same way, to look at what stands in the frame.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from manim import Mobject, Scene, tempconfig
from manim.renderer.cairo_renderer import CairoRenderer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from animations.studio.camera import RegionCamera
from animations.studio.encode import Quality, frame_settings
from animations.studio.film import FilmScene, quiet
from engine.files import whole
from visualize.theme import PALETTES, Theme

Beat = Callable[[FilmScene], None]


class _Unseen(CairoRenderer):
    """Of what Manim draws while a scene goes on, nothing is kept in a walk: only the whole frame is, for who asks."""

    def update_frame(self, scene: Scene, mobjects: Iterable[Mobject] | None = None, **options: Any) -> None:
        if mobjects is None:
            super().update_frame(scene, **options)


def walk(scene_class: type[FilmScene], beat: Beat, *, width: int = 960, height: int = 540) -> FilmScene:
    """Go through a scene without a video; `beat(scene)` is called whenever a caption has been read. Returns the scene.

    width, height: of the frames that `frame_of` gives, in pixels.
    """
    quiet()
    settings: dict[str, Any] = frame_settings(Quality(width, height, 30)) | {
        "dry_run": True, "media_dir": _scratch(),
    }  # fmt: skip
    with tempconfig(settings):
        scene = scene_class(renderer=_Unseen(camera_class=RegionCamera, skip_animations=True))
        scene.on_beat = beat
        scene.render()
    return scene


@cache
def _scratch() -> str:
    """Where Manim keeps texts that it has set; of this process alone, for it writes them in place."""
    folder = tempfile.mkdtemp(prefix="glasstune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def frame_of(scene: FilmScene) -> np.ndarray:
    """What the audience sees at this moment: (height, width, 4) uint8."""
    scene.renderer.static_image = None
    scene.renderer.update_frame(scene)
    return scene.renderer.get_frame()


def contact_sheet(
    scenes: list[type[FilmScene]], out: Path, theme: Theme, columns: int = 4, shape: str = "16x9"
) -> Path:
    """Every scene's beats as one PNG: a scene begins a new row. Written beside, then renamed."""
    gap, rows = 8, list[list[Image.Image]]()
    for scene_class in scenes:
        frames = list[Image.Image]()

        def keep(scene: FilmScene, into: list[Image.Image] = frames) -> None:
            into.append(Image.fromarray(frame_of(scene)).convert("RGB"))

        walk(scene_class, keep, **({} if shape == "16x9" else {"width": 540, "height": 960}))
        rows += [frames[first : first + columns] for first in range(0, len(frames), columns)]
    width, height = rows[0][0].size
    size = (gap + columns * (width + gap), gap + len(rows) * (height + gap))
    sheet = Image.new("RGB", size, PALETTES[theme].grid)
    for down, row in enumerate(rows):
        for across, frame in enumerate(row):
            sheet.paste(frame, (gap + across * (width + gap), gap + down * (height + gap)))
    about = PngInfo()
    about.add_text("Software", "Glasstune")
    with whole(out) as part:
        sheet.save(part, "PNG", pnginfo=about)
    return out
