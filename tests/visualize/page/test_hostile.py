"""Text of a run is data: whatever it holds, nothing of it becomes markup or script, and nothing leaves the page."""

import json
import re
import shutil

import pytest

from engine.run.run import Run
from tests.visualize.page.browser import opened, until
from visualize.page import write_page

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u2028\u2029</style>{{script}}<!-- script -->"  # fmt: skip


def poisoned(record, *keys):
    return {key: value + EVIL if key in keys and isinstance(value, str) else value for key, value in record.items()}


@pytest.fixture(scope="module")
def evil_page(lora_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil") / "a<b>&'\""
    shutil.copytree(lora_run.path, folder)
    info = poisoned(json.loads((folder / "run.json").read_text(encoding="utf-8")), "command", "created")
    info["model"] = poisoned(info["model"], "name")
    info["data"] = poisoned(info["data"], "name")
    info["versions"] = poisoned(info["versions"], *info["versions"])
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = [poisoned(line, "skill", "prompt", "expected", "answer") for line in answers]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers), encoding="utf-8")
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in metrics:
        for kind in ("exact", "loss"):
            if isinstance(line.get(kind), dict):
                line[kind] = {name + EVIL: value for name, value in line[kind].items()}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics), encoding="utf-8")
    return write_page(Run.load(folder), folder.parent / "evil.html")


@pytest.mark.parametrize("room", ["touch", "train", "overview"])
def test_a_hostile_run_scripts_nothing(browser, evil_page, room):
    with opened(browser, evil_page, f"#room={room}&prompt={'%3Cimg src=x onerror=alert(1)%3E'}") as page:
        until(page, "document.querySelector('#room').textContent.length > 100")
        for details in page.locator("details").all():
            details.evaluate("(one) => (one.open = true)")
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
        assert not page.title().startswith("owned")
        assert page.evaluate("document.querySelectorAll('script:not([type])').length") == 1
        if room == "overview":
            assert "onerror" in page.locator("#room").inner_text()  # it is there, as text


def test_the_file_itself_allows_one_script_and_no_address(evil_page):
    text = evil_page.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    assert "onerror" not in re.sub(r"<title>.*?</title>", "", text, flags=re.S)
    assert not re.search(r"""(?:src|href)=["']?https?:""", text)
    assert text.count("<script") == text.count("</script>")
