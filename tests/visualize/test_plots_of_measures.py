"""Plots of what is measured beside a Run: four bits, memory, tokens, loss against answers. They draw those numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from engine.data import load
from engine.evaluate.tokens import heldout_losses, token_losses
from engine.measure.disagreement import disagreements, evaluations
from engine.measure.quantize import KINDS, levels, quantization_error, quantize
from engine.planning.memory import training_memory
from engine.planning.sizes import GIB, memory_of_model
from engine.school.curriculum import SKILLS
from glasstune import InputError, Run
from visualize import plots
from visualize.plots.of_table.tokens import as_shown

MODULE = "model.layers.1.mlp.up_proj"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_block_is_the_matrixs(lora_run):
    weight = lora_run.weight(MODULE)
    ax = plots.plot_block(lora_run, module=MODULE, block=5)
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(lines["weight"], weight.ravel()[320:384])
    np.testing.assert_array_equal(lines["in four bits (nf4)"], quantize(weight).values().ravel()[320:384])
    largest = lines["the largest: the block's scale"]
    assert np.abs(largest).item() == np.abs(weight.ravel()[320:384]).max()
    from_name = plots.plot_block("embedded", module=MODULE, block=5)
    np.testing.assert_array_equal(from_name.lines[-2].get_ydata(), ax.lines[-2].get_ydata())


def test_a_block_that_is_not_there_is_refused(lora_run):
    with pytest.raises(InputError, match=r"block is 99999; .* has 768 blocks of 64 weights"):
        plots.plot_block(lora_run, module=MODULE, block=99999)
    with pytest.raises(InputError, match="block_size is 0"):
        plots.plot_block(lora_run, module=MODULE, block_size=0)


def test_the_error_map_is_the_difference(lora_run):
    weight = lora_run.weight(MODULE)
    ax = plots.plot_quantization_error(lora_run, module=MODULE, kind="fp4", double=True)
    np.testing.assert_array_equal(ax.images[0].get_array(), quantize(weight, "fp4", double=True).values() - weight)
    lost = quantization_error(weight, "fp4", double=True).relative
    assert f"{100 * lost:.1f} % of W" in ax.get_title(loc="left")


def test_levels_are_marked_where_they_are_and_as_often_as_they_are_taken(lora_run):
    weight = lora_run.weight(MODULE)
    ax = plots.plot_levels(lora_run, module=MODULE)
    marks = {lines.get_label(): lines for lines in ax.collections if lines.get_label() in KINDS}
    assert set(marks) == set(KINDS)
    names = " ".join(tick.get_text() for tick in ax.get_yticklabels())
    for kind, lines in marks.items():
        places = [segment[0, 0] for segment in lines.get_segments()]
        np.testing.assert_allclose(places, np.unique(levels(kind)), atol=1e-6)
        tall = np.array([np.ptp(segment[:, 1]) for segment in lines.get_segments()])
        values, times = np.unique(levels(kind)[quantize(weight, kind).codes], return_counts=True)
        assert values[times.argmax()] == pytest.approx(places[tall.argmax()]), "the tallest is the one most taken"
        assert f"{100 * quantization_error(weight, kind).relative:.1f} %" in names


def test_bars_are_the_table_and_only_lines_in_sight_are_drawn():
    index = pd.MultiIndex.from_product([["1B", "8B"], ["full", "lora", "qlora"]])
    table = pd.DataFrame({"total": [9.5, 2.7, 1.4, 60.3, 15.8, 6.1]}, index=index)
    ax = plots.plot_memory(table, gpus={"T4": 16, "all of them": 100_000})
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in ax.containers}
    assert heights == {m: [table.total["1B", m], table.total["8B", m]] for m in ("full", "lora", "qlora")}
    said = [text.get_text() for text in ax.texts]
    assert "T4, 16" in said and not any("all of them" in text for text in said)
    assert "computed" in ax.get_title(loc="left")


def test_losses_of_tokens_are_the_tables(lora_run):
    table = token_losses(lora_run, load("spanish").heldout[:2], [0, lora_run.steps[-1]])
    ax = plots.plot_tokens(table, row=1)
    cells = ax.images[0].get_array()
    drawn = np.sort(cells.compressed())
    np.testing.assert_allclose(drawn, np.sort(table[table.row == 1].loss.dropna()), rtol=1e-6)
    one = table[(table.row == 1) & (table.step == 0)]
    bold = [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold == [as_shown(text) for text in one.text[one.learned]]
    assert f"{one.learned.sum()} of {len(one)} tokens are learned" in ax.get_title(loc="left")


def test_a_row_that_is_not_there_is_refused_and_a_runs_own_question_is_measured(lora_run):
    table = heldout_losses(lora_run)
    middle = lora_run.steps[len(lora_run.steps) // 2]
    assert list(table.step.unique()) == [lora_run.steps[0], middle, lora_run.steps[-1]]
    asked = load("spanish").heldout[:1]
    pd.testing.assert_frame_equal(table, token_losses(lora_run, asked, [lora_run.steps[0], middle, lora_run.steps[-1]]))
    with pytest.raises(InputError, match="row is 3"):
        plots.plot_tokens(table, row=3)


def test_the_memory_of_a_model_of_your_own_is_the_same_table():
    options = {"batch": 4, "length": 32, "dtype": "float32", "checkpointing": False}
    table = memory_of_model("embedded", **options)
    assert list(table.index) == [("embedded", method) for method in ("full", "lora", "qlora")]
    assert table.total["embedded", "lora"] == training_memory("embedded", "lora", **options).total / GIB
    ax = plots.plot_memory(table)
    heights = {bars.get_label(): bars[0].get_height() for bars in ax.containers}
    assert heights["full"] == table.total["embedded", "full"]
    assert "4 x 32 tokens, float32, AdamW, no gradient checkpointing" in ax.get_title(loc="left")


def test_bars_below_a_gibibyte_are_told_in_two_digits():
    index = pd.MultiIndex.from_product([["tiny"], ["full", "lora", "qlora"]])
    ax = plots.plot_memory(pd.DataFrame({"total": [0.041, 0.0123, 0.96]}, index=index))
    assert [text.get_text() for text in ax.texts] == ["0.041", "0.012", "0.96"]


@pytest.mark.parametrize(
    "text, shown",
    [(" cat", "\u00b7cat"), ("<|end|>", "end"), ("\n", "\u21b5"), ("unbelievable!", "unbelievab\u2026"), ("?", "?")],
)
def test_a_token_as_shown(text, shown):
    assert as_shown(text) == shown


@pytest.mark.parametrize("skill", ["french", "sum", "repeat", "spanish"])
def test_the_path_is_the_runs_and_the_widest_gap_is_marked(lora_run, skill):
    lines = {line.get_label(): line for line in plots.plot_disagreement(lora_run, skill=skill).lines}
    path = lines["evaluation"]
    np.testing.assert_array_equal(path.get_xdata(), lora_run.skill_losses[skill].clip(lower=0.01))
    np.testing.assert_array_equal(path.get_ydata(), 100 * lora_run.skills[skill])
    found = disagreements(evaluations(lora_run, [skill]))
    found = found[found.in_time.astype(bool)]
    assert ("loss better, answers worse" in lines) == bool(len(found))
    if len(found):
        assert list(lines["loss better, answers worse"].get_ydata()) == [
            100 * found.iloc[0].high_exact,
            100 * found.iloc[0].low_exact,
        ]


def test_several_runs_are_a_path_each(lora_run, full_run):
    ax = plots.plot_disagreement([lora_run, full_run], skill="spanish")
    lines = {line.get_label(): line for line in ax.lines}
    for run in (lora_run, full_run):
        np.testing.assert_array_equal(lines[run.name].get_ydata(), 100 * run.skills["spanish"])


def test_a_run_of_another_task_has_no_path_and_a_step_before_the_first_evaluation_is_refused(lora_run, full_run):
    other = Run.load(full_run.path)
    other.skills, other.skill_losses = (
        table.drop(columns="spanish") for table in (full_run.skills, full_run.skill_losses)
    )
    ax = plots.plot_disagreement({"other": other, "lora": lora_run}, skill="spanish")
    paths = [line for line in ax.lines if line.get_label() == "evaluation"]
    assert len(paths) == 1 and ax.get_title(loc="left").startswith("lora on Spanish")
    np.testing.assert_array_equal(paths[0].get_ydata(), 100 * lora_run.skills["spanish"])
    with pytest.raises(InputError, match="nothing was graded by step -1; the first evaluation is of step 0"):
        plots.plot_disagreement(lora_run, step=-1)


def test_the_skill_drawn_by_default_is_the_one_that_parts_most(lora_run):
    found = disagreements(evaluations(lora_run))
    found = found[found.in_time.astype(bool)]
    named = found.skill.iloc[0] if len(found) else lora_run.skills.columns[0]
    assert named in SKILLS or named == "spanish"
    assert plots.plot_disagreement(lora_run).get_title(loc="left").endswith(f"on {named}")
    with pytest.raises(InputError, match="no skill called 'cooking'"):
        plots.plot_disagreement(lora_run, skill="cooking")


def test_a_learning_curve_is_the_runs(lora_run, full_run):
    ax = plots.plot_learning_curve({"a": [lora_run], "b": [full_run]})
    for bars, run in zip(ax.containers, (lora_run, full_run), strict=True):
        point = bars.lines[0]
        assert list(point.get_xdata()) == [run.info.data.train]
        assert list(point.get_ydata()) == [100 * run.skills["spanish"].iloc[-1]]
        assert bars.get_label() in [text.get_text() for text in ax.get_legend().get_texts()]
