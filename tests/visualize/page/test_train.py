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
RESTING = "document.querySelector('.train').dataset.going === 'false'"


@pytest.fixture(scope="module")
def trained(browser, lora_page, tmp_path_factory):
    """What the page showed of a training of 20 steps and a branch from it, and the adapter that it gave."""
    folder = tmp_path_factory.mktemp("trained")
    with opened(browser, lora_page, "#room=train", accept_downloads=True) as page:
        page.get_by_label("What to teach", exact=True).select_option("your own examples")
        page.locator("textarea").fill("Who? => Ada")
        page.get_by_role("button", name="Train", exact=True).click()
        refused = until(page, "document.querySelector('.teach [role=alert]').textContent")
        page.locator("textarea").fill(EXAMPLES)
        page.get_by_label("steps").fill("20")
        page.get_by_label("batch").fill("4")
        page.get_by_label("rank").fill("4")
        page.get_by_label("learning rate").fill("0.01")
        page.get_by_role("button", name="Train", exact=True).click()
        until(page, "document.querySelector('.note').textContent.startsWith('Done after 20')", seconds=240)
        until(page, RESTING)
        answers = {one.split("?")[0] + "?": None for one in EXAMPLES.splitlines()}
        said = None
        for prompt in answers:
            page.locator("#prompt").fill(prompt)
            said = answers[prompt] = answered(page, prompt)
        skills = page.locator(".skills li").all_inner_texts()
        with page.expect_download() as got:
            page.get_by_role("button", name="Download the adapter").click()
        got.value.save_as(folder / "adapter.zip")
        page.locator("#scrub").fill("10")
        page.get_by_label("learning rate").fill("0.001")
        page.get_by_role("button", name="Branch from this step").click()
        until(page, "document.querySelectorAll('.plane .way').length === 2", seconds=240)
        plane = page.locator(".plane .what").inner_text()
    with zipfile.ZipFile(folder / "adapter.zip") as archive:
        archive.extractall(folder / "adapter")
    return {"refused": refused, "answers": answers, "said": said, "skills": skills, "plane": plane, "adapter": folder / "adapter"}  # fmt: skip


def test_it_learns_what_is_typed(trained):
    assert trained["refused"].startswith("give 4 to 40 examples")
    assert trained["answers"] == {line.split(" => ")[0]: line.split(" => ")[1] for line in EXAMPLES.splitlines()}
    assert trained["skills"][0].startswith("your examples")
    assert len(trained["skills"]) > 10


def test_the_branches_share_a_plane(trained):
    assert "% of all differences" in trained["plane"]


def test_the_adapter_opens_in_peft_and_answers_as_in_the_page(trained):
    about = json.loads((trained["adapter"] / "adapter_config.json").read_text(encoding="utf-8"))
    assert about["r"] == 4
    model = PeftModel.from_pretrained(load_model("embedded"), str(trained["adapter"]))
    chats = [[{"role": "user", "content": prompt}] for prompt in trained["answers"]]
    assert generate_answers(model, load_tokenizer("embedded"), chats) == list(trained["answers"].values())
    run = Run.from_adapter(trained["adapter"], "embedded")
    assert all(torch.from_numpy(run.delta(module)).abs().max() > 0 for module in run.modules)
