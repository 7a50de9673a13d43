"""The site asks for nothing, breaks nothing, leads nowhere that is not there, and everybody can use it."""

import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from glasstune import InputError
from lessons.claims.intervals import Effect
from lessons.site.build import build_site
from lessons.site.executed import executed
from lessons.site.ledger import _picture
from tests.visualize.page.browser import opened

AXE = Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")
PHONE = {"width": 360, "height": 740}


class Found(HTMLParser):
    """The addresses and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("src", "href") and value is not None:
                self.addresses.append((tag, value))


def test_every_address_is_of_the_site_and_is_there(site):
    pages = {
        path: Found(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts
    }
    assert len(pages) > 10
    for path, found in pages.items():
        for tag, address in found.addresses:
            where = urlsplit(address)
            if where.scheme or address.startswith("//"):
                assert tag == "a" or where.scheme == "data", f"{path.name} asks for {address}"
                continue
            target = (path.parent / unquote(where.path)).resolve() if where.path else path
            assert target.is_relative_to(site.resolve()) and target.exists(), f"{path.name}: {address}"
            if where.fragment and target in pages:
                assert unquote(where.fragment) in pages[target].ids, f"{path.name}: {address}"


def test_no_answer_can_be_read_above_its_reveal(site):
    """Neither in the text nor in the attributes; what was measured is folded away."""
    text = (site / "lessons" / "small.html").read_text(encoding="utf-8")
    before, _, after = text.partition('class="reveal"')
    assert "REASON-" not in before and "HINT-" not in text.replace("HINT-CODE", "") and "WHY-NUMBER" not in text
    assert "REASON-OTHER" in after and before.rfind("<details") > before.rfind("</details")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "desk"])
@pytest.mark.parametrize("name", ["index", "lessons/small", "ledger", "teaching", "api-glasstune"])
def test_a_page_is_sound(site, browser, name, size, scheme):
    with opened(browser, site / f"{name}.html", viewport=size, color_scheme=scheme) as page:
        for box in page.query_selector_all("details"):
            box.evaluate("(box) => box.setAttribute('open', '')")
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "one has to scroll to the side"
        page.evaluate(AXE)
        faults = page.evaluate(
            "async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations"
            ".filter((one) => ['serious', 'critical'].includes(one.impact))"
            ".map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html).join(' ')}`)"
        )
        assert not faults, faults


def test_questions_are_answered_in_the_page(site, browser):
    with opened(browser, site / "lessons" / "small.html") as page:
        guess, number, choice = page.query_selector_all("form.question")
        folded = page.query_selector(".reveal").evaluate_handle("(one) => one.closest('details')")
        assert not folded.evaluate("(one) => one.open")
        guess.query_selector("input[value='0']").check()
        said = guess.query_selector(".verdict")
        assert said.inner_text().split("\n")[:3] == [
            "Measured: the other – you predicted: the one.", "Why: REASON-OTHER.", "On your guess: REASON-ONE.",
        ]  # fmt: skip
        assert folded.evaluate("(one) => one.open")
        guess.query_selector("input[value='1']").check()
        assert "as you predicted." in said.inner_text()
        box, told = number.query_selector("input"), number.query_selector(".verdict")
        for typed, answer in (("3", "Not yet. Hint: HINT-NUMBER"), ("1,000", "Right. WHY-NUMBER")):
            box.fill(typed)
            number.query_selector("button").click()
            assert told.inner_text().strip() == answer
        for _ in range(3):
            choice.query_selector("input[value='0']").check()
            choice.query_selector("button").click()
        assert choice.query_selector(".verdict").inner_text().strip() == "The answer: B"
        page.reload()
        page.wait_for_selector("[data-whole]", state="attached")
        assert "as you predicted." in page.query_selector("form.question .verdict").inner_text(), "it is remembered"


def test_a_page_names_no_folder_of_the_machine_that_made_it(site, runs):
    text = (site / "lessons" / "small.html").read_text()
    assert "kept in runs/small-" in text and str(runs / "kept") not in text


def test_a_wide_picture_keeps_its_words_on_a_telephone(site, browser):
    with opened(browser, site / "lessons" / "small.html", viewport={"width": 360, "height": 740}) as page:
        for link in page.query_selector_all("a.picture"):
            image = link.query_selector("img")
            wide, high = (int(image.get_attribute(side)) for side in ("width", "height"))
            if "wide-picture" in image.get_attribute("class"):
                assert wide > high and image.evaluate("(one) => one.getBoundingClientRect().height") > 250


def test_pictures_turn(site, browser, lora_run):
    with opened(browser, site / "lessons" / "small.html") as page:
        figure = page.query_selector(".explore")
        picture, slider = figure.query_selector("img"), figure.query_selector("input")
        last = picture.get_attribute("src")
        assert picture.get_attribute("alt").endswith(f"{lora_run.modules[0]} at step {lora_run.steps[-1]}")
        slider.focus()
        page.keyboard.press("Home")
        assert picture.get_attribute("src") != last and slider.get_attribute("aria-valuetext") == "step 0"
        figure.query_selector("select").select_option("1")
        assert picture.get_attribute("alt") == f"The picture of {lora_run.modules[1]} at step 0"
        page.wait_for_function("() => document.querySelector('.explore img').complete")
        assert picture.evaluate("(one) => one.naturalWidth") > 100


def test_the_ledger_is_sorted_by_a_click(site, browser):
    with opened(browser, site / "ledger.html") as page:

        def column():
            return page.eval_on_selector_all(
                "table.sortable tbody tr", "(rows) => rows.map((row) => row.cells[1].textContent)"
            )

        before = column()
        button = page.get_by_role("button", name="sentence")
        button.click()
        up = column()
        button.click()
        assert sorted(before) == sorted(up) and up != before and column() == up[::-1]


def test_it_is_searched_without_a_server(site, browser):
    with opened(browser, site / "search.html", "?q=double") as page:
        assert page.wait_for_selector("#search-results a[href*='lessons/small']")


def test_what_was_run_is_not_run_again(site, runs):
    kept = sorted((runs / "kept").glob("small-*/small.ipynb"))
    assert executed(str(runs / "small.py"), runs / "kept") == kept[0].absolute() and len(kept) == 1


def test_nothing_is_left_beside_it(site):
    assert not [path.name for path in site.parent.iterdir() if path.name.startswith(("jupyter", "site.", ".site"))]


def test_nothing_but_a_site_is_replaced(tmp_path, small):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        build_site(tmp_path / "out", [str(small)], kept=tmp_path, films=tmp_path)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_what_was_put_into_a_site_is_not_lost(site, small, tmp_path, monkeypatch):
    def build(out):
        return build_site(out, [str(small)], kept=tmp_path, films=tmp_path)

    mine = tmp_path / "site"
    shutil.copytree(site, mine)
    (mine / "CNAME").write_text("example.org")
    with pytest.raises(InputError, match="holds CNAME, which is no part of its site"):
        build(mine)
    mark = (mine / ".glasstune-site").read_text()
    (mine / ".glasstune-site").write_text("made by glasstune site")
    with pytest.raises(InputError, match="cannot be told; delete it, or move it"):
        build(mine)
    (mine / ".glasstune-site").write_text(mark)
    (mine / ".DS_Store").touch()
    with pytest.raises(InputError, match="holds CNAME"):
        build(mine)
    (mine / "CNAME").unlink()

    def meanwhile(source, static, out, trees):
        out.mkdir(parents=True)
        (mine / "CNAME").write_text("example.org")

    with monkeypatch.context() as patch:
        patch.setattr("lessons.site.build._sphinx", meanwhile)
        with pytest.raises(InputError, match="holds CNAME"):
            build(mine)
    assert (mine / "CNAME").read_text() == "example.org" and (mine / "index.html").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for place in (".", str(tmp_path)):
        with pytest.raises(InputError, match="where you are"):
            build(Path(place))


def test_no_page_names_another_place_in_its_code(site):
    for path in [*site.rglob("*.js"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not re.search(r"(?:import\s*\(?|url\(|fetch\(|src\s*=)\s*[\"']?https?:", text), path
    assert shutil.which("chromium")


def test_what_was_not_reached_has_no_dot():
    drawn = _picture(Effect(math.nan, math.nan, math.nan, limit="censored"), -1.0, 1.0)
    assert "nan" not in drawn and "circle" not in drawn and 'class="zero"' in drawn
    assert "circle" in _picture(Effect(0.5, -math.inf, math.inf), -1.0, 1.0)
