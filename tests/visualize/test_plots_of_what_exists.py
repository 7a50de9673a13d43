"""Every plot draws what there is of an adapter, of two checkpoints and of a Trainer's output, and says what is not."""

import json
import shutil
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from glasstune import InputError, Run
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


def test_a_trainers_losses_are_drawn(stored):
    lines = {line.get_label(): line for line in plots.plot_loss(stored["trainer"]).lines}
    np.testing.assert_array_equal(lines["training, each step"].get_ydata(), stored["trainer"].metrics.loss)
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
