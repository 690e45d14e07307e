"""One layer's activations: histogram with every cutoff, a custom cutoff that moves, and what each cutoff costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.insight.advice import results
from qanalysis.insight.words import calibration_label
from qanalysis.jobs.store import Store
from qanalysis.numerics.calibrate import DivergenceCurve, clipped_at, kl_divergence_curve
from qanalysis.numerics.error import QuantizationError, quantization_error
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.observations import Observations
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.site import TensorId
from qanalysis.ui.parts.chart import chart, theme

#: Positions of the cutoff slider, as a share of the largest magnitude in %.
_PERCENT = "custom-percent"
_VALUE = "custom-value"


@dataclass(frozen=True)
class Layer:
    """What is known about one tensor before the cutoff moves."""

    histogram: Histogram
    cutoffs: dict[str, float | None]
    lows: dict[str, float]
    errors: dict[str, QuantizationError]
    curve: DivergenceCurve
    spec: QuantizerSpec


@st.cache_resource(max_entries=8, show_spinner=False)
def observations(job_id: str) -> Observations:
    """The histograms of a finished calibration."""
    return Observations.load(Path(Store().folder(job_id)) / "observations.npz")


@st.cache_resource(max_entries=256, show_spinner=False)
def _layer(job_id: str, key: str, _result: CalibrateResult) -> Layer:
    histogram = observations(job_id).histograms[TensorId.parse(key)]
    spec = QuantizerSpec(_result.params.bits, _result.params.activation_scheme)
    cutoffs = {name: ranges[key] for name, ranges in _result.ranges.items()}
    ranges = {name: range_ for name in cutoffs if (range_ := _result.range_of(name, key)) is not None}
    lows = {name: range_.beta for name, range_ in ranges.items()}
    errors = {name: quantization_error(histogram, range_, spec) for name, range_ in ranges.items()}
    return Layer(histogram, cutoffs, lows, errors, kl_divergence_curve(histogram, spec.bits), spec)


def view(job_id: str, result: CalibrateResult) -> None:
    """Draws the view; moving the cutoff runs only this part of the page again."""
    keys = list(next(iter(result.ranges.values())))
    key = st.selectbox(
        "Activation",
        keys,
        key="layer",
        bind="query-params",
        help="The input of a layer. A matrix product has two: left and right.",
    )
    if st.session_state.get("layer-shown") != (job_id, key):
        st.session_state["layer-shown"] = (job_id, key)
        st.session_state.pop(_PERCENT, None)
    _panel(job_id, key, result)


@st.fragment
def _panel(job_id: str, key: str, result: CalibrateResult) -> None:
    layer = _layer(job_id, key, result)
    amax = layer.histogram.amax
    if amax == 0:
        st.info(f"Every value of {key} was zero on the calibration data: it has no range and stays in floating point.")
        return
    custom = _cutoff(amax)
    signed = layer.histogram.minimum < 0
    columns = st.columns([1, 1, 4])
    log = columns[0].toggle("Log counts", True, key="log-counts")
    magnitude = columns[1].toggle(
        "Fold signs", False, key="fold-signs", disabled=not signed, help="Show |x| instead of x."
    )
    chart(
        figures.calibration.histogram.activation(
            layer.histogram,
            layer.cutoffs,
            theme=theme(),
            log=log,
            custom=custom,
            lows=layer.lows,
            signed=signed and not magnitude,
            uirevision=f"{job_id}-{key}-{magnitude}",
        ),
        key="histogram",
        file=f"{key.replace('/', '-')}-histogram",
        how_to_read=figures.calibration.histogram.HOW_TO_READ["activation"],
    )
    errors = dict(layer.errors)
    custom_error = _error(layer.histogram, custom, layer.spec)
    if custom_error is not None:
        errors["custom"] = custom_error
    left, right = st.columns(2)
    with left:
        st.header("What each cutoff costs")
        chart(
            figures.calibration.costs.costs(errors, theme=theme()),
            key="costs",
            file=f"{key.replace('/', '-')}-costs",
            how_to_read=figures.calibration.costs.HOW_TO_READ["costs"],
        )
    with right:
        st.header("Entropy: divergence by threshold")
        chart(
            figures.calibration.divergence.divergence(layer.curve, layer.cutoffs, theme=theme(), custom=custom),
            key="divergence",
            file=f"{key.replace('/', '-')}-divergence",
            how_to_read=figures.calibration.divergence.HOW_TO_READ["divergence"],
        )
    st.dataframe(cost_table({**layer.cutoffs, "custom": custom}, errors), hide_index=True)
    _facts(layer)


def _cutoff(amax: float) -> float:
    """Slider and number for the custom cutoff, kept equal."""
    if _PERCENT not in st.session_state:
        st.session_state[_PERCENT] = 50.0
        st.session_state[_VALUE] = _rounded(amax / 2)

    def from_slider() -> None:
        st.session_state[_VALUE] = _rounded(st.session_state[_PERCENT] / 100 * amax)

    def from_number() -> None:
        st.session_state[_PERCENT] = min(100.0, max(0.5, round(100 * st.session_state[_VALUE] / amax, 1)))

    columns = st.columns([4, 1], vertical_alignment="bottom")
    columns[0].slider(
        "Your own cutoff, % of the largest magnitude", 0.5, 100.0, step=0.5, key=_PERCENT, on_change=from_slider
    )
    number = columns[1].number_input(
        "Cutoff",
        min_value=amax / 1000,
        max_value=amax,
        step=amax / 100,
        format="%.4g",
        key=_VALUE,
        on_change=from_number,
    )
    return float(number)


def _rounded(value: float) -> float:
    """Four significant digits: what the number field shows."""
    return float(f"{value:.4g}")


def _error(histogram: Histogram, cutoff: float, spec: QuantizerSpec) -> QuantizationError | None:
    range_ = clipped_at(cutoff, histogram, spec)
    return None if range_ is None else quantization_error(histogram, range_, spec)


def cost_table(cutoffs: Mapping[str, float | None], errors: Mapping[str, QuantizationError]) -> pd.DataFrame:
    """Cutoff, values clipped, the two errors and SQNR of every cutoff that has errors, by its name."""
    return pd.DataFrame(
        [
            {
                "calibration": calibration_label(name),
                "cutoff": cutoffs[name],
                "step": error.step,
                "values clipped %": error.clipped,
                "clipping error (RMS)": math.sqrt(error.clipping_mse),
                "rounding error (RMS)": math.sqrt(error.rounding_mse),
                "SQNR dB": round(error.sqnr, 2) if math.isfinite(error.sqnr) else None,
            }
            for name, error in errors.items()
        ]
    )


def _facts(layer: Layer) -> None:
    """What a newcomer might miss in the figures."""
    amax, entropy = layer.histogram.amax, layer.cutoffs.get("entropy")
    tail = layer.cutoffs.get("percentile:99.99")
    if tail and amax >= results.FAR * tail:
        st.info(
            f"A few values are far out: the maximum is {amax / tail:.0f} × the 99.99 % point. With max calibration "
            "almost all values share a few codes.",
            icon=":material/lightbulb:",
        )
    if entropy is not None and results.entropy_is_max(entropy, amax):
        st.info(
            "Entropy chose the maximum here. Its divergence is infinite wherever the last kept bin is empty, so a far "
            "outlier leaves it nothing else to choose.",
            icon=":material/lightbulb:",
        )
    elif entropy is not None and len(layer.curve.thresholds) and entropy <= layer.curve.thresholds[0] * 1.0001:
        st.info(
            "Entropy chose the smallest threshold it tries (128 bins): the best one may be smaller still.",
            icon=":material/lightbulb:",
        )
