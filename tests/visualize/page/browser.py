"""One browser for all tests of the page: Debian's Chromium, offline. A page that says, asks or breaks anything fails."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Frame, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the run page is tested in Chromium; `make setup` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, address: str = "", **options: Any) -> Iterator[Page]:
    """The page of a file, loaded whole. Fails if it logs an error or asks for anything but itself and its workers."""
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", "reduced_motion": "reduce"} | options
    context = browser.new_context(offline=True, **options)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "blob:")) else wrong.append(asked.url))
    page.goto(file.as_uri() + address)
    page.wait_for_selector("[data-whole], .opening[role=alert]", timeout=60_000)
    yield page
    context.close()
    assert not wrong, wrong


def until(page: Page | Frame, expression: str, arg: Any = None, seconds: float = 30) -> Any:
    """What `expression` comes to, once it is true. Playwright's own waiting evaluates text, which the page forbids."""
    end, pause = time.monotonic() + seconds, 20.0  # milliseconds; asking takes the processor from what is waited for
    while not (value := page.evaluate(expression, arg)):
        assert time.monotonic() < end, f"never came true: {expression}"
        page.wait_for_timeout(pause)
        pause = min(1.5 * pause, 250)
    return value


def says(page: Page, prompt: str, answer: str) -> None:
    """Wait until the tuned model says just this; what it said on the way there, at other steps, does not count."""
    asked = """([prompt, answer]) => {
        const said = JSON.parse(document.querySelector(".question").dataset.answered ?? "[]");
        return said[0] === prompt && said[1] === answer;
    }"""
    until(page, asked, [prompt, answer])


def answered(page: Page, prompt: str, other_than: str | None = None) -> str:
    """What the tuned model says to a prompt, once it has said so (anything but `other_than`)."""
    asked = """([prompt, other]) => {
        const said = JSON.parse(document.querySelector(".question").dataset.answered ?? "[]");
        return said[0] === prompt && said[1] !== null && said[1] !== other && [said[1]];
    }"""
    return until(page, asked, [prompt, other_than])[0]
