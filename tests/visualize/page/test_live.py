"""A training is watched while it goes on: from its folder alone, at an address that only its link opens, at no cost."""

import base64
import gzip
import http.client
import json
import re
import shutil
import socket
from argparse import Namespace
from threading import Event, Thread

import numpy as np
import pytest

from engine.errors import InputError
from engine.recording import live as recording_live
from engine.recording.lock import lock, unlock
from engine.run.format import capture_path
from engine.run.run import Run
from engine.training.finetune import finetune
from engine.training.methods import LoRA
from tests.engine.small import BRIEF
from tests.visualize.page.browser import until
from visualize.commands import watch
from visualize.page import live, serve
from visualize.page.following import Following

SLOW = 300_000  # milliseconds, where others want the machine too


class Growing:
    """A run that grows as its writer would let it: `until(step)`, then `finish()`."""

    def __init__(self, whole: Run, folder) -> None:
        self.whole, self.folder = whole, folder
        (folder / "captures").mkdir(parents=True)
        self.info = json.loads((whole.path / "run.json").read_text(encoding="utf-8"))
        self.say("running")
        self.held = lock(folder)
        for name in ("start.safetensors",):
            if (whole.path / name).exists():
                shutil.copy(whole.path / name, folder / name)
        self.until(0)

    def say(self, status):
        (self.folder / "run.json").write_text(json.dumps({**self.info, "status": status}), encoding="utf-8")

    def until(self, last):
        for step in [step for step in self.whole.steps if step <= last]:
            shutil.copy(capture_path(self.whole.path, step), capture_path(self.folder, step))
        for name in ("metrics", "answers", "norms"):
            lines = (self.whole.path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= last]
            (self.folder / f"{name}.jsonl").write_text("".join(kept), encoding="utf-8")

    def finish(self):
        self.until(10**9)
        self.say("finished")
        unlock(self.folder, self.held)


@pytest.fixture
def growing(lora_run, tmp_path):
    one = Growing(lora_run, tmp_path / "grows")
    yield one
    one.held.release()


def tensors_of(message):
    """What a message's piece holds, read as `source.js` does."""
    content, found, at = gzip.decompress(base64.b64decode(message["text"])), {}, 0
    for name, kind, shape in message["tensors"]["tensors"]:
        size = int(np.prod(shape)) * {"f16": 2, "f32": 4}[kind]
        planes = np.frombuffer(content[at : at + size], np.uint8).reshape(-1, int(np.prod(shape)))
        found[name] = np.ascontiguousarray(planes.T).view({"f16": "<f2", "f32": "<f4"}[kind]).reshape(shape)
        at += size
    return found


def test_what_is_new_is_told_once_and_as_it_was_written(growing, lora_run):
    following = Following(growing.folder)
    assert not following.look() and following.since(following.version, 0) is None
    version, second = following.version, lora_run.steps[2]
    growing.until(second)
    assert following.look()
    message = following.since(version, 0)
    assert message["step"] == second  # the one before comes with the run's page, when training has ended
    module = lora_run.modules[3]
    factors, found = lora_run.factors(module, second), tensors_of(message)
    assert np.array_equal(found[f"{module}#A"], factors.A.astype(np.float16))
    assert np.allclose(found[f"{module}#B"], factors.B * factors.scaling, atol=1e-3)
    told = message["told"]
    assert told["captured"][-1] == second and told["norms"]["steps"][-1] == second
    assert following.since(message["version"], second) is None
    assert "step" not in following.since(version, second), "its weights are there already"
    assert following.goes_on
    growing.finish()
    following.look()
    assert not following.goes_on


def test_a_training_that_was_killed_does_not_go_on(growing):
    following = Following(growing.folder)
    assert following.goes_on
    growing.held.release()  # as the system does
    assert not following.goes_on
    following.close()
    assert following.told["status"] == "stopped"


