"""Where does the page's moving picture come from? `python scripts/page_picture.py` photographs a run's page.

    python scripts/page_picture.py                      # the films' LoRA run -> docs/pictures/page.webp
    python scripts/page_picture.py runs/mine out.webp   # another run's

A picture a captured step, at the page's own address (`#step=...`), in headless Chromium.
"""

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from animations.studio.runs import film_run
from benchmarks.browser import FLAGS
from engine.run.run import Run
from visualize.page import write_page

OUT = Path(__file__).parent.parent / "docs" / "pictures" / "page.webp"
SIZE, WIDTH = (1280, 800), 1000
MOST = 18  # pictures; about two seconds a round trip, and half a megabyte
SHOWN, HELD = 450, 2500  # milliseconds: of each, and of the last


def photographed(page_file: Path, steps: list[int]) -> list[Image.Image]:
    """The first screen at each of these steps, once its answer stands."""
    pictures = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(
            viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark", reduced_motion="reduce"
        )
        for step in steps:
            page.goto("about:blank")  # another part of the same address alone would not open the page again
            page.goto(f"{page_file.as_uri()}#step={step}")
            page.wait_for_selector("[data-whole]", timeout=60_000)  # every step is unpacked
            page.wait_for_timeout(1000)  # and its answers are there
            picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
            pictures.append(picture.resize((WIDTH, WIDTH * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS))
        browser.close()
    return pictures


def main() -> None:
    run = Run.load(sys.argv[1]) if len(sys.argv) > 1 else film_run("lora")
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else OUT
    with tempfile.TemporaryDirectory() as folder:
        made = write_page([run], Path(folder) / "page.html")
        steps = run.steps[:: max(1, len(run.steps) // (MOST - 1))] + run.steps[-1:]  # of each the nearest that is held
        first, *others = photographed(Path(made or Path(folder) / "page.html"), sorted(set(steps)))
    durations = [SHOWN] * len(others) + [HELD]
    first.save(out, save_all=True, append_images=others, duration=durations, loop=0, quality=60, method=6)
    print(f"{out}: {1 + len(others)} pictures, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
