"""A run can be touched: scrubbed, pointed at, muted, asked, linked to, taken along, by keyboard and by finger."""

import base64
import csv
import gzip
import json
import math
import re

import pytest

from tests.visualize.page.browser import answered, opened, says, until

STEP = "document.querySelector('.map').dataset.step"


def shown_step(page, step):
    until(page, f"{STEP} === '{step}'")


def test_the_browser_computes_what_torch_computes(browser, lora_page):
    with opened(browser, lora_page) as page:
        until(page, "Object.keys(JSON.parse(document.querySelector('footer').dataset.parity ?? '{}')).length === 2")
        found = json.loads(page.locator("footer").get_attribute("data-parity"))
    assert found["the base"]["furthest"] < 1e-4
    assert found["the base"]["same"] == found["the base"]["count"] == 4
    # factors are in half precision
    assert found["lora on Spanish"]["furthest"] < 0.05
    assert found["lora on Spanish"]["same"] == 4


def test_everything_follows_the_scrubber(browser, lora_page, lora_run):
    first, last = lora_run.steps[0], lora_run.steps[-1]
    with opened(browser, lora_page) as page:
        shown_step(page, last)
        assert page.locator(".where output.when").inner_text() == f"step {last}"
        answers = lora_run.answers
        prompt = page.locator("#prompt").input_value()
        captured = answers[(answers.prompt == prompt)].set_index("step")["answer"]
        says(page, prompt, captured[last])
        page.locator("#scrub").focus()
        page.keyboard.press("ArrowLeft")
        shown_step(page, lora_run.steps[-2])
        for _ in lora_run.steps:
            page.keyboard.press("ArrowLeft")
        shown_step(page, first)
        assert page.locator(".where output.when").inner_text() == "before training"
        says(page, prompt, captured[first])
        lit = "[...document.querySelectorAll('.component')].length"
        assert page.evaluate(lit) == 0  # nothing has moved, so there is no component


def test_a_link_to_an_early_step_shows_what_was_said_then(browser, lora_page, lora_run):
    """The last step is unpacked first; what it says must not stand under another step's name."""
    first = lora_run.steps[0]
    with opened(browser, lora_page, f"#step={first}") as page:
        shown_step(page, first)
        prompt = page.locator("#prompt").input_value()
        captured = lora_run.answers[lora_run.answers.prompt == prompt].set_index("step")["answer"]
        assert captured[first] != captured[lora_run.steps[-1]]
        says(page, prompt, captured[first])
        assert page.locator(".question h3").last.inner_text() == "before training"


def test_a_step_that_the_page_does_not_hold_is_the_one_before_it(browser, lora_page, lora_run):
    """The weights, the timeline and the answer are of one step, and all say so."""
    held = lora_run.steps[-1]
    with opened(browser, lora_page, f"#step={held + 7}") as page:
        shown_step(page, held)
        assert page.locator(".where output.when").inner_text() == f"step {held}"
        assert page.locator(".question h3").last.inner_text() == f"step {held}"


def test_a_weight_says_what_it_was_is_and_became(browser, lora_page, lora_run):
    module = "model.layers.0.self_attn.q_proj"
    with opened(browser, lora_page) as page:
        canvas = page.locator(".map canvas")
        canvas.focus()
        for _ in range(60):
            page.keyboard.press("ArrowRight")
            text = page.locator("#map-reading").text_content()
            if text.startswith("layer 0 · q"):
                break
        weight, delta = lora_run.weight(module)[0, 0], lora_run.delta(module)[0, 0]
        assert f"before {weight:.3g}".replace("-", "−")[:9] in text
        numbers = [float(part.split(" ")[1].replace("−", "-").replace("+", "")) for part in text.split(", ")[-3:]]
        assert numbers == pytest.approx([weight, delta, weight + delta], rel=2e-3, abs=1e-6)
        box, tip = canvas.bounding_box(), page.locator(".tip")
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()  # pressed here, let go elsewhere: that is over
        page.mouse.move(middle[0], box["y"] - 30)
        page.mouse.up()
        page.mouse.move(*middle)
        # It stays with the step that is shown, and with what is set.
        where = tip.locator("b").inner_text()
        at = [int(one) for one in where.split("[")[1].rstrip("]").split(",")]
        named = dict(page.evaluate(NAMED))
        delta = [float(lora_run.delta(named[where.split(" [")[0]], step)[tuple(at)]) for step in lora_run.steps[-2:]]
        assert told_change(page) == pytest.approx(delta[1], rel=2e-2, abs=1e-6)
        page.locator("#scrub").press("ArrowLeft")
        shown_step(page, lora_run.steps[-2])
        assert told_change(page) == pytest.approx(delta[0], rel=2e-2, abs=1e-6)
        page.locator("#hero-strength").fill("0.5")
        until(page, "document.querySelector('.where output[for=hero-strength]').textContent === '0.5'")
        assert told_change(page) == pytest.approx(delta[0] / 2, rel=2e-2, abs=1e-6)
        canvas.focus()
        for _ in range(12):
            page.keyboard.press("+")
        canvas.screenshot()  # its cells carry numbers now


