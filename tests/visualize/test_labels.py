"""Names beside points cover neither each other nor a mark, and stay in the picture."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from visualize.plots.labels import label_points

CLUSTER = np.random.default_rng(0).normal(0, 0.001, (24, 2))
PLACES = {
    "one": np.zeros((1, 2)),
    "the same place": np.zeros((12, 2)),
    "a cluster and a stranger": np.concatenate([CLUSTER[:11], [[3, 3]]]),
    "corners": np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * 5.0,
    "a line": np.stack([np.linspace(0, 1, 12), np.zeros(12)], axis=1),
}


@pytest.mark.parametrize("at", PLACES.values(), ids=PLACES)
def test_names_cover_nothing(at):
    figure, ax = plt.subplots(figsize=(11, 8.5))
    ax.scatter(*at.T)
    ax.set_aspect("equal", adjustable="datalim")
    names = [f"adapters/run-{nth}" for nth in range(len(at))]
    labels = label_points(ax, names, at)
    assert [label.get_text() for label in labels] == names
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    for nth, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:nth])
        assert not any(box.contains(*mark) for mark in ax.transData.transform(at))
        middle = ax.transData.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        assert ax.get_xlim()[0] <= middle[0] <= ax.get_xlim()[1] and ax.get_ylim()[0] <= middle[1] <= ax.get_ylim()[1]
    plt.close(figure)
