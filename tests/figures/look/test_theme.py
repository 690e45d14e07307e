import itertools

import numpy as np
import pytest

from qanalysis.figures.look import theme as themes
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS

THEMES = ("light", "dark")
CALIBRATIONS = (*PAPER_CALIBRATIONS, "mse", "fixed:10", themes.CUSTOM)

#: Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
COLOUR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def linear(colour):
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """Of WCAG 2."""
    darker, lighter = sorted(float(linear(colour) @ XYZ[1]) for colour in (first, second))
    return (lighter + 0.05) / (darker + 0.05)


def lab(rgb):
    x = XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", [*CALIBRATIONS, "percentile:90", "percentile:99.5", "percentile:100"])
def test_calibrations_stand_out_from_the_page(theme, name):
    assert contrast(themes.calibration_colour(name, theme), themes.PALETTES[theme].page) >= 3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("precision", ["fp32", "int8", "float-kept", "bf16", "fp16", "int8+bf16"])
def test_precisions_stand_out_from_the_page(theme, precision):
    assert contrast(themes.precision_colour(precision, theme), themes.PALETTES[theme].page) >= 3


@pytest.mark.parametrize("theme", THEMES)
def test_words_are_legible_on_the_page(theme):
    palette = themes.PALETTES[theme]
    assert all(contrast(colour, palette.page) >= 4.5 for colour in (palette.text, palette.muted, palette.clipping))


@pytest.mark.parametrize("sight", COLOUR_BLINDNESS)
@pytest.mark.parametrize("theme", THEMES)
def test_calibrations_stay_apart_for_all_eyes(theme, sight):
    matrix = np.array(COLOUR_BLINDNESS[sight])
    seen = {name: lab(matrix @ linear(themes.calibration_colour(name, theme))) for name in CALIBRATIONS}
    distances = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(CALIBRATIONS, 2)}
    assert min(distances.values()) >= 10, min(distances, key=distances.get)


@pytest.mark.parametrize("theme", THEMES)
def test_heat_map_runs_from_the_page_to_the_eye_catching(theme):
    palette = themes.PALETTES[theme]
    contrasts = [contrast(colour, palette.page) for colour in palette.scale]
    assert contrasts == sorted(contrasts)


@pytest.mark.parametrize("theme", THEMES)
def test_other_percentile_lies_between_its_neighbours(theme):
    colours = [linear(themes.calibration_colour(f"percentile:{p}", theme)) for p in (99.9, 99.97, 99.99)]
    low, high = np.minimum(colours[0], colours[2]), np.maximum(colours[0], colours[2])
    assert (low <= colours[1]).all()
    assert (colours[1] <= high).all()
    assert not np.array_equal(colours[1], colours[0])
    assert not np.array_equal(colours[1], colours[2])


@pytest.mark.parametrize("name", ["something", "percentile:much"])
def test_name_that_is_no_calibration_is_muted(name):
    assert themes.calibration_colour(name, "dark") == themes.PALETTES["dark"].muted


def test_lines_differ_without_colour():
    names = ("max", "entropy", "mse", "percentile:99.9", themes.CUSTOM)
    assert len({themes.calibration_dash(name) for name in names}) == len(names)


def test_layout_merges_margins():
    assert themes.layout("light", margin={"l": 200})["margin"]["l"] == 200
    assert themes.layout("light", margin={"l": 200})["margin"]["b"] == themes.layout("light")["margin"]["b"]


def test_blank_says_what_is_missing():
    figure = themes.blank("Nothing was measured.", "dark")
    assert figure.layout.annotations[0].text == "Nothing was measured."
    assert not figure.layout.xaxis.visible


def test_faded():
    assert themes.faded("#ff8000", 0.25) == "rgba(255,128,0,0.25)"