NAMED = "[...document.querySelectorAll('.matrix select option')].map((one) => [one.textContent, one.value])"


def told_change(page):
    """What the tip over the map says of a weight's change."""
    text = page.locator(".tip dd").nth(1).inner_text()
    return float(text.replace("−", "-").replace("+", ""))


def test_muting_and_strength_change_the_answers(browser, lora_page, lora_run):
    with opened(browser, lora_page) as page:
        prompt = page.locator("#prompt").input_value()
        tuned = answered(page, prompt)
        base = page.locator(".said").first.inner_text()
        page.locator("#strength").fill("0")
        as_base = answered(page, prompt, tuned)
        assert base.replace("\n", "").startswith(as_base[:3])
        page.get_by_role("button", name="all as trained").click()
        says(page, prompt, tuned)
        # every component of every module off is the base again, too
        page.evaluate("document.querySelectorAll('.modules tbody button.all').forEach((button) => button.click())")
        says(page, prompt, as_base)
        page.get_by_role("button", name="all as trained").click()
        says(page, prompt, tuned)
        part = page.locator("button.component").first
        part.press("Enter")
        until(page, "location.hash.includes('%230')")  # a link to just this component off
        assert part.get_attribute("aria-pressed") == "false"
        assert page.evaluate("document.activeElement.dataset.focus") == "component 0"  # it was made anew
        norm = page.locator(".matrix .what").first.inner_text()
        module = page.locator(".matrix select").input_value()
        from engine.measure import singular_values

        left = float((singular_values(lora_run, module)[1:] ** 2).sum() ** 0.5)
        assert float(norm.split("now: ")[1].rstrip(".")) == pytest.approx(left, rel=0.02, abs=1e-3)
        page.get_by_role("button", name="all as trained").click()  # before what was set is graded
        page.wait_for_timeout(500)
        assert "…" not in page.locator(".skills").inner_text()


def test_a_prompt_of_ones_own_and_the_runners_up(browser, lora_page):
    with opened(browser, lora_page) as page:
        page.locator("#prompt").fill("What is the capital of Spain? <b>&amp;")
        answered(page, "What is the capital of Spain? <b>&amp;")
        token = page.locator(".said.now .token").first
        assert "%" in token.get_attribute("aria-label")
        token.focus()
        assert token.locator(".other").count() == 5
        shares = [float(part.split(" ")[-2]) for part in token.locator(".other").all_inner_texts()]
        assert shares == sorted(shares, reverse=True)
        page.locator("#prompt").fill("Say egg in French.")
        answered(page, "Say egg in French.")
        said = [
            "".join(one.all_inner_texts()) for one in (side.locator(".text") for side in page.locator(".said").all())
        ]
        assert said[0] == "œuf⏎" and not any("\ufffd" in one for one in said)


def test_the_address_is_the_state(browser, lora_page, lora_run):
    step, module = lora_run.steps[3], lora_run.modules[5]
    address = f"#step={step}&module={module}&strength=0.5&view=signed&theme=light&off={lora_run.modules[0]}"
    with opened(browser, lora_page, address) as page:
        shown_step(page, step)
        assert page.locator(".matrix select").input_value() == module
        assert page.locator("#strength").input_value() == "0.5"
        assert page.locator(".glasstune").get_attribute("data-theme") == "light"
        assert page.locator(f"button[data-module='{lora_run.modules[0]}']").get_attribute("aria-pressed") == "false"
        # another link in the same tab: a step that is not held is the one before it, what it does not name is as at first
        page.evaluate(f"location.hash = 'step={lora_run.steps[-1] + 7}&room=touch&mix=0.5'")
        shown_step(page, lora_run.steps[-1])
        assert page.locator(".where output.when").inner_text() == f"step {lora_run.steps[-1]}"
        until(page, "document.querySelector('#strength').value === '1'")
        assert page.locator(".instrument button", has_text="all as trained").is_disabled()  # there is nothing to mix in
    with opened(browser, lora_page, "#step=nonsense&module=nowhere&strength=1e9&off=a,b&room=cellar&run=7") as page:
        assert page.locator("#strength").input_value() == "2"
        assert page.locator("button[role=tab][aria-selected=true]").inner_text() == "Touch it"


