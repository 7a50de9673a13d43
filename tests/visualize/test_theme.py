"""No two meanings share a colour, and those of one kind stay apart for colour-blind eyes and, mostly, in grey."""

import itertools

import numpy as np
import pytest

from visualize.theme import PALETTES, rgb_of

KINDS = {
    "matrices": ("W", "A", "B", "delta"), "methods": ("full", "lora", "qlora"), "verdicts": ("right", "wrong"),
    "signs": ("negative", "positive"), "rates": ("low", "usual", "high"),
}  # fmt: skip
# How a colour is seen without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1), on linear RGB.
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def colours(theme):
    palette = PALETTES[theme]
    plain = {name: getattr(palette, name) for kind in ("matrices", "methods", "verdicts") for name in KINDS[kind]}
    return plain | {"negative": palette.stops[1], "positive": palette.stops[5]} | dict(
        zip(KINDS["rates"], palette.rates, strict=True)
    )  # fmt: skip


def linear(colour):
    rgb = np.array(rgb_of(colour)) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Ottosson's Oklab (2020) of linear RGB: equal distances look about equally different."""
    cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    axes = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.array(axes) @ np.cbrt(np.array(cones) @ np.clip(rgb, 0, 1))


def apart(one, other, seen="all cones"):
    eyes = np.array(SEEN[seen])
    return float(np.linalg.norm(lab(eyes @ linear(one)) - lab(eyes @ linear(other))))


@pytest.mark.parametrize("theme", PALETTES)
def test_no_two_meanings_share_a_colour(theme):
    shown = colours(theme)
    for one, other in itertools.combinations(shown, 2):
        assert apart(shown[one], shown[other]) > 0.07, f"{one} and {other}"


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("theme", PALETTES)
def test_those_of_one_kind_stay_apart_for_all_eyes(theme, kind, seen):
    shown = colours(theme)
    for one, other in itertools.combinations(KINDS[kind], 2):
        assert apart(shown[one], shown[other], seen) > 0.055, f"{one} and {other}"


@pytest.mark.parametrize("theme", PALETTES)
def test_right_and_wrong_are_told_apart_in_grey(theme):
    light = [
        lab(np.full(3, linear(getattr(PALETTES[theme], name)) @ [0.2126, 0.7152, 0.0722]))[0]
        for name in KINDS["verdicts"]
    ]
    assert abs(light[0] - light[1]) > 0.1