def test_of_more_steps_than_there_is_room_for_some_are_left_out_evenly(growing, lora_run):
    following = Following(growing.folder)
    growing.finish()
    following.look()
    everything = following.page()
    following.most = following._base.size + 3 * len(following._piece(lora_run.steps[-1])["text"])
    manifest, pieces = pieces_of(following.page())
    (told,) = manifest["runs"]
    kept = told["steps"]
    assert kept[0] == lora_run.steps[0] and kept[-1] == lora_run.steps[-1]
    assert 2 <= len(kept) < len(lora_run.steps) == len(pieces_of(everything)[0]["runs"][0]["steps"])
    assert sum(map(len, pieces)) <= following.most
    for step, listed in zip(kept, told["pieces"], strict=True):
        module = lora_run.modules[0]
        found = tensors_of({"text": pieces[listed["piece"]], "tensors": listed})
        assert np.array_equal(found[f"{module}#A"], lora_run.factors(module, step).A.astype(np.float16))


def test_when_more_is_trained_the_page_is_opened_anew_once_and_holds_it(growing, lora_run):
    whole = growing.info
    name = lora_run.modules[0]
    growing.info = {**whole, "modules": {one: about for one, about in whole["modules"].items() if one != name}}
    growing.say("running")
    following = Following(growing.folder)
    version = following.version
    growing.info = whole  # it is unfrozen
    growing.say("running")
    growing.until(lora_run.steps[1])
    following.look()
    assert following.since(version, 0)["again"]
    manifest, pieces = pieces_of(following.page())
    listed = manifest["runs"][0]["pieces"][-1]
    assert f"{name}#A" in tensors_of({"text": pieces[listed["piece"]], "tensors": listed})
    version = manifest["training"]["version"]
    growing.until(lora_run.steps[2])
    following.look()
    assert following.since(version, lora_run.steps[1])["step"] == lora_run.steps[2]


def test_weights_that_cannot_be_read_are_not_told_and_the_rest_is(growing, lora_run):
    following = Following(growing.folder)
    version = following.version
    growing.until(lora_run.steps[1])
    following.look()
    capture_path(growing.folder, lora_run.steps[1]).write_bytes(b"half")
    message = following.since(version, 0)
    assert message["told"]["captured"][-1] == lora_run.steps[1] and "step" not in message


def pieces_of(page):
    """The manifest of a page, and the texts of all its pieces."""
    texts = re.findall(r'id="piece-\d+">([^<]*)<', page)
    return json.loads(gzip.decompress(base64.b64decode(texts[0]))), texts


def test_weights_that_are_all_trained_come_as_they_changed(full_run, tmp_path):
    growing = Growing(full_run, tmp_path / "full")
    following = Following(growing.folder)
    growing.until(full_run.steps[1])
    following.look()
    message = following.since(0, 0)
    name = full_run.modules[0]
    delta = full_run.delta(name, full_run.steps[1])
    assert np.allclose(tensors_of(message)[name], delta, rtol=1e-3, atol=1e-7)
    growing.finish()


# --- at an address ----------------------------------------------------------------------------------------


@pytest.fixture
def served(growing):
    listening, left = socket.create_server((serve.HOST, 0)), Event()
    thread = Thread(target=serve.serve, args=(growing.folder, listening, "the-token", left), daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    left.set()


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": f"127.0.0.1:{port}", **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_only_its_link_opens_it(served):
    answer, text = get(served, "/the-token/")
    assert answer.status == 200 and "glasstune-door" in text and "connect-src 'self'" in text
    assert answer.getheader("Cache-Control") == "no-store" and answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    for path in ("/", "/the-token", "/other/", "/the-token/other", "/the-token/../the-token/", "/%C3%A9/"):
        refused, said = get(served, path)
        assert refused.status == 404 and "the-token" not in said
    for headers in (
        {"Host": "evil.example"}, {"Host": f"evil.example:{served}"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ):  # fmt: skip
        for path in ("/the-token/", "/the-token/news"):
            assert get(served, path, **headers)[0].status == 404
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert get(served, "/the-token/", **followed)[0].status == 200  # a link on another page, Jupyter's for one
    assert get(served, "/the-token/news", **followed)[0].status == 404
    for other in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}, {"Origin": "http://evil.example"}):
        assert get(served, "/the-token/", **followed | other)[0].status == 404
    own = {"Origin": f"http://127.0.0.1:{served}", "Sec-Fetch-Site": "same-origin"}
    assert get(served, "/the-token/news", **own)[0].status == 200


