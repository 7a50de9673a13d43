"""Three runs beside each other in the film of the knobs: whatever their folders are called, and whichever is the main."""

import shutil

import pytest

pytest.importorskip("manim", reason="films need the extra 'film'")

from animations import tuning, when
from animations.studio.preview import walk
from animations.studio.scenes import NotShown, runs_of, showing


@pytest.fixture
def three(lora_run, rates, tmp_path):
    """Three folders of one name: the given run is the slowest."""
    folders = {}
    for name, run in zip(("lora", "rate-low", "rate-high"), (rates[0], lora_run, rates[1]), strict=True):
        folders[name] = tmp_path / name / "out"
        shutil.copytree(run.path, folders[name])
    return folders


def test_runs_of_one_name_are_drawn_apart_and_the_plane_is_the_one_marked(three, runs, monkeypatch):
    monkeypatch.setenv("GLASSTUNE_RUNS", str(runs))
    monkeypatch.setattr(tuning, "POINTS", 5)
    with showing(three):
        for scene in (tuning.Rates, tuning.Plane, tuning.OldSkills):
            scene = walk(scene, lambda _: None, width=240, height=136)
        assert set(scene.looks) == {f"{name}/out" for name in three} == set(scene.ground().paths)
        two = scene.spanning()
        assert [run.path.parent.name for run in two] == ["lora", "rate-high"], "of the roles that span it"
        for run in two:
            assert scene.ground().paths[scene.labels[run]].outside.iloc[-1] == pytest.approx(0, abs=1e-4)


def test_what_was_measured_of_some_runs_is_not_shown_of_others(three, monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "measured", lambda name, runs, make, **_: asked.append(runs[0].path) or GROUND)
    for name in three:
        tuning.ground_of(str(three[name]), str(three["rate-high"]))
    assert asked == list(three.values())
    monkeypatch.setattr(when, "measured", lambda name, runs, make, **_: dict.fromkeys(when.Prompts._fields, len(runs)))
    monkeypatch.setattr(when, "TRAINED", {"few": ("lora", "rate-low")})
    monkeypatch.setattr(when, "ORDERS", {"few": ""})
    with showing(three):
        before = when.prompts_of("few")
    with showing({**three, "lora": three["rate-high"]}):
        assert when.prompts_of("few") is not before


GROUND = {"x": [0], "y": [0], "losses": {}, "paths": {}, "ends": {}}


def test_two_equal_rates_are_no_comparison(lora_run):
    with pytest.raises(NotShown, match="two of these are the same"):
        runs_of("tuning", lora_run, {"rate-low": lora_run, "rate-high": lora_run}, ["Rates"])
