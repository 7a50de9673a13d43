"""How far, when, in how many directions, at which rate: what these plots draw is what the Run holds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from engine.measure import norm, relative_norm, singular_values
from glasstune import InputError
from visualize import plots
from visualize.naming import kinds_of, layer_of
from visualize.plots.of_run.layers import _decimals
from visualize.plots.of_runs import rates


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_layers_are_the_runs(any_run):
    step = any_run.steps[-2]
    ax = plots.plot_layers(any_run, step=step)
    table = np.asarray(ax.images[0].get_array())
    kinds = [tick.get_text() for tick in ax.get_xticklabels()]
    for name in any_run.modules:
        if layer_of(name) is not None:
            cell = table[layer_of(name), kinds.index(kinds_of(any_run.modules)[name])]
            assert cell == pytest.approx(100 * relative_norm(any_run, name, step))
        else:
            assert f"embed_tokens {100 * relative_norm(any_run, name, step):.3g} %" in ax.get_xlabel()
    assert len(ax.texts) == np.isfinite(table).sum()


@pytest.mark.parametrize(("usual", "said"), [(52.0, "52.0"), (0.4, "0.40"), (0.025, "0.025"), (3e-7, "0.0000")])
def test_small_shares_are_told_apart_in_their_cells(usual, said):
    table = np.full((4, 3), usual)
    table[0, 0], table[1, 1], table[2, 2] = 0, np.nan, 2 * usual
    assert f"{table[3, 0]:.{_decimals(table)}f}" == said
    assert _decimals(np.zeros((2, 2))) == 1


def test_a_matrix_is_framed_in_absolute_numbers_too(lora_run):
    module = lora_run.modules[4]
    ax = plots.plot_layers(lora_run, module=module, relative=False)
    assert ax.patches[0].get_xy() == (3.5, -0.5)
    assert ax.images[0].get_array()[0, 4] == pytest.approx(norm(lora_run, module))


def test_a_layers_line_is_of_all_its_matrices(full_run):
    lines = {line.get_label(): line for line in plots.plot_norms(full_run, module=full_run.modules[1]).lines}
    own = [name for name in full_run.modules if layer_of(name) == 2]
    share = 100 * np.sqrt(
        sum(norm(full_run, name) ** 2 for name in own) / sum(np.linalg.norm(full_run.weight(name)) ** 2 for name in own)
    )
    assert lines["layer 2"].get_ydata()[-1] == pytest.approx(share, rel=1e-5)
    assert lines["layer 2"].get_ydata()[0] == 0, "nothing has moved at step 0"
    assert {"embed_tokens", "layer 0 q_proj"} < set(lines)
    np.testing.assert_array_equal(lines["layer 2"].get_xdata(), full_run.norms.index)


def test_energy_is_the_share_of_the_first_directions(lora_run, full_run):
    ax = plots.plot_energy([full_run, lora_run])
    module = max(lora_run.modules, key=lambda name: norm(full_run, name))
    for line, run in zip(ax.lines, (full_run, lora_run), strict=False):
        squares = singular_values(run, module).astype(float) ** 2
        np.testing.assert_allclose(line.get_ydata(), 100 * np.cumsum(squares) / squares.sum(), rtol=1e-4)
        needed = int(line.get_label().split(": ")[1].split()[0])
        assert squares[:needed].sum() >= 0.8999 * squares.sum() > squares[: needed - 1].sum()
    with pytest.raises(InputError, match="has not moved"):
        plots.plot_energy(lora_run, module=module, step=0)


def test_rates_are_the_runs(lora_run, full_run):
    ax = plots.plot_rates([lora_run, full_run])
    for line, run in zip(ax.lines, (lora_run, full_run), strict=True):
        assert line.get_xdata()[0] == run.info.settings.learning_rate
        assert line.get_ydata()[0] == run.skill_losses["spanish"].iloc[-1]
    assert "held-out" in ax.get_ylabel()
    said = [text.get_text() for text in ax.texts]
    assert all(text.endswith(", the only one tried") for text in said) and ax.get_title(loc="left") == (
        "Learning rates, as tried"
    )


@pytest.mark.parametrize(
    "losses, ring, said",
    [
        ([2.0, 1.0, 1.5], 0.01, "0.01"),
        ([2.0, 1.0, np.nan], 0.01, "0.01"),
        ([np.nan, 1.0, np.inf], 0.01, "0.01"),
        ([1.0, 1.5, 2.0], None, "0.001, edge of what was tried"),
        ([2.0, 1.5, 1.0], None, "0.1, edge of what was tried"),
        ([1.0, 2.0, 1.0], None, "0.001, tied with another"),
        ([np.nan] * 3, None, None),
    ],
)
def test_a_rate_is_ringed_only_between_worse_ones(losses, ring, said, lora_run, monkeypatch):
    tried = pd.DataFrame({"method": "lora", "rate": [0.001, 0.01, 0.1], "loss": losses, "of": "held-out"})
    monkeypatch.setattr(rates, "final_losses", lambda _: tried)
    ax = plots.plot_rates(lora_run)
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == ([ring] if ring else [])
    assert [text.get_text() for text in ax.texts] == ([said] if said else [])
    assert ("ringed" in ax.get_title(loc="left")) == bool(ring)
    lost = np.sum(~np.isfinite(losses))
    assert ax.lines[0].get_label() == (f"lora ({lost} without a finite loss)" if lost else "lora")
    assert len(ax.lines[0].get_xdata()) == 3 - lost