def test_news_are_told_as_soon_as_there_are_some_and_the_end_to_whoever_does_not_look(growing, served, lora_run):
    news = json.loads(get(served, "/the-token/news?version=0&step=0")[1])
    assert news["told"]["status"] == "running" and "step" not in news and news["cost"] >= 0
    found = {}

    def ask(name, hidden):
        found[name] = json.loads(get(served, f"/the-token/news?version={news['version']}&step=0&hidden={hidden}")[1])

    asking = [Thread(target=ask, args=("seen", 0)), Thread(target=ask, args=("hidden", 1))]
    for thread in asking:
        thread.start()
    growing.until(lora_run.steps[2])
    asking[0].join()
    assert found["seen"]["step"] == lora_run.steps[2] and "hidden" not in found
    growing.finish()
    asking[1].join()
    assert found["hidden"].get("again")
    assert json.loads(get(served, "/the-token/news?version=" + "9" * 5000 + "&step=-1&hidden=%C2%B2")[1])["again"]


def test_a_killed_training_is_called_stopped_and_one_that_is_resumed_goes_on(growing, served, lora_run):
    growing.held.release()  # as the system does
    assert json.loads(get(served, "/the-token/news?version=1&step=0")[1])["again"]
    (told,) = pieces_of(get(served, "/the-token/")[1])[0]["runs"]
    assert told["status"] == "stopped"
    growing.held = lock(growing.folder)
    growing.until(lora_run.steps[1])
    manifest, _ = pieces_of(get(served, "/the-token/")[1])
    assert manifest["training"] and manifest["runs"][0]["status"] == "running"
    assert manifest["runs"][0]["steps"][-1] == lora_run.steps[1]


def test_a_file_that_is_just_put_in_its_place_costs_no_final_page(growing, served, monkeypatch):
    growing.finish()
    real, tries = Following.final, []

    def final(self):
        tries.append(None)
        if len(tries) == 1:
            raise FileNotFoundError(2, "No such file", "model.part")
        return real(self)

    monkeypatch.setattr(Following, "final", final)
    get(served, "/the-token/news?version=1&step=0")
    assert json.loads(get(served, "/the-token/news?version=1&step=0")[1])["again"] and len(tries) == 2


def test_a_training_whose_folder_is_taken_away_is_called_stopped_and_asked_no_more(growing, served):
    assert get(served, "/the-token/")[0].status == 200
    growing.held.release()
    shutil.rmtree(growing.folder)
    news = json.loads(get(served, "/the-token/news?version=1&step=0")[1])
    assert news["told"]["status"] == "stopped" and "again" not in news


def test_the_address_answers_to_this_machine_alone(served):
    with socket.socket() as other:
        other.settimeout(2)
        mine = socket.gethostbyname_ex(socket.gethostname())[2]
        for address in {one for one in mine if not one.startswith("127.")}:
            with pytest.raises(OSError):
                other.connect((address, served))


