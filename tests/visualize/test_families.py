"""A plot's arguments say what it takes: three families, no argument that does nothing, no model loaded."""

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glasstune import InputError, Run
from tests.visualize.pictures import FAMILY_OF, FOLDER, NAMES, draw, plot_of
from visualize import plots
from visualize.plots.given import OneRun, as_runs

GIVEN = {"of_run": "run", "of_runs": "runs", "of_table": "table"}
PICKED = {"of_run": {"module", "step"}, "of_runs": {"module", "step"}, "of_table": set()}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_every_file_in_a_family_is_one_plot_and_exported():
    assert {f"plot_{name}" for name in NAMES} == set(plots.__all__)
    for name, family in FAMILY_OF.items():
        tree = ast.parse((FOLDER / family / f"{name}.py").read_text(encoding="utf-8"))
        assert [node.name for node in tree.body if getattr(node, "name", "").startswith("plot_")] == [f"plot_{name}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_the_familys(name):
    signature, hints = inspect.signature(plot_of(name)), typing.get_type_hints(plot_of(name))
    first, *others = signature.parameters.values()
    family = FAMILY_OF[name]
    assert first.name == GIVEN[family] and first.kind is first.POSITIONAL_OR_KEYWORD
    assert all(other.kind is other.KEYWORD_ONLY for other in others), "all others by name"
    assert all(other.default is not other.empty for other in others), "and all can be left out"
    assert ("run" not in GIVEN[family]) or set(typing.get_args(OneRun)) <= set(typing.get_args(hints[first.name]))
    assert {"module", "step"} & set(signature.parameters) <= PICKED[family]
    assert hints["return"] in (Axes, Figure)
    assert ("ax" in hints) == (hints["return"] is Axes), "one panel is drawn where it is told"
    assert ("figure" in hints) == (hints["return"] is Figure), "several need a figure"


@pytest.mark.parametrize("name", NAMES)
def test_no_argument_does_nothing(name):
    tree = ast.parse((FOLDER / FAMILY_OF[name] / f"{name}.py").read_text(encoding="utf-8"))
    function = next(node for node in tree.body if getattr(node, "name", "") == f"plot_{name}")
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    arguments = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    assert arguments <= used
    said = ast.get_docstring(function).replace("\n", " ")
    assert "not used" not in said


def test_drawing_loads_no_model(lora_run):
    """Of every run that was saved, from its path: all pictures, and neither torch nor transformers is imported."""
    code = """
import sys
from tests.visualize.pictures import NAMES, draw
for name in NAMES:
    draw(name, sys.argv[1])
loaded = {"torch", "transformers", "peft", "manim"} & set(sys.modules)
assert not loaded, loaded
"""
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-W", "ignore:More than 20 figures", "-c", code, str(lora_run.path)], check=True, cwd=root
    )


@pytest.mark.parametrize("name", [name for name in NAMES if FAMILY_OF[name] != "of_table"])
def test_where_no_run_is_the_plot_says_so_in_one_sentence(name, tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        draw(name, tmp_path, **({"module": "x"} if name in ("weight", "block", "levels", "quantization_error") else {}))


def saved_as(run, *places):
    """The same run under other folders, as far as its name goes."""
    found = []
    for place in places:
        one = Run.load(run.path)
        one.path = run.path.parent / place
        one.__dict__.update({name: getattr(run, name) for name in ("metrics", "skills", "skill_losses", "steps")})
        found.append(one)
    return found


def test_runs_of_one_name_are_told_apart_by_what_differs(lora_run, full_run):
    assert list(as_runs([lora_run, full_run])) == [lora_run.name, full_run.name]
    assert list(as_runs(saved_as(lora_run, "a/out", "b/out"))) == ["a/out", "b/out"]
    assert list(as_runs(saved_as(lora_run, "a/x/out", "b/x/out", "other"))) == ["a/x/out", "b/x/out", "other"]
    assert list(as_runs([lora_run, lora_run])) == [lora_run.name, f"{lora_run.name} (2)"]
    assert list(as_runs({"one": lora_run, "other": lora_run.path})) == ["one", "other"]
    with pytest.raises(InputError, match="no run to draw"):
        as_runs([])


@pytest.mark.parametrize("name", ["loss", "plane", "disagreement"])
def test_runs_of_one_name_and_method_are_lines_of_their_own(name, lora_run):
    ax = draw(name, saved_as(lora_run, "a/out", "b/out"))
    drawn = [
        (line.get_linestyle(), line.get_marker(), line.get_color())
        for line in ax.lines
        if "out" in str(line.get_label())
    ]
    assert len(drawn) >= 2 and len(set(drawn)) == len(drawn)
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("a/out" in text for text in said) and any("b/out" in text for text in said)
