"""Lessons on calibration: clipping against rounding, and the entropy search step by step (section 3.4)."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from qanalysis.figures.learn import calibration as learn_calibration
from qanalysis.figures.learn import entropy
from qanalysis.figures.learn.calibration import Errors
from qanalysis.figures.look.theme import CUSTOM
from qanalysis.numerics.calibrate import DivergenceCurve, clipped_at, kl_divergence_curve, parse
from qanalysis.numerics.candidate import candidate
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.ui.calibration.layer import cost_table
from qanalysis.ui.learn.lesson import Lesson, number
from qanalysis.ui.parts.chart import chart, theme

_SAMPLES = 200_000
#: Percentiles that are drawn beside max and entropy; with fewer lines a lecture is easier to follow.
_DRAWN = ("max", "entropy", "percentile:99.9", "percentile:99.99")
#: Cutoffs at which the error curves are computed.
_POINTS = 96


def _relu() -> NDArray[np.float64]:
    return np.maximum(np.random.default_rng(0).normal(0.2, 1.0, _SAMPLES), 0)


def _tail() -> NDArray[np.float64]:
    return np.maximum(np.random.default_rng(1).laplace(0.0, 0.8, _SAMPLES), 0)


def _outlier() -> NDArray[np.float64]:
    return np.append(_relu(), 150.0)


def _bell() -> NDArray[np.float64]:
    return np.random.default_rng(2).normal(size=_SAMPLES)


DISTRIBUTIONS = {
    "Long tail after a ReLU": _tail,
    "Short tail after a ReLU": _relu,
    "One far outlier": _outlier,
    "Bell, both signs": _bell,
}


@dataclass(frozen=True)
class Prepared:
    """What is known of a distribution before a slider moves."""

    histogram: Histogram
    cutoffs: dict[str, float | None]
    curve: DivergenceCurve
    errors: Errors


def errors(histogram: Histogram, spec: QuantizerSpec, points: int = _POINTS) -> Errors:
    """Clipping and rounding error by cutoff, root mean squares in the tensor's unit."""
    cutoffs = np.linspace(1 / points, 1, points) * histogram.amax
    found = [
        quantization_error(histogram, range_, spec)
        for cutoff in cutoffs.tolist()
        if (range_ := clipped_at(cutoff, histogram, spec)) is not None
    ]
    clipping, rounding = ([getattr(error, name) for error in found] for name in ("clipping_mse", "rounding_mse"))
    return Errors(cutoffs, np.sqrt(np.asarray(clipping)), np.sqrt(np.asarray(rounding)))


@st.cache_resource(max_entries=64, show_spinner=False)
def prepared(name: str, bits: int) -> Prepared:
    """A distribution of `DISTRIBUTIONS` with its cutoffs and curves."""
    histogram = Histogram.of(DISTRIBUTIONS[name]())
    spec = QuantizerSpec(bits)
    ranges = {calibration: parse(calibration)(histogram, spec) for calibration in _DRAWN}
    cutoffs = {calibration: None if range_ is None else range_.alpha for calibration, range_ in ranges.items()}
    return Prepared(histogram, cutoffs, kl_divergence_curve(histogram, bits), errors(histogram, spec))


def _chosen(columns: list[st.delta_generator.DeltaGenerator]) -> tuple[Prepared, int]:
    """The distribution and the bits, the same in both lessons."""
    name = columns[0].selectbox("Values", list(DISTRIBUTIONS), key="learn-distribution", persist_state="session")
    bits = int(columns[1].slider("Bits", 2, 8, 4, key="learn-cal-bits", persist_state="session"))
    return prepared(name, bits), bits