def test_pictures_and_tables_are_taken_along(browser, lora_page, lora_run):
    with opened(browser, lora_page, accept_downloads=True) as page:
        shown_step(page, lora_run.steps[-1])
        with page.expect_download() as got:
            page.get_by_role("button", name="Save the map as a picture").click()
        assert got.value.path().read_bytes().startswith(b"\x89PNG")
        answered(page, page.locator("#prompt").input_value())
        until(page, "document.querySelectorAll('.panel.answers tbody tr').length > 3")
        with page.expect_download() as got:
            page.locator(".answers > button", has_text="CSV").click()
        assert "expected" in got.value.path().read_text(encoding="utf-8-sig").splitlines()[0]
        assert got.value.path().read_bytes().startswith(b"\xef\xbb\xbf")  # by which a spreadsheet knows UTF-8
        assert got.value.suggested_filename == f"{lora_run.name}-answers-step-{lora_run.steps[-1]}.csv"


def test_each_component_is_taken_out_and_every_skill_graded_again(browser, lora_page, lora_run):
    with opened(browser, lora_page) as page:
        page.get_by_role("button", name="Take each out in turn").click()
        until(page, "document.querySelector('.knockout .what').textContent.startsWith('Done')", seconds=240)
        rows = page.locator(".knockouts tbody tr")
        rank = lora_run.info.modules[lora_run.modules[0]].r
        assert rows.count() == 1 + rank
        whole = rows.first.inner_text()
        assert whole.startswith("nothing out") and whole.count("%") > 10
        assert f"of step {lora_run.steps[-1]}." in page.locator(".knockout .what").inner_text()
        page.get_by_role("tab", name="Overview").click()
        page.get_by_role("button", name="Use the light theme").click()
        page.get_by_role("tab", name="Touch it").click()
        assert rows.count() == 1 + rank
        page.locator("#hero-strength").fill("0.5")  # the map is of the model as trained, and so is what a row sets
        page.locator(".modules button.cell").nth(3).click()
        rows.nth(1).get_by_role("button").click()
        until(page, "document.querySelector('button.component').getAttribute('aria-pressed') === 'false'")
        until(page, "document.querySelector('#strength').value === '1'")
        assert page.locator(".modules button.cell[aria-pressed=false]").count() == 0


def test_two_runs_are_each_what_they_are_and_the_overview_has_them_side_by_side(browser, both_page, lora_run, full_run):
    with opened(browser, both_page, "#run=1", accept_downloads=True) as page:
        # The second run's weights come last; before that, nothing is asked in its name.
        prompt = page.locator("#prompt").input_value()
        captured = full_run.answers[full_run.answers.prompt == prompt].set_index("step")["answer"]
        says(page, prompt, captured[full_run.steps[-1]])
        until(page, "Object.keys(JSON.parse(document.querySelector('footer').dataset.parity ?? '{}')).length === 3")
        found = json.loads(page.locator("footer").get_attribute("data-parity"))
        assert all(one["same"] == one["count"] == 4 for one in found.values())
        page.locator(".modules button[data-module='model.norm']").focus()
        until(page, "document.querySelector('.components').textContent === 'A vector: it has no components.'")
        assert (
            page.locator(".matrix .what").first.inner_text().startswith("A vector of 128 weights. Norm of the change")
        )
        assert page.locator(".matrix .pictures figure").count() == 0
        page.get_by_role("button", name="Take each out in turn").click()
        assert "nothing to take out" in page.locator(".knockout .what").inner_text()
        page.get_by_role("tab", name="Overview").click()
        reports = page.locator("article.report")
        until(page, "document.querySelectorAll('article.report').length === 2")
        assert "lora on Spanish" in reports.nth(0).inner_text()
        assert "rounded" in reports.nth(1).inner_text()
        with page.expect_download() as got:
            reports.nth(0).locator("section", has_text="what it forgot").get_by_role("button", name="CSV").click()
        rows = list(csv.reader(got.value.path().read_text(encoding="utf-8-sig").splitlines()))
        task = lora_run.skills[lora_run.task]
        taught = next(row for row in rows if row[0].endswith("(the task)"))
        assert [float(cell) for cell in taught[1:3]] == pytest.approx([task.iloc[0], task.iloc[-1]])
        assert all(cell == "" or math.isfinite(float(cell)) for row in rows[1:] for cell in row[1:])
        reports.nth(0).locator(".chart svg").first.click()  # its middle: a step of that run
        page.get_by_role("tab", name="Touch it").click()
        until(page, "document.querySelector('.which select').value === '0'")
        until(page, f"document.querySelector('#scrub').max === '{lora_run.steps[-1]}'")
        step = int(page.locator(".where output.when").inner_text().split(" ")[1])
        assert step in lora_run.steps and page.locator(".map").get_attribute("data-step") == str(step)
        page.locator("#scrub").press("End")
        shown_step(page, lora_run.steps[-1])
        lora = answered(page, prompt)
        page.locator(".which select").focus()
        page.locator(".which select").select_option("1")
        until(page, "document.querySelector('.modules').textContent.includes('outside')")
        assert page.evaluate("document.activeElement.dataset.focus") == "run"  # the list was made anew
        page.locator("#mix").fill("1")  # all of the other run: that is the first one's answer
        says(page, prompt, lora)


