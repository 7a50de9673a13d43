"""Plots draw what the Run holds: their artists' data, compared with the Run; every plot, in both themes."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from engine.measure import forgetting, norm, singular_values
from engine.measure.matched import matched
from engine.measure.quantize import quantize
from engine.measure.shares import wilson
from engine.run.base import base_weight
from engine.run.delta import Factors
from glasstune import InputError, Run
from tests.engine.small import save_base
from tests.visualize.pictures import NAMES, TABLES, draw, figure_of, plot_of
from visualize import plots
from visualize.plots.points import Point, whiskers
from visualize.theme import PALETTES, limit_of, theme


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("mode", PALETTES)
@pytest.mark.parametrize("name", NAMES)
def test_every_plot_draws_in_each_theme_with_nothing_cut_off(name, mode, lora_run):
    before = plt.rcParams.copy()
    with theme(mode) as colours:
        figure = figure_of(draw(name, lora_run))
        figure.canvas.draw()
    assert plt.rcParams == before, "a theme is a context, not a global change"
    assert figure.get_facecolor()[:3] == pytest.approx(plt.matplotlib.colors.to_rgb(colours.background))
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.02 and box.y0 >= -0.02 and box.x1 <= width + 0.02 and box.y1 <= height + 0.02


@pytest.mark.parametrize("name", NAMES)
def test_text_can_be_read_from_the_back_row(name, lora_run):
    figure = figure_of(draw(name, lora_run))
    figure.canvas.draw()
    sizes = {
        text.get_text(): text.get_fontsize()
        for text in figure.findobj(plt.Text)
        if text.get_visible() and text.get_text().strip()
    }
    small = {text: size for text, size in sizes.items() if size < 12}
    assert not small


def test_delta_is_the_runs(any_run):
    for step in (any_run.steps[0], any_run.steps[-1]):
        module = any_run.modules[0]
        ax = plots.plot_delta(any_run, module=module, step=step)
        np.testing.assert_array_equal(ax.images[0].get_array(), any_run.delta(module, step))
        assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax, "zero is in the middle of the scale"
        assert f"step {step}" in ax.get_title(loc="left")


def test_factors_are_the_runs(lora_run):
    module = lora_run.modules[3]
    axes = plots.plot_factors(lora_run, module=module).axes
    factors = lora_run.factors(module)
    for ax, values in zip(axes[:3], (factors.B, factors.A, lora_run.delta(module)), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), values)


def test_one_scale_for_all_steps_if_asked(lora_run):
    module = lora_run.modules[3]
    limits = [limit_of(lora_run.delta(module, step)) for step in lora_run.steps]
    for step in (lora_run.steps[1], lora_run.steps[-1]):
        assert plots.plot_delta(lora_run, module=module, step=step, limit="steps").images[0].norm.vmax == max(limits)
        assert plots.plot_delta(lora_run, module=module, step=step, limit=0.5).images[0].norm.vmax == 0.5
        far = [norm(lora_run, name, at) for name in lora_run.modules for at in lora_run.steps]
        ax = plots.plot_layers(lora_run, step=step, relative=False, limit="steps")
        assert ax.images[0].norm.vmax == pytest.approx(max(far))


def test_thin_factors_are_drawn_thick_enough_to_see_and_it_is_said(lora_run, monkeypatch):
    figure = plots.plot_factors(lora_run, module=lora_run.modules[0])
    assert "thicker" not in figure.axes[0].get_title(loc="left"), "true proportions, where they can be seen"
    rng = np.random.default_rng(0)
    wide = Factors(rng.normal(size=(4096, 8)).astype(np.float32), rng.normal(size=(8, 2048)).astype(np.float32), 2.0)
    monkeypatch.setattr(Run, "factors", lambda *_: wide)
    b, a, _ = plots.plot_factors(lora_run, module=lora_run.modules[0]).axes[:3]
    width, height = b.get_figure().get_size_inches()
    assert b.get_position().width * width >= 0.15 and a.get_position().height * height >= 0.15
    assert "thicker" in b.get_title(loc="left") and "thicker" in a.get_title(loc="left")


def test_weight_is_the_bases(lora_run):
    module = lora_run.modules[0]
    from_run = plots.plot_weight(lora_run, module=module).images[0].get_array()
    from_name = plots.plot_weight("embedded", module=module).images[0].get_array()
    np.testing.assert_array_equal(from_run, lora_run.weight(module))
    np.testing.assert_array_equal(from_name, from_run)


def test_the_matrices_of_a_named_gpt2_are_out_by_in_in_every_picture(tmp_path):
    folder, name = save_base(tmp_path / "base", "gpt2"), "transformer.h.0.attn.c_attn"
    weight = base_weight(str(folder), f"{name}.weight").T
    assert weight.shape[0] == 3 * weight.shape[1], "attention's queries, keys and values: out is three times in"
    drawn = plots.plot_weight(folder, module=name).images[0].get_array()
    np.testing.assert_array_equal(drawn, weight)
    lost = plots.plot_quantization_error(folder, module=name)
    np.testing.assert_array_equal(lost.images[0].get_array(), quantize(weight).values() - weight)
    assert lost.get_ylabel() == f"out ({weight.shape[0]})"
    dots = plots.plot_block(folder, module=name).lines[-2].get_ydata()
    np.testing.assert_array_equal(dots, weight.ravel()[:64])


def test_a_model_is_told_from_a_run_and_needs_a_module(lora_run):
    module = lora_run.modules[0]
    drawn = plots.plot_weight(lora_run.path, module=module).images[0].get_array()
    np.testing.assert_array_equal(drawn, lora_run.weight(module))
    with pytest.raises(InputError, match="say which one with module="):
        plots.plot_weight("embedded")


def test_loss_is_the_runs(lora_run):
    lines = {line.get_label(): line for line in plots.plot_loss(lora_run).lines}
    np.testing.assert_array_equal(lines["training, each logged step"].get_ydata(), lora_run.metrics.loss)
    np.testing.assert_array_equal(lines["held out"].get_xdata(), lora_run.skill_losses.index)
    np.testing.assert_array_equal(lines["held out"].get_ydata(), lora_run.skill_losses["spanish"])


def test_losses_that_were_not_logged_are_not_called_steps(lora_run, monkeypatch):
    seldom = lora_run.losses.iloc[::5]
    monkeypatch.setattr(Run, "losses", property(lambda _: seldom))
    lines = {line.get_label(): line for line in plots.plot_loss(lora_run).lines}
    assert list(lines["training, each logged step"].get_xdata()) == list(seldom.index)
    smooth = lines["training, median of 9 logged"].get_ydata()
    np.testing.assert_allclose(smooth, [seldom.iloc[max(0, at - 4) : at + 5].median() for at in range(len(seldom))])


def test_loss_compares_runs(lora_run, full_run):
    ax = plots.plot_loss([lora_run, full_run], step=10)
    assert {line.get_linestyle() for line in ax.lines} >= {"-", "--"}, "line style repeats what colour says"
    assert all(len(line.get_xdata()) <= 11 for line in ax.lines)


def test_a_loss_that_is_no_number_is_a_gap(lora_run, monkeypatch):
    broken = lora_run.losses.copy()
    broken.loc[5] = np.nan
    monkeypatch.setattr(Run, "losses", property(lambda _: broken))
    line = plots.plot_loss(lora_run).lines[0]
    assert np.isnan(line.get_ydata()[4]) and np.isfinite(line.get_ydata()[3])


@pytest.mark.parametrize("value, of", [("exact", lambda run: 100 * run.skills), ("forgetting", forgetting)])
def test_skills_are_the_runs(lora_run, value, of):
    ax = plots.plot_skills(lora_run, value=value)
    table = of(lora_run)
    task_first = ["spanish", *(name for name in table if name != "spanish")]
    np.testing.assert_allclose(ax.images[0].get_array(), table[task_first].to_numpy().T)
    cells = iter(ax.texts)
    for name in task_first:
        for number in table[name]:
            assert float(next(cells).get_text()) == pytest.approx(number, abs=0.5 if value == "exact" else 0.051)


def test_where_no_answer_is_exactly_right_the_loss_is_drawn_and_it_is_said(lora_run, monkeypatch):
    none = 0 * lora_run.skills
    monkeypatch.setattr(Run, "skills", property(lambda _: none))
    ax = plots.plot_skills(lora_run)
    assert "no answer exactly right" in ax.get_title(loc="left")
    drawn, losses = ax.images[0].get_array(), forgetting(lora_run)
    assert drawn.shape == losses.T.shape and float(drawn.max()) == pytest.approx(losses.to_numpy().max())


@pytest.mark.parametrize("scores", [[], ["held out"]])
def test_where_no_answer_was_asked_none_is_called_wrong(lora_run, monkeypatch, scores):
    losses = pd.DataFrame({"held out": [2.0, 1.5, np.nan]}, index=pd.Index([50, 100, 150], name="step"))
    ungraded = pd.DataFrame(np.nan, index=losses.index, columns=scores)
    monkeypatch.setattr(Run, "skills", property(lambda _: ungraded))
    monkeypatch.setattr(Run, "skill_losses", property(lambda _: losses))
    ax = plots.plot_skills(lora_run)
    assert "answers not graded, so the loss" in ax.get_title(loc="left")
    assert "loss minus step 50 (nats a token)" in [other.get_ylabel() for other in ax.get_figure().axes]
    assert [text.get_text() for text in ax.texts][:2] == ["+0.00", "-0.50"]
    with pytest.raises(InputError, match="was not evaluated by step 10; its first evaluation is of step 50"):
        plots.plot_skills(lora_run, step=10)


def test_spectrum_is_the_runs(lora_run):
    module = lora_run.modules[2]
    ax = plots.plot_spectrum(lora_run, module=module)
    assert len(ax.lines) == 4, "one line a direction, r = 4"
    for at, line in enumerate(ax.lines):
        assert line.get_ydata()[-1] == pytest.approx(singular_values(lora_run, module)[at])
        assert np.isnan(line.get_ydata()[0]), "nothing has moved at step 0"


def test_a_spectrum_before_the_first_capture_is_refused(lora_run):
    with pytest.raises(InputError, match="captured nothing by step -1; its first capture is of step 0"):
        plots.plot_spectrum(lora_run, module=lora_run.modules[2], step=-1)


def test_answers_are_the_runs(lora_run):
    texts = [text.get_text() for text in plots.plot_answers(lora_run).texts]
    prompts = list(dict.fromkeys(lora_run.answers.prompt))[:14]
    rows = lora_run.answers[(lora_run.answers.step == lora_run.steps[-1]) & lora_run.answers.prompt.isin(prompts)]
    shown = " ".join(text.replace("\n", " ") for text in texts)
    assert sum(answer[:10].strip() in shown for answer in rows.answer) == len(rows)
    ticks = sum(text == "\N{CHECK MARK}" for text in texts)
    steps = {int(text.removeprefix("step ")) for text in texts if text.startswith("step ")}
    drawn = lora_run.answers[lora_run.answers.step.isin(steps) & lora_run.answers.prompt.isin(prompts)]
    assert ticks == int(drawn.correct.sum())


@pytest.mark.parametrize("name", [name for name in NAMES if "module" in inspect.signature(plot_of(name)).parameters])
def test_an_unknown_module_is_named(name, lora_run):
    with pytest.raises(InputError, match="no module 'q_proj'"):
        draw(name, lora_run, module="q_proj")


def test_what_was_not_measured_is_not_drawn(full_run, lora_run, monkeypatch):
    with pytest.raises(InputError, match="it has a delta but no factors"):
        plots.plot_factors(full_run, module=full_run.modules[0])
    empty = pd.DataFrame()
    for name in ("losses", "metrics", "skills", "skill_losses", "answers"):
        monkeypatch.setattr(Run, name, property(lambda _: empty))
    for name, said in (("loss", "no training loss"), ("skills", "not evaluated"), ("answers", "holds no answers")):
        with pytest.raises(InputError, match=said):
            draw(name, lora_run)


@pytest.mark.parametrize("name", [name for name in NAMES if "ax" in inspect.signature(plot_of(name)).parameters])
def test_a_plot_draws_where_it_is_told(name, lora_run):
    _, ax = plt.subplots()
    assert draw(name, lora_run, ax=ax) is ax


def test_the_plane_is_the_runs(lora_run, full_run):
    ax = plots.plot_plane({"one": lora_run, "other": full_run}, level=0.0)
    for line, run in zip(ax.lines[1::3], (lora_run, full_run), strict=True):
        old = run.skills.drop(columns="spanish").mean(axis=1)
        np.testing.assert_allclose(line.get_xdata(), 100 * run.skills["spanish"])
        np.testing.assert_allclose(line.get_ydata(), 100 * old)
    rings = ax.lines[3::3]
    assert [ring.get_ydata()[0] for ring in rings] == [
        pytest.approx(100 * matched(run, 0.0).kept) for run in (lora_run, full_run)
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["compared at 0 %", "one", "other"]


def test_a_sweep_is_the_runs(lora_run, full_run):
    axes = plots.plot_sweep({"2e-3": lora_run, "5e-4": full_run}).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["2e-3", "5e-4"]
    for ax, run in zip(axes, (lora_run, full_run), strict=True):
        np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * run.skills["spanish"])
        np.testing.assert_allclose(ax.lines[1].get_ydata(), 100 * run.skills.drop(columns="spanish").mean(axis=1))
    held = plots.plot_sweep(lora_run, value="loss").axes[0].lines[1]
    np.testing.assert_array_equal(held.get_ydata(), lora_run.skill_losses["spanish"])


def test_crossing_is_the_runs_and_the_prompts(lora_run):
    shown = pd.Series([0.25, 0.5], [1, 4])
    ax = plots.plot_crossing([lora_run], shown=shown, told=0.75)
    (tuned, few), told = (container[0] for container in ax.containers), ax.lines[-1]
    assert tuned.get_ydata() == [100 * lora_run.skills["spanish"].iloc[-1]]
    assert tuned.get_xdata() == [np.log2(lora_run.info.data.train)]
    np.testing.assert_allclose(few.get_ydata().astype(float), [25, 50])
    np.testing.assert_allclose(few.get_xdata().astype(float), [0, 2])
    assert set(told.get_ydata()) == {75}


def whisker(container):
    (segment,) = container[2][0].get_segments()
    return sorted(segment[:, 1])


@pytest.mark.parametrize("plot", [plots.plot_crossing, plots.plot_learning_curve])
def test_the_interval_is_that_of_the_questions_that_were_graded(plot, lora_run, monkeypatch):
    score = lora_run.skills["spanish"].iloc[-1]
    for graded in (lora_run.graded["spanish"].iloc[-1], 5):
        table = lora_run.graded.assign(spanish=graded)
        monkeypatch.setattr(Run, "graded", property(lambda _, table=table: table))
        np.testing.assert_allclose(
            whisker(plot(lora_run).containers[0]), 100 * np.array(wilson(score * graded, int(graded))), atol=1e-9
        )


@pytest.mark.parametrize("plot", [plots.plot_crossing, plots.plot_learning_curve])
def test_a_run_that_does_not_say_how_many_were_graded_has_no_interval_and_it_is_said(plot, lora_run, monkeypatch):
    monkeypatch.setattr(Run, "graded", property(lambda _: pd.DataFrame()))
    ax = plot(lora_run)
    assert not any(len(segment) > 1 for segment in ax.containers[0][2][0].get_segments())
    assert "not recorded" in " ".join(text.get_text() for text in ax.get_figure().findobj(plt.Text))


def test_few_shots_interval_is_of_what_was_asked():
    low, high = wilson(15, 30)
    point = Point(1, 0.5, low, high)
    np.testing.assert_allclose(whiskers([point]), [[50 - 100 * low], [100 * high - 50]])


def test_exposure_is_what_was_measured():
    tables = TABLES["exposure"]
    ax = plots.plot_exposure(tables)
    for name, table in tables.items():
        mean = next(line for line in ax.lines if line.get_label() == f"{name}, mean")
        np.testing.assert_allclose(mean.get_ydata(), table.groupby("repeats").exposure.mean())
    codes = int(next(iter(tables.values()))["of"].max())
    (chance,) = (line for line in ax.lines if line.get_label() == "by chance, mean")
    np.testing.assert_allclose(chance.get_ydata(), np.mean(np.log2(codes) - np.log2(np.arange(codes) + 1)))
    filled = [line for line in ax.lines if line.get_label() == "tuned: it says the secret"]
    assert sum(len(line.get_xdata()) for line in filled) == tables["tuned"].extracted.sum()
