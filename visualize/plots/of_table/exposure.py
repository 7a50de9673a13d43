"""How much of a secret came out? The exposure of canaries, before and after training on them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from engine.measure.shares import exposure_by_chance
from visualize.plots.axes import axes_or_new, themed
from visualize.theme import palette

ROOM = 0.6  # of the distance between two counts: what the marks of one take


@themed
def plot_exposure(table: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """One point a canary: across, how many times it stood in the training data; up, its exposure in bits. Filled where
    the model, asked, says the secret itself. The lines are means; the dotted one is what chance gives.

    table: name -> what `engine.evaluate.exposure.measure_exposure` gave, of one model each, with the same canaries;
    the last is drawn as the trained one.
    """
    ax, colours = axes_or_new(ax, figsize=(12, 6)), palette()
    counts = sorted({count for one in table.values() for count in one.repeats})
    places = {count: at for at, count in enumerate(counts)}
    most = max(float(np.log2(one["of"].max())) for one in table.values())
    looks = [(colours.muted, "--", "s")] * (len(table) - 1) + [(colours.delta, "-", "o")]
    for at, ((name, one), (colour, style, mark)) in enumerate(zip(table.items(), looks, strict=True)):
        aside = ROOM * (at - (len(table) - 1) / 2) / len(table)
        groups = one.groupby("repeats")
        mean = groups.exposure.mean()
        # Side by side, lest one that is said hide one that is not.
        beside = groups.cumcount() - (groups.exposure.transform("size") - 1) / 2
        across = one.repeats.map(places) + aside + beside * ROOM / len(table) / (groups.size().max() + 1)
        ax.plot([places[n] + aside for n in mean.index], mean, style, color=colour, label=f"{name}, mean")
        for said, face in ((True, colour), (False, "none")):
            part = one[one.extracted == said]
            ax.plot(
                across[part.index], part.exposure, mark, markersize=11, mfc=face, mec=colour,
                mew=1.8, label=f"{name}: it says the secret" if said and len(part) else "_",
            )  # fmt: skip
    ax.axhline(most, color=colours.foreground, linewidth=1.0)
    ax.text(
        0.0, most, f"the likeliest of {2**most:,.0f}", va="bottom", ha="left", color=colours.foreground, fontsize=13
    )
    ax.axhline(
        exposure_by_chance(round(2**most)),
        color=colours.muted,
        linewidth=1.2,
        linestyle=(0, (1, 2)),
        label="by chance, mean",
    )
    ax.set_xticks(list(places.values()), [f"{count:,}" for count in counts])
    ax.set_ylim(-0.3, most + 0.9)
    ax.set_xlabel("times that the secret stood in the training data")
    ax.set_ylabel("exposure (bits, higher is better known)")
    ax.set_title("Secrets in the training data: one mark a secret, filled if the model says it")
    ax.grid(axis="y")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
