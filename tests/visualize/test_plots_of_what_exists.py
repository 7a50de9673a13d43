"""Every plot draws what there is of an adapter, of two checkpoints and of a Trainer's output, and says what is not."""

import json
import shutil
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from glasstune import InputError, Run
from tests.engine.run.test_computed_kinds import LLAVA
from tests.engine.small import save_adapter, save_base, small_model
from tests.visualize.pictures import FAMILY_OF, figure_of, plot_of
from visualize import plots

NAMES = [name for name, family in FAMILY_OF.items() if family != "of_table"]
# What each source lacks: a plot of it must say so in one sentence.
GRADED = {"skills", "answers", "disagreement", "learning_curve", "plane", "sweep", "crossing", "rates", "forgetting"}
LACKS = {"adapter": {"loss", *GRADED}, "checkpoints": {"loss", "factors", *GRADED},
         "trainer": GRADED - {"skills"}, "dora": {"loss", *GRADED}}  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    base, model = save_base(folder / "base"), small_model()
    model.model.layers[1].mlp.up_proj.weight.data *= 1.1
    model.save_pretrained(folder / "tuned")
    save_adapter(folder / "adapter", base, target_modules=["q_proj"])
    save_adapter(folder / "dora", base, target_modules=["q_proj"], use_dora=True)
    shutil.copytree(folder / "adapter", folder / "out" / "checkpoint-6")
    history = [{"step": step, "loss": 2.0 - step / 10} for step in range(1, 7)] + [{"step": 6, "eval_loss": 1.9}]
    state = {"global_step": 6, "log_history": history}
    (folder / "out" / "checkpoint-6" / "trainer_state.json").write_text(json.dumps(state))
    return {
        "base": base,
        "adapter": Run.from_adapter(folder / "adapter"),
        "dora": Run.from_adapter(folder / "dora"),
        "checkpoints": Run.from_checkpoints(base, folder / "tuned", progress=False),
        "trainer": Run.from_trainer_output(folder / "out"),
    }


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("source", LACKS)
@pytest.mark.parametrize("name", NAMES)
def test_every_plot_of_every_source(name, source, stored):
    plot = plot_of(name)
    if name in LACKS[source]:
        with pytest.raises(InputError):
            plot(stored[source])
        return
    figure = figure_of(plot(stored[source]))
    figure.canvas.draw()
    titles = " ".join(text.get_text() for text in figure.findobj(plt.Text))
    assert "None" not in titles


def test_what_is_drawn_is_the_difference_of_the_files(stored):
    run = stored["checkpoints"]
    ax = plots.plot_delta(run)
    assert "up_proj" in ax.get_title(loc="left"), "the one that moved furthest"
    np.testing.assert_array_equal(ax.images[0].get_array(), run.delta("model.layers.1.mlp.up_proj"))
    assert "as saved" in ax.get_title(loc="left"), "no step is made up"


@pytest.fixture(scope="module")
def two_towers(tmp_path_factory):
    """Two checkpoints of a model that sees and writes: its two towers moved differently far."""
    folder = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(LLAVA)
    model.save_pretrained(folder / "base")
    for parameter in model.model.vision_tower.parameters():
        parameter.data *= 1.1
    for parameter in model.model.language_model.parameters():
        parameter.data *= 1.5
    model.save_pretrained(folder / "tuned")
    return Run.from_checkpoints(folder / "base", folder / "tuned", progress=False)


def test_two_towers_layers_are_two_rows_and_two_lines(two_towers):
    ax = plots.plot_layers(two_towers)
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert rows == [f"{tower} layer {number}" for tower in ("language_model", "vision_tower") for number in (0, 1)]
    column = [tick.get_text() for tick in ax.get_xticklabels()].index("q_proj")
    np.testing.assert_allclose(ax.images[0].get_array()[:, column], [50, 50, 10, 10], rtol=1e-3)
    lines = {line.get_label(): line for line in plots.plot_norms(two_towers).lines}
    for tower, share in (("language_model", 50), ("vision_tower", 10)):
        line = lines[f"all matrices of a layer of {tower}"]
        assert list(line.get_xdata()) == [0, 1]
        np.testing.assert_allclose(line.get_ydata(), share, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers.:UserWarning")
def test_an_adapter_of_the_head_alone_has_no_layers_and_is_drawn(stored, tmp_path):
    save_adapter(tmp_path / "head", stored["base"], target_modules=["lm_head"])
    run = Run.from_adapter(tmp_path / "head")
    ax = plots.plot_norms(run)
    assert [line.get_label() for line in ax.lines] == ["lm_head"] and not ax.get_xlabel()


def test_a_trainers_losses_are_drawn(stored):
    lines = {line.get_label(): line for line in plots.plot_loss(stored["trainer"]).lines}
    np.testing.assert_array_equal(lines["training, each logged step"].get_ydata(), stored["trainer"].metrics.loss)
    assert list(lines["held out"].get_ydata()) == [1.9]


def test_reading_and_measuring_do_not_load_torch():
    names = (
        "inspect.diagnose",
        "inspect.report",
        "run.run",
        "planning.memory",
        "measure.quantize",
        "measure.subspaces",
    )
    imports = "; ".join(f"import engine.{name}" for name in names)
    code = f"{imports}; import sys; assert not {{'torch', 'transformers', 'peft'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
