"""Lessons on real networks: GELU and Swish, and batch-norm folding (Appendices C and D, Tables 3 and 12)."""

import numpy as np
import streamlit as st

from qanalysis.figures.calibration import weights
from qanalysis.figures.learn import calibration, folding, gelu
from qanalysis.numerics.activations import Activation
from qanalysis.numerics.calibrate import clipped_at
from qanalysis.numerics.codes import codes
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.paper import paper
from qanalysis.schema.params.accuracy import CalibrateParams, WeightsParams
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.schema.site import TensorId
from qanalysis.ui.calibration import layer
from qanalysis.ui.learn.calibration import errors
from qanalysis.ui.learn.lesson import Lesson, number
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import outcome

_ACTIVATIONS: tuple[Activation, ...] = ("GELU", "Swish")
_VIT, _DATA = "sample:vit", "sample:cifar10"
#: Sample models with batch norm, the most instructive first.
_FOLDABLE = ("mobilenet_v2", "efficientnet", "resnet20")
#: Largest weight of each channel of an imaginary layer.
_TRAINED = (1.0, 0.82, 0.91, 0.74, 0.88, 0.79, 0.95, 0.7)


@st.fragment
def _near_zero() -> None:
    columns = st.columns([1.2, 2, 1], vertical_alignment="bottom")
    name: Activation = columns[0].segmented_control(
        "Activation", _ACTIVATIONS, default="GELU", key="learn-activation", required=True, persist_state="session"
    )
    end = columns[1].slider("End of the range", 1.0, 60.0, 50.0, 0.5, key="learn-end", persist_state="session")
    bits = columns[2].slider("Bits", 2, 8, 8, key="learn-gelu-bits", persist_state="session")
    chart(
        gelu.near_zero(name, end, int(bits), theme=theme()),
        key="learn-gelu",
        file="gelu",
        how_to_read=gelu.HOW_TO_READ["near_zero"],
    )
    table = paper().tables["12"]
    row = dict(zip(table.columns, table.rows[0].accuracies, strict=True))
    st.markdown(
        f"**Table 12.** BERT large, {table.rows[0].fp32:.2f} F1 in floating point, falls to {row['max']:.2f} with max "
        f"calibration. With GELU's output cut at 10, max calibration gives {row['max with GELU10']:.2f}, better than "
        f"every other calibration ({row['percentile:99.999']:.2f}), and without training."
    )


def negative_codes(end: float, bits: int, deepest: float) -> int:
    """Codes below zero that values down to `deepest` can take, in a symmetric range that ends at `end`."""
    return -min(int(codes(deepest, Range(-end, end), QuantizerSpec(bits))), 0)


def _gelu() -> None:
    _near_zero()
    st.header("A real GELU layer")
    if _VIT.partition(":")[2] not in sample_models():
        st.info("The sample ViT was not found beside the program.")
        return
    found = outcome(
        "calibrate",
        CalibrateParams(model=_VIT, data=_DATA),
        CalibrateResult,
        button="Look into the sample ViT",
        what="Observing activations",
    )
    if found is not None:
        _real(found[1].id)


@st.cache_resource(max_entries=32, show_spinner=False)
def _errors(job_id: str, key: str, bits: int, _histogram: Histogram) -> calibration.Errors:
    return errors(_histogram, QuantizerSpec(bits))


@st.fragment
def _real(job_id: str) -> None:
    histograms = layer.observations(job_id).histograms
    layers = [key for key in map(str, histograms) if key.endswith(".mlp.2")]
    columns = st.columns([1.4, 2, 1], vertical_alignment="bottom")
    key = columns[0].selectbox("Input of layer", layers, key="learn-gelu-layer", persist_state="session")
    percent = columns[1].slider(
        "Clip at, % of the largest value", 1.0, 100.0, 50.0, 1.0, key="learn-gelu-clip", persist_state="session"
    )
    bits = int(columns[2].slider("Bits", 2, 8, 8, key="learn-real-bits", persist_state="session"))
    histogram = histograms[TensorId.parse(key)]
    amax, clip = histogram.amax, percent / 100 * histogram.amax
    spec = QuantizerSpec(bits)
    chart(
        calibration.tradeoff(histogram, {"max": amax}, _errors(job_id, key, bits, histogram), clip, theme=theme()),
        key="learn-gelu-real",
        file="gelu-layer",
        how_to_read=calibration.HOW_TO_READ["tradeoff"],
    )
    numbers = st.columns(4)
    number(numbers[0], "Largest value", f"{amax:.3g}", f"smallest {histogram.minimum:.3g}")
    for column, name, end in ((numbers[1], "max", amax), (numbers[2], f"clipped at {clip:.3g}", clip)):
        count = negative_codes(end, bits, histogram.minimum)
        number(column, f"Negative codes, {name}", f"{count}")
    ratio = [
        quantization_error(histogram, range_, spec).sqnr
        for end in (amax, clip)
        if (range_ := clipped_at(end, histogram, spec)) is not None
    ]
    number(numbers[3], "SQNR when clipped", f"{ratio[1]:.1f} dB", f"max: {ratio[0]:.1f} dB")
    if amax <= 10:
        st.caption(
            f"Cutting at 10 as in GELU10 would change nothing here: the largest value is {amax:.3g}. Outliers like "
            "BERT's grow with the size of a transformer; the sample model has one million parameters."
        )