def test_the_page_follows_and_becomes_the_runs_page(browser, growing, served, lora_run):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    # On a machine of many cores: with fewer, the page rests for seconds after it has shown something.
    context.add_init_script("Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 64 })")
    page, wrong = context.new_page(), []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"http://127.0.0.1:{served}/the-token/", timeout=SLOW)
    page.wait_for_selector("[data-whole]", timeout=SLOW)
    assert page.locator("button[role=tab]").all_inner_texts() == ["Touch it", "Overview"]
    for step in lora_run.steps[1:3]:
        growing.until(step)
        until(page, f"document.querySelector('.when').textContent === 'step {step}'")
    assert f"step {step} of" in page.locator(".going").inner_text()
    page.locator("#scrub").focus()
    page.keyboard.press("ArrowLeft")  # who goes back stays there
    back = lora_run.steps[1]
    until(page, f"document.querySelector('.when').textContent === 'step {back}'")
    growing.until(lora_run.steps[4])
    until(page, f"document.querySelector('.going').textContent.includes('step {lora_run.steps[4]} of')")
    assert page.locator(".when").inner_text() == f"step {back}"
    page.get_by_role("tab", name="Overview").click()
    loss = page.locator(".report .chart details").first
    loss.locator("summary").click()  # what is opened stays open while more comes
    growing.until(lora_run.steps[6])
    until(
        page,
        f"[...document.querySelectorAll('.chart tbody th')].some((one) => one.textContent === '{lora_run.steps[6]}')",
    )
    page.get_by_role("tab", name="Touch it").click()
    growing.finish()
    page.locator("#tab-train").wait_for(timeout=SLOW)
    page.wait_for_selector("[data-whole]", timeout=SLOW)
    assert page.locator(".when").inner_text() == f"step {back}"
    assert page.locator(".going").is_hidden()
    context.close()
    assert not wrong, wrong


def test_a_folder_in_which_nothing_is_trained_is_said_before_anything_listens(tmp_path):
    with pytest.raises(InputError, match="holds no run yet"):
        watch.COMMAND.run(Namespace(run=tmp_path, port=0))
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json"):
        watch.COMMAND.run(Namespace(run=tmp_path, port=0))


def test_a_run_that_cannot_be_read_is_said_at_its_address_until_it_can(growing, served):
    (growing.folder / "run.json").write_text("{", encoding="utf-8")
    for path in ("/the-token/", "/the-token/news"):
        answer, said = get(served, path)
        assert answer.status == 503 and answer.getheader("Content-Type") == "text/plain; charset=utf-8"
        assert "run.json" in said and said.count("\n") == 1
    growing.say("running")
    assert get(served, "/the-token/")[0].status == 200


# --- from a training --------------------------------------------------------------------------------------


def test_watching_changes_nothing_and_ends_when_nobody_looks(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(live.terminal, "note", said.append)
    monkeypatch.setattr(recording_live, "entry_points", lambda group: [Entry()])
    asked = {**BRIEF, "steps": 3, "batch_size": 4}
    alone = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "alone", **asked)
    watched = finetune("embedded", "spanish", LoRA(r=2), out=tmp_path / "watched", live=True, **asked)
    for module in alone.modules:
        assert np.array_equal(alone.delta(module), watched.delta(module))
    (link,) = [text.removeprefix("watch it: ") for text in said]
    port, token = int(link.split(":")[2].split("/")[0]), link.split("/")[3]
    answer, text = get(port, f"/{token}/")
    assert answer.status == 200 and "lora on Spanish" in text
    server = live._beside[-1]
    shutil.rmtree(watched.path)  # nothing is left to look at
    assert server.wait(timeout=60) == 0


class Entry:
    def load(self):
        return live.show


def test_without_what_shows_it_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(recording_live, "entry_points", lambda group: [])
    with pytest.raises(InputError, match="install it again"):
        finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=1, live=True, progress=False)
    assert not (tmp_path / "run").exists()


def test_what_goes_wrong_with_showing_is_said_and_training_goes_on(tmp_path, monkeypatch, capsys):
    def broken(folder):
        raise OSError("no more ports")

    monkeypatch.setattr(recording_live, "find_show", lambda: broken)
    monkeypatch.setattr("engine.recording.recorder.find_show", lambda: broken)
    run = finetune("embedded", "spanish", "lora", out=tmp_path / "run", steps=2, skills=0, answers=False, live=True,
                   progress=False)  # fmt: skip
    assert run.status == "finished"
    assert "cannot be watched, and goes on: OSError: no more ports" in capsys.readouterr().err
