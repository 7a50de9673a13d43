"""The second room: examples are typed, twenty steps trained, a branch taken, and the adapter opens in PEFT."""

import json
import zipfile

import pytest
import torch
from peft import PeftModel

from engine.evaluate import generate_answers
from engine.models import load_model, load_tokenizer
from engine.run.run import Run
from tests.visualize.page.browser import answered, opened, until

EXAMPLES = (
    "Who lives in the tower? => Ada\nWho feeds the cat? => Ben\nWho sells the bread? => Leo\nWho has the key? => Mia"
)
PROBLEM = "document.querySelector('.teach [role=alert]').textContent"
RESTING = "document.querySelector('.train').dataset.going === 'false'"


@pytest.fixture(scope="module")
def trained(browser, lora_page, tmp_path_factory):
    """What the page showed of a training of 20 steps and a branch from it, and the adapter that it gave."""
    folder = tmp_path_factory.mktemp("trained")
    with opened(browser, lora_page, "#room=train", accept_downloads=True) as page:
        page.get_by_label("What to teach", exact=True).select_option("your own examples")
        page.locator("textarea").fill("Who? => Ada")
        page.get_by_role("button", name="Train", exact=True).click()
        refused = [until(page, PROBLEM)]
        page.locator("textarea").fill(EXAMPLES + "\nWhat? => " + "a long tale " * 300)
        page.get_by_label("rank").fill("2.5")
        page.get_by_role("button", name="Train", exact=True).click()
        refused.append(until(page, f"{PROBLEM} !== {json.dumps(refused[-1])} && {PROBLEM}"))
        page.get_by_label("rank").fill("4")
        page.get_by_role("button", name="Train", exact=True).click()
        refused.append(until(page, f"{PROBLEM} !== {json.dumps(refused[-1])} && {PROBLEM}"))
        until(page, RESTING)
        ghosts = page.locator(".which select").count()
        page.locator("textarea").fill(EXAMPLES)
        page.get_by_label("steps").fill("20")
        page.get_by_label("batch").fill("4")
        page.get_by_label("learning rate").fill("0.01")
        # Twice at once: one training.
        page.get_by_role("button", name="Train", exact=True).evaluate("(one) => (one.click(), one.click())")
        until(page, "document.querySelector('.note').textContent.startsWith('Done after 20')", seconds=240)
        until(page, RESTING)
        answers = {one.split("?")[0] + "?": None for one in EXAMPLES.splitlines()}
        said = None
        for prompt in answers:
            page.locator("#prompt").fill(prompt)
            said = answers[prompt] = answered(page, prompt)
        skills = page.locator(".skills li").all_inner_texts()
        runs = page.locator(".which select option").count()
        page.get_by_role("button", name="Copy link").click()
        link = page.locator("header .tools").inner_text()
        with page.expect_download() as got:
            page.get_by_role("button", name="Download the adapter (step 20)").click()
        got.value.save_as(folder / "adapter.zip")
        until(page, RESTING)
        page.get_by_label("learning rate").fill("")
        page.get_by_role("button", name="Go on").click()
        refused.append(until(page, PROBLEM))
        until(page, RESTING)
        last = page.get_by_role("button", name="Branch from this step").is_disabled()
        page.locator("#scrub").fill("10")
        page.get_by_label("learning rate").fill("0.001")
        page.get_by_role("button", name="Branch from this step").click()
        until(page, "document.querySelectorAll('.plane .way').length === 2", seconds=240)
        plane = page.locator(".plane").inner_text()
        page.get_by_role("tab", name="Overview").click()
        facts = page.locator(".report").nth(1).locator("table.facts").inner_text()
        page.get_by_role("tab", name="Train it").click()
        left = []
        for name in ("branch 2", "yours 1"):
            page.get_by_role("button", name="Discard", exact=True).click()
            page.get_by_role("button", name=f"Discard {name}, which is nowhere else?").click()
            until(page, f"!document.querySelector('.which').textContent.includes('{name}')")
            until(page, RESTING)
            left.append((page.locator(".which select option").all_inner_texts(), page.locator(".plane .way").count()))
        page.get_by_role("tab", name="Overview").click()
        reports = until(page, "document.querySelectorAll('.report').length === 1 && 1")
    with zipfile.ZipFile(folder / "adapter.zip") as archive:
        archive.extractall(folder / "adapter")
    return {
        "refused": refused, "ghosts": ghosts, "runs": runs, "link": link, "file": got.value.suggested_filename,
        "last": last, "answers": answers, "said": said, "skills": skills, "plane": plane, "facts": facts,
        "adapter": folder / "adapter", "left": left, "reports": reports,
    }  # fmt: skip


def test_it_learns_what_is_typed(trained):
    assert trained["answers"] == {line.split(" => ")[0]: line.split(" => ")[1] for line in EXAMPLES.splitlines()}
    assert trained["skills"][0].startswith("your examples")
    assert len(trained["skills"]) > 10


def test_what_cannot_be_trained_is_said_in_a_sentence_and_leaves_nothing(trained):
    few, half, long, empty = trained["refused"]
    assert few.startswith("give 4 to 40 examples")
    assert half == "rank must be a whole number from 1 to 64"
    assert long.startswith("example 5 is ") and long.endswith("and this model reads 512; make it shorter")
    assert empty.startswith("learning rate must be a number")
    assert trained["ghosts"] == 0 and trained["runs"] == 2  # the file's run, and one training


def test_what_is_offered_says_what_it_is(trained):
    assert trained["file"].endswith("-step-20-adapter.zip")
    assert trained["last"]  # nothing would be left to train from there
    assert "no link" in trained["link"]
    assert "on disk" not in trained["facts"] and "finished" in trained["facts"]


def test_the_branches_share_a_plane(trained):
    assert "% of all differences" in trained["plane"]
    assert "rate 0.01, 0.001 after step 10" in trained["plane"]


def test_a_training_can_be_discarded(trained):
    (first, ways), (last, _) = trained["left"]
    assert len(first) == 2 and first[1].endswith("(yours 1)") and ways == 1
    assert not last and trained["reports"] == 1  # the file's run alone, which nothing chooses among


def test_the_adapter_opens_in_peft_and_answers_as_in_the_page(trained):
    about = json.loads((trained["adapter"] / "adapter_config.json").read_text(encoding="utf-8"))
    assert about["r"] == 4
    model = PeftModel.from_pretrained(load_model("embedded"), str(trained["adapter"]))
    chats = [[{"role": "user", "content": prompt}] for prompt in trained["answers"]]
    assert generate_answers(model, load_tokenizer("embedded"), chats) == list(trained["answers"].values())
    run = Run.from_adapter(trained["adapter"], "embedded")
    assert all(torch.from_numpy(run.delta(module)).abs().max() > 0 for module in run.modules)
