"""The page in a notebook: its traits are the page's state, and without a kernel it is a frame or a picture."""

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from engine.errors import InputError
from lessons.handout.notebooks import stand_alone
from tests.visualize.page.browser import until
from visualize.page import show_page
from visualize.page.widget import PageWidget

SLOW = 300_000  # milliseconds, where others want the machine too
SCRIPT = Path(__file__).parents[3] / "visualize" / "page" / "widget.js"

# As anywidget has it: a model with get, set, on, off, save_changes; `sent` is what went to the kernel.
MODEL = """async () => {
    const [script, html, values] = window.given;
    const { default: widget } = await import(`data:text/javascript;base64,${script}`);
    const bytes = Uint8Array.from(atob(html), (one) => one.charCodeAt(0));
    const state = { ...values, html: new DataView(bytes.buffer) }, told = {};
    window.sent = [];
    window.model = {
        get: (name) => state[name],
        set: (name, value) => {
            const changed = state[name] !== value;
            state[name] = value;
            if (changed) told[`change:${name}`]?.forEach((act) => act()); // as Backbone does, at once
        },
        on: (name, act) => ((told[name] ??= new Set()).add(act)),
        off: (name, act) => told[name].delete(act),
        save_changes: () => window.sent.push({ step: state.step, module: state.module, strength: state.strength }),
    };
    window.fromKernel = (name, value) => { state[name] = value; told[`change:${name}`].forEach((act) => act()); };
    window.listeners = () => Object.values(told).reduce((sum, one) => sum + one.size, 0);
    window.close_ = widget.render({ model: window.model, el: document.body });
}"""


@pytest.fixture(scope="module")
def widget(lora_run):
    return show_page(lora_run, step=lora_run.steps[2])


def inside(page):
    """The page's frame itself: a locator of it would carry its ten megabytes along with each question."""
    until(page, "document.querySelector('iframe')")
    return page.frames[1]


def test_step_module_and_strength_are_shared_with_the_page(browser, widget, lora_run, tmp_path):
    page = browser.new_context(offline=True, viewport={"width": 1000, "height": 900}).new_page()
    page.set_default_timeout(SLOW)
    wrong = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    values = {name: getattr(widget, name) for name in ("step", "module", "strength", "height")}
    given = [*(base64.b64encode(one).decode() for one in (SCRIPT.read_bytes(), widget.html)), values]
    (tmp_path / "host.html").write_text(f"<script>window.given = {json.dumps(given)}</script>", encoding="utf-8")
    page.goto((tmp_path / "host.html").as_uri())
    page.evaluate(MODEL)
    frame = inside(page)
    frame.locator("[data-whole]").wait_for(timeout=SLOW)
    frame.locator(".when", has_text=f"step {lora_run.steps[2]}").first.wait_for(timeout=SLOW)
    # from Python
    module = lora_run.modules[4]
    page.evaluate(
        f"fromKernel('step', {lora_run.steps[5]}), fromKernel('module', '{module}'), fromKernel('strength', 0.5)"
    )
    frame.locator(".when", has_text=f"step {lora_run.steps[5]}").first.wait_for(timeout=SLOW)
    until(frame, f"document.querySelector('.matrix select').value === '{module}'")
    until(frame, "document.querySelector('#strength').value === '0.5'")
    # from the reader
    frame.locator("#scrub").press("ArrowRight")
    until(page, f"sent.at(-1)?.step === {lora_run.steps[6]} && sent.at(-1).module === '{module}'")
    for _ in range(4):  # faster than what is said could come back
        frame.locator("#scrub").press("ArrowRight", no_wait_after=True)
    until(page, f"sent.at(-1).step === {lora_run.steps[10]}")
    page.wait_for_timeout(500)
    assert page.evaluate("model.get('step')") == lora_run.steps[10]
    assert frame.locator(".when").first.inner_text() == f"step {lora_run.steps[10]}"
    page.evaluate("fromKernel('step', 1000000)")  # which stands for the last: the kernel is told so
    until(page, f"model.get('step') === {lora_run.steps[-1]}")
    assert frame.locator(".when").first.inner_text() == f"step {lora_run.steps[-1]}"
    assert frame.locator("header", has_text="Copy link").count() == 0  # a frame has no address to link to
    page.evaluate("close_()")
    assert page.evaluate("listeners()") == 0
    page.context.close()
    assert not wrong, wrong


def test_python_cannot_set_what_the_run_has_not(widget, lora_run):
    for name, value, said in (
        ("step", 10**6, "not captured"), ("module", "model.nowhere", "no module called"), ("strength", 3.0, "-1 to 2"),
    ):  # fmt: skip
        before = getattr(widget, name)
        with pytest.raises(InputError, match=said):
            setattr(widget, name, value)
        assert getattr(widget, name) == before
    with pytest.raises(InputError, match="not captured"):
        show_page(lora_run, step=-1)
    with pytest.raises(InputError, match="at least one run"):
        show_page([])


@pytest.fixture
def notebook(widget):
    data, metadata = widget._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("show_page(run)", outputs=[output])
    made = nbformat.v4.new_notebook(cells=[cell])
    view, state = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
    of = {"state": {"layout": "IPY_MODEL_abc"}}
    made.metadata["widgets"] = {state: {"state": {data[view]["model_id"]: of, "abc": {}, "other": {}}}}
    return made


def test_without_a_kernel_it_is_the_page_in_a_frame(browser, notebook, tmp_path):
    stand_alone(notebook)
    (states,) = notebook.metadata["widgets"].values()
    assert list(states["state"]) == ["other"]
    html, _ = HTMLExporter().from_notebook_node(notebook)
    file = tmp_path / "notebook.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_context(offline=True).new_page()
    page.goto(file.as_uri(), wait_until="domcontentloaded", timeout=SLOW)
    frame = inside(page)
    frame.locator("[data-whole]").wait_for(timeout=SLOW)
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts allow-downloads"
    page.context.close()


def test_where_frames_are_taken_out_a_picture_is_left(notebook):
    data = notebook.cells[0].outputs[0].data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    left = re.sub(r"<iframe.*?</iframe>", "", data["text/html"], flags=re.S)
    assert 'src="data:image/png;base64,' in left
    assert data["text/plain"] == "the page of lora on spanish"


def test_without_anywidget_one_sentence_says_what_to_install(lora_run, monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "visualize.page.widget")
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(InputError, match=r"show_page needs anywidget.*glasstune\[notebook\]"):
        show_page(lora_run)
    assert PageWidget
