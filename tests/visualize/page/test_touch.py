"""A run can be touched: scrubbed, pointed at, muted, asked, linked to, taken along, by keyboard and by finger."""

import json

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
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert "change" in page.locator(".tip").inner_text()
        for _ in range(12):
            page.keyboard.press("+")
        canvas.screenshot()  # its cells carry numbers now


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
        part.click()
        until(page, "location.hash.includes('%230')")  # a link to just this component off
        assert part.get_attribute("aria-pressed") == "false"
        norm = page.locator(".matrix .what").first.inner_text()
        module = page.locator(".matrix select").input_value()
        from engine.measure import singular_values

        left = float((singular_values(lora_run, module)[1:] ** 2).sum() ** 0.5)
        assert float(norm.split("now: ")[1].rstrip(".")) == pytest.approx(left, rel=0.02, abs=1e-3)


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


def test_the_address_is_the_state(browser, lora_page, lora_run):
    step, module = lora_run.steps[3], lora_run.modules[5]
    address = f"#step={step}&module={module}&strength=0.5&view=signed&theme=light&off={lora_run.modules[0]}"
    with opened(browser, lora_page, address) as page:
        shown_step(page, step)
        assert page.locator(".matrix select").input_value() == module
        assert page.locator("#strength").input_value() == "0.5"
        assert page.locator(".glasstune").get_attribute("data-theme") == "light"
        assert page.locator(f"button[data-module='{lora_run.modules[0]}']").get_attribute("aria-pressed") == "false"
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
        assert "expected" in got.value.path().read_text(encoding="utf-8").splitlines()[0]


def test_each_component_is_taken_out_and_every_skill_graded_again(browser, lora_page, lora_run):
    with opened(browser, lora_page) as page:
        page.get_by_role("button", name="Take each out in turn").click()
        until(page, "document.querySelector('.knockout .what').textContent.startsWith('Done')", seconds=240)
        rows = page.locator(".knockouts tbody tr")
        rank = lora_run.info.modules[lora_run.modules[0]].r
        assert rows.count() == 1 + rank
        whole = rows.first.inner_text()
        assert whole.startswith("nothing out") and whole.count("%") > 10
        rows.nth(1).get_by_role("button").click()
        until(page, "document.querySelector('button.component').getAttribute('aria-pressed') === 'false'")


def test_the_overview_of_two_runs_stands_side_by_side(browser, both_page):
    with opened(browser, both_page, "#room=overview") as page:
        reports = page.locator("article.report")
        assert reports.count() == 2
        assert "lora on Spanish" in reports.nth(0).inner_text()
        assert "rounded" in reports.nth(1).inner_text()
        page.get_by_role("tab", name="Touch it").click()
        prompt = page.locator("#prompt").input_value()
        lora = answered(page, prompt)
        page.locator(".which select").select_option("1")
        until(page, "document.querySelector('.modules').textContent.includes('outside')")
        page.locator("#mix").fill("1")  # all of the other run: that is the first one's answer
        says(page, prompt, lora)


@pytest.mark.parametrize("width", [360, 1920])
def test_nothing_is_wider_than_the_screen(browser, lora_page, width):
    with opened(browser, lora_page, viewport={"width": width, "height": 740}, has_touch=width < 500) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width < 500:
            box = page.locator(".map canvas").bounding_box()
            page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
            assert "change" in page.locator(".tip").inner_text()
