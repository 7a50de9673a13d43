"""Which runs may stand beside each other in a film? Only those of which it is true what the film says of them all."""

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from msgspec.structs import replace

from animations import when
from animations.studio.beside import differing
from animations.studio.films import films
from animations.studio.scenes import NotShown, runs_of
from glasstune import InputError


def changed(run, settings):
    """The same run, as if it had been told otherwise."""
    other = type(run).load(run.path)
    raw = {**run.info.raw, "settings": {**run.info.raw["settings"], **settings}}
    typed = {name: value for name, value in settings.items() if hasattr(run.info.settings, name)}
    other.info = replace(run.info, raw=raw, settings=replace(run.info.settings, **typed))
    return other


def test_runs_differ_in_what_they_were_told(lora_run, pirate_run, qlora_run):
    assert not differing(lora_run, changed(lora_run, {}))
    assert differing(lora_run, changed(lora_run, {"learning_rate": 1.0})) == {"learning_rate"}
    assert {"data", "steps"} <= differing(lora_run, pirate_run) and "method" not in differing(lora_run, pirate_run)
    assert "method" in differing(lora_run, qlora_run)


@pytest.mark.parametrize("film", films())
def test_only_names_that_a_film_has_are_taken(film, lora_run):
    with pytest.raises(InputError, match=f"film {film} has no run called 'nobody'; the names are "):
        runs_of(film, None, {"nobody": lora_run}, [])


def test_a_run_is_given_once(lora_run):
    with pytest.raises(InputError, match="give it once"):
        runs_of("lora", lora_run, {"lora": lora_run}, ["Onto"])


@pytest.mark.parametrize("film, scene, given, said", [
    ("tuning", "Rates", {"rate-low": {"learning_rate": 1e-4}, "rate-high": {"seed": 9}}, "differ in seed, too"),
    ("tuning", "WarmUp", {"warm": {"warmup": 0.2}, "cold": {"warmup": 0.0, "batch_size": 4}}, "differ in batch_size"),
    ("data", "Race", {"clean": {}, "noisy": {"learning_rate": 1.0}}, "differ in learning_rate, too"),
    ("data", "Race", {"clean": {}, "noisy": {}}, "was not trained on the film's (clean|noisy) data"),
    ("qlora", "Cost", {"lora": {"seed": 5}}, "differ in .*seed"),
])  # fmt: skip
def test_what_is_said_of_all_is_checked_of_all(film, scene, given, said, lora_run, qlora_run):
    run = qlora_run if film == "qlora" else lora_run
    others = {name: changed(lora_run, told) for name, told in given.items()}
    with pytest.raises(NotShown, match=said):
        runs_of(film, run, others, [scene])


def test_runs_that_differ_in_that_number_alone_are_shown(lora_run):
    others = {name: changed(lora_run, {"learning_rate": 10.0**-at}) for at, name in
              enumerate(("rate-low", "rate-high"))}  # fmt: skip
    assert [*runs_of("tuning", lora_run, others, ["Rates"])] == ["lora", "rate-low", "rate-high"]


def test_another_task_is_no_comparison(lora_run, pirate_run):
    with pytest.raises(NotShown, match="compares runs of one task"):
        runs_of("forgetting", lora_run, {"slow": pirate_run}, ["Comets"])
    with pytest.raises(InputError, match="learned spanish, and were graded"):
        when.check_beside({"small": pirate_run})
