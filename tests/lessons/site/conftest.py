"""A site of one small lesson, built once."""

import pytest

from lessons.site.build import build_site
from tests.lessons.small import LESSON

SHOWING = """

# %%
import pandas as pd

from engine.run.run import Run
from lessons.teaching.stage import current, explore
from visualize import plots

run = Run.load({path!r})
show(pd.DataFrame({{f"column {{n}}": [n] for n in range(30)}}))
show(plots.plot_loss(run), name="loss")
show(f"kept in {{current().folder}}")
explore(plots.plot_delta, run, name="delta", modules=run.modules[:2])
"""


@pytest.fixture(scope="session")
def site(lora_run, runs):
    lesson = runs / "small.py"
    lesson.write_text(LESSON + SHOWING.format(path=str(lora_run.path)))
    (runs / "films").mkdir()
    (runs / "films" / "small.mp4").write_bytes(b"")
    return build_site(runs / "site", [str(lesson)], kept=runs / "kept", films=runs / "films").parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """The site is built once: its tests stay in one process."""
    for item in items:
        if "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("browser"))