@st.fragment
def _tradeoff() -> None:
    columns = st.columns([1.2, 1, 1.6])
    found, bits = _chosen(columns)
    amax = found.histogram.amax
    percent = columns[2].slider(
        "Your cutoff, % of the largest value", 1.0, 100.0, 60.0, 0.5, key="learn-cutoff", persist_state="session"
    )
    custom = percent / 100 * amax
    chart(
        learn_calibration.tradeoff(found.histogram, found.cutoffs, found.errors, custom, theme=theme()),
        key="learn-tradeoff",
        file="clipping-and-rounding",
        how_to_read=learn_calibration.HOW_TO_READ["tradeoff"],
    )
    cutoffs = {**{name: cutoff for name, cutoff in found.cutoffs.items() if cutoff is not None}, CUSTOM: custom}
    spec = QuantizerSpec(bits)
    measured = {
        name: quantization_error(found.histogram, range_, spec)
        for name, cutoff in cutoffs.items()
        if (range_ := clipped_at(cutoff, found.histogram, spec)) is not None
    }
    st.dataframe(cost_table(cutoffs, measured), hide_index=True, row_height=40)


@st.fragment
def _entropy() -> None:
    columns = st.columns([1.2, 1, 1.6])
    found, bits = _chosen(columns)
    if not len(found.curve.divergence):
        st.info("These values fill too few bins to search.")
        return
    first = round(float(found.curve.thresholds[0]) / found.histogram.width)
    last = len(found.histogram.magnitudes)
    if not first <= st.session_state.get("learn-kept", first) <= last:  # another distribution has other bins
        del st.session_state["learn-kept"]
    kept = columns[2].slider(
        "Bins kept",
        first,
        last,
        (first + last) // 2,
        key="learn-kept",
        persist_state="session",
        help="Of the histogram.",
    )
    shown = candidate(found.histogram, int(kept), bits)
    others = {name: cutoff for name, cutoff in found.cutoffs.items() if name != "entropy"}
    chart(
        entropy.step(shown, found.curve, found.histogram.amax, others, theme=theme()),
        key="learn-entropy",
        file="entropy-calibration",
        how_to_read=entropy.HOW_TO_READ["step"],
    )
    numbers = st.columns(4)
    number(numbers[0], "Cutoff", f"{shown.cutoff:.4g}", f"{kept} of {last} bins")
    numbers[1].metric("Beyond it", f"{shown.clipped:.3g} %")
    numbers[2].metric("Divergence", f"{shown.divergence:.3g} nats" if np.isfinite(shown.divergence) else "infinite")
    numbers[3].metric("Entropy chooses", f"{found.curve.best:.4g}")


LESSONS = (
    Lesson(
        name="clipping-and-rounding",
        title="Where to cut",
        source="section 3.4, Fig. 2",
        words="A wide range clips nothing, but its steps are coarse; a narrow one has fine steps, but cuts off large "
        "values. **Max** takes the largest value seen, a **percentile** leaves a share of the values beyond, and both "
        "are blind to the error that they cause.",
        equations=(
            r"\mathrm{E}\left[(x - \hat{x})^2\right] = \underbrace{\mathrm{E}\left[(|x| - \alpha)^2\,;\, |x| > \alpha"
            r"\right]}_{\text{clipping}} + \underbrace{\mathrm{E}\left[(x - \hat{x})^2\,;\, |x| \le \alpha\right]}_{"
            r"\text{rounding, about } \frac{1}{12\,s^2}}",
        ),
        figure=_tradeoff,
        question="With 8 bits the lowest point of the error lies further right than with 4. Why?",
        answer="Every bit more halves the step, so rounding costs a quarter, while clipping costs the same as before. "
        "The best cutoff moves outwards, to where what is clipped is again as dear as what is rounded. Try it with the "
        "slider of bits; with few bits, clipping is cheap.",
    ),
    Lesson(
        name="entropy",
        title="Entropy calibration, step by step",
        source="section 3.4, after Migacz 2017",
        words="For every possible cutoff, the histogram is merged into as many levels as there are codes, and compared "
        "with what it was. The cutoff with the smallest Kullback-Leibler **divergence** wins: the one that loses least "
        "information, not the one with the smallest error.",
        equations=(r"\mathrm{KL}(P \,\|\, Q) = \sum_i P_i \log \frac{P_i}{Q_i}",),
        figure=_entropy,
        question="Choose the values with one far outlier. Why does entropy calibration take the maximum now?",
        answer="Between the many small values and the outlier, all bins are empty. A cutoff there puts the clipped "
        "mass of P into a bin in which Q has nothing, and the divergence is infinite; cutoffs under the first 128 bins "
        "are not tried. What is left is the maximum. A percentile is not led astray by a single value.",
    ),
)
