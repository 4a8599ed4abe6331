"""How figures look."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from raytune_playbook.report.figures.style import COLOURS, looks_of

# Viénot, Brettel and Mollon (1999): linear RGB as someone without red or green cones sees it.
SEEN = {
    "all cones": np.eye(3),
    "no red cones": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "no green cones": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ @ np.ones(3)


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB, in which a distance of 10 is plain to see."""
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(colour: str, page: str) -> float:
    """As WCAG has it."""
    lights = sorted((TO_XYZ[1] @ linear(each) + 0.05 for each in (colour, page)), reverse=True)
    return lights[0] / lights[1]


def test_sixteen_studies_look_different():
    looks = looks_of([str(number) for number in range(16)])
    assert len(set(looks.values())) == 16


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN)
def test_colours_of_six_studies_stay_apart_for_everyone(theme, eyes):
    looks = looks_of([str(number) for number in range(6)]).values()
    colours = [look.colour if theme == "light" else look.dark_colour for look in looks]
    seen = {colour: lab(SEEN[eyes] @ linear(colour)) for colour in colours}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(colours, 2)}
    assert min(apart.values()) > 10, min(apart, key=apart.__getitem__)


def test_colours_show_on_either_page():
    assert min(contrast(colour, "#ffffff") for colour in COLOURS) > 2
    assert min(contrast(dark, "#14171b") for dark in COLOURS.values()) > 4.5
