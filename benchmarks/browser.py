"""How fast is the run page in a browser? Opened from a file in headless Chromium, offline, with no graphics card.

Times are the clock's, since the browser is several processes: they count only on a quiet machine.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Unmeasured
from engine.training.finetune import finetune
from visualize.page import write_page

TITLE = "The run page in a browser: size, opening, scrubbing, answers, training"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
REPEATS, STEPS = 5, 100

# Every captured step once, as fast as frames are shown: frames a second.
SCRUB = """() => new Promise((done) => {
    const range = document.querySelector("#scrub"), last = Number(range.max);
    let count = 0, began = 0;
    requestAnimationFrame(function next(time) {
        if (!count) began = time;
        if (count > 60) return done(60 / (time - began) * 1000);
        range.value = String(last * (count % 31) / 30);
        range.dispatchEvent(new Event("input"));
        count++;
        requestAnimationFrame(next);
    });
})"""
# From a prompt that was never asked to its answer on the page, both sides: milliseconds.
ANSWER = """(prompt) => new Promise((done) => {
    const field = document.querySelector("#prompt"), place = document.querySelector(".question");
    const began = performance.now();
    field.value = prompt;
    field.dispatchEvent(new Event("input"));
    requestAnimationFrame(function look() {
        const [asked, said] = JSON.parse(place.dataset.answered ?? "[]");
        if (asked === prompt && said !== null) return done(performance.now() - began);
        requestAnimationFrame(look);
    });
})"""
TRAINED = """() => {
    const said = document.querySelector(".note").textContent;
    return /^(Done|Stopped)/.test(said) && said;
}"""


def measure() -> Iterator[Figure | Unmeasured]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield Unmeasured("the run page in a browser", "playwright is not installed")
        return
    path = shutil.which("chromium")
    if path is None:
        yield Unmeasured("the run page in a browser", "there is no Chromium on this machine")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = finetune("embedded", "spanish", "lora", out=Path(folder) / "run", steps=STEPS, skills=20, progress=False)
        file = write_page(run, Path(folder) / "run.html")
        yield Figure("file of a LoRA run", "MB", [file.stat().st_size / 1e6], "at most 15")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield from _opened(browser, file)
        browser.close()


def _opened(browser: Any, file: Path) -> Iterator[Figure]:
    ready, whole, scrub, answer = [], [], [], []
    for repeat in range(REPEATS):
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page = context.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("[data-whole]", timeout=120_000)
        root = page.locator("#glasstune")
        ready.append(float(root.get_attribute("data-ready")) / 1000)
        whole.append(float(root.get_attribute("data-whole")) / 1000)
        page.wait_for_timeout(3000)  # the pictures of all steps are made meanwhile
        scrub.append(page.evaluate(SCRUB))
        page.wait_for_timeout(1000)
        answer.append(page.evaluate(ANSWER, f"What is the plural of mouse? {repeat}"))
        context.close()
    yield Figure("opened until it answers", "s", ready, "at most 2")
    yield Figure("opened until every step is there", "s", whole)
    yield Figure("scrubbing over all steps", "frames/s", scrub, "at least 30")
    yield Figure("a new prompt until both answers stand there", "ms", answer, "at most 100 for an answer of ten tokens")
    yield _trained(browser, file)


def _trained(browser: Any, file: Path) -> Figure:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{file.as_uri()}#room=train")
    page.wait_for_selector("[data-whole]", timeout=120_000)
    page.get_by_label("steps").fill("20")
    page.get_by_role("button", name="Train", exact=True).click()
    while not (said := page.evaluate(TRAINED)):
        page.wait_for_timeout(200)
    context.close()
    quickest = float(said.split("took ")[1].split(" ")[0])
    return Figure("a LoRA step on Spanish, 32 examples, quickest of 20", "ms", [quickest], "at most 300")