def codes_left(largest: np.ndarray[tuple[int], np.dtype[np.float64]], bits: int) -> list[int]:
    """Codes that the weights of each channel can take under one symmetric range for all.

    Args:
        largest: `(n,)` largest magnitude of each channel.
        bits: of the weights.
    """
    end = float(largest.max())
    return [2 * int(code) + 1 for code in codes(largest, Range(-end, end), QuantizerSpec(bits))]


@st.fragment
def _imaginary() -> None:
    columns = st.columns([2, 1], vertical_alignment="bottom")
    decades = columns[0].slider(
        "Ratio of the largest to the smallest γ/σ, as a power of ten",
        0.0,
        4.0,
        2.0,
        0.25,
        key="learn-spread",
        persist_state="session",
    )
    bits = int(columns[1].slider("Bits", 2, 8, 8, key="learn-fold-bits", persist_state="session"))
    trained = np.asarray(_TRAINED)
    factors = 10 ** -np.linspace(0, decades, len(trained))
    most = 2 * QuantizerSpec(bits).code_max + 1
    chart(
        folding.codes_left(codes_left(trained, bits), codes_left(trained * factors, bits), most, theme=theme()),
        key="learn-folding",
        file="folding",
        how_to_read=folding.HOW_TO_READ["codes_left"],
    )


def _folding() -> None:
    _imaginary()
    st.header("A real network")
    names = [name for name in _FOLDABLE if name in sample_models()]
    if not names:
        st.info("No sample models were found beside the program.")
        return
    columns = st.columns(2)
    name = columns[0].segmented_control(
        "Network", names, default=names[0], key="learn-network", required=True, persist_state="session"
    )
    bits = columns[1].segmented_control(
        "Bits of its weights", (8, 6, 4), default=8, key="learn-network-bits", required=True, persist_state="session"
    )
    found = outcome(
        "weights",
        WeightsParams(model=f"sample:{name}", data=_DATA, bits=bits),
        WeightsResult,
        button=f"Measure the four ways on {name} in int{bits}",
        what="Quantizing weights",
    )
    if found is not None:
        result, _ = found
        chart(
            weights.accuracy(result, theme=theme()),
            key="learn-weights",
            file=f"{name}-weights",
            how_to_read=weights.HOW_TO_READ["accuracy"],
        )
    row = paper().tables["3"].row("EfficientNet b0")
    values = dict(zip(paper().tables["3"].columns, row.accuracies, strict=True))
    st.markdown(
        f"**Table 3.** The paper's EfficientNet b0, {row.fp32:.2f} % in fp32, keeps "
        f"{values['per-channel folded']:.2f} % with ranges per channel, folded or not. Per "
        f"tensor it has {values['per-tensor']:.2f} % before folding, and **{values['per-tensor folded']:.2f} %** "
        "after. The sample networks bear more in 8 bits; in 4, MobileNet and EfficientNet fail as it does."
    )


LESSONS = (
    Lesson(
        name="gelu-and-swish",
        title="Activations with a small negative part",
        source="appendix D, Eq. 17 and 18, Fig. 7, Table 12",
        words="GELU and Swish are never smaller than -0.17 and -0.28, but have no largest value. A symmetric range "
        "that reaches far enough for the large values has steps so coarse that **all negative ones become zero**.",
        equations=(
            r"\mathrm{swish}(x) = x \cdot \mathrm{sigmoid}(x), \qquad "
            r"\mathrm{GELU}(x) = \frac{x}{2}\left(1 + \mathrm{erf}\left(\tfrac{x}{\sqrt{2}}\right)\right)",
        ),
        figure=_gelu,
        question="How far may the range reach in int8 before GELU loses its last negative code?",
        answer="A value is rounded to code -1 if it is below minus half a step: α / 127 / 2 < 0.17, so α may be 43.2. "
        "With the range 50 nothing negative is left; with 10 there are two negative codes. Move the end of the range "
        "across 43 and watch.",
    ),
    Lesson(
        name="folding",
        title="Folding batch norm",
        source="section 4.1, appendix C, Eq. 14-16, Table 3",
        words="At inference, batch norm is a factor and a summand for each channel, which can be moved into the "
        "weights before it, at no cost. But the factors differ from channel to channel, and so do the weights then: "
        "**one range for the whole tensor** leaves small channels hardly any codes.",
        equations=(
            r"w'_{kj} = c_j\, w_{kj}, \qquad b'_j = c_j\, b_j + d_j, \qquad "
            r"c_j = \frac{\gamma_j}{\sqrt{\mathrm{Var}[y_j] + \epsilon}}",
        ),
        figure=_folding,
        question="Why does folding do no harm when every channel has a range of its own?",
        answer="The factor c_j multiplies all weights of its channel. With a range per channel the scale is divided by "
        "the same factor, so the integer codes are the very same as before: only the scale, which is floating point "
        "anyway, has changed.",
    ),
)