def test_where_only_pictures_are_held_what_was_captured_is_shown(browser, sketched_page, sketched_run):
    """The base is in the page and could answer: it is not the tuned model."""
    run, last = sketched_run, sketched_run.steps[-1]
    with opened(browser, sketched_page) as page:
        until(page, "document.querySelector('.answers tbody tr')")
        answers = run.answers.set_index(["step", "prompt"])
        rows = page.locator(".answers tbody tr")
        for row in rows.all()[:8]:
            cells = row.locator("th, td").all_inner_texts()
            for cell, step in zip(cells[2:4], (run.steps[0], last), strict=True):
                row_ = answers.loc[(step, cells[1])]
                told = f"{'✓' if row_.correct else '✗'} {row_.answer} ({'right' if row_.correct else 'wrong'})"
                assert cell.split() == told.split()
        assert page.locator(".answers th", has_text=f"step {last}").count() == 1
        assert page.locator("#prompt").get_attribute("readonly") is not None
        assert page.locator(".knockout").is_hidden() and page.locator("label[for=mix]").is_hidden()
        assert page.locator(".choice button", has_text="before").is_hidden()  # a mean of blocks has none
        assert page.locator(".choice button", has_text="which way").is_visible()
        page.locator(".map summary").click()  # nothing is drawn of which the page has no picture
        drawn = "[...document.querySelectorAll('.map tbody th')].map((one) => one.textContent)"
        assert sorted(until(page, f"{drawn}.length && {drawn}")) == sorted(run.modules)
        page.locator("#strength").fill("0")
        until(page, "document.querySelector('.skills h3').textContent === 'what it could do, as trained'")
        assert "…" not in page.locator(".skills").inner_text()


def test_a_model_that_this_browser_cannot_run_is_said_and_its_captured_answers_stand(browser, lora_page, lora_run):
    """As it would be of a tokenizer that the page does not know, had it been packed all the same."""
    text = lora_page.read_text(encoding="utf-8")
    packed = re.search(r'id="piece-0">([^<]*)<', text)[1]
    manifest = json.loads(gzip.decompress(base64.b64decode(packed)))
    manifest["base"]["tokenizer"]["model"]["type"] = "Unigram"
    other = base64.b64encode(gzip.compress(json.dumps(manifest).encode())).decode()
    file = lora_page.with_name("unknown.html")
    file.write_text(text.replace(packed, other), encoding="utf-8")
    with opened(browser, file) as page:
        until(page, "document.querySelector('footer').textContent.includes('does not run here: the page reads')")
        prompt = page.locator("#prompt").input_value()
        captured = lora_run.answers[lora_run.answers.prompt == prompt].set_index("step")["answer"]
        until(page, "document.querySelector('.said.now').textContent !== '…'")
        assert page.locator(".said.now").inner_text().rstrip("✓✗").strip() == captured[lora_run.steps[-1]]
        page.get_by_role("tab", name="Train it").click()
        page.get_by_role("button", name="Train", exact=True).click()
        until(page, "document.querySelector('.teach [role=alert]').textContent.startsWith('the page reads')")
        assert page.locator(".which select").count() == 0  # no run that never began


@pytest.mark.parametrize("width", [360, 1920])
def test_nothing_is_wider_than_the_screen(browser, lora_page, width):
    with opened(browser, lora_page, viewport={"width": width, "height": 740}, has_touch=width < 500) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width < 500:
            box = page.locator(".map canvas").bounding_box()
            page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
            assert "change" in page.locator(".tip").inner_text()
