"""Lessons on mapping, granularity and the cost of affine quantization (sections 3.1 to 3.3)."""

import numpy as np
import pandas as pd
import streamlit as st

from qanalysis.figures.learn import affine, granularity, mapping
from qanalysis.numerics.affine import operations, terms
from qanalysis.numerics.codes import codes, reals, represented
from qanalysis.numerics.spec import QuantizerSpec, Range, Scheme, step_and_zero_point
from qanalysis.ui.learn.lesson import Lesson, number
from qanalysis.ui.parts.chart import chart, theme

_SCHEMES: tuple[Scheme, ...] = ("affine", "scale")
#: A weight whose second and third channels are far smaller than the first, as after batch-norm folding.
_WEIGHT = ((0.92, 0.031, 0.0041, 0.35), (-1.27, -0.018, -0.0012, 0.11), (0.48, 0.044, 0.0027, -0.62))
#: Layers as matrix products: rows of the input, length of a dot product, output channels.
SHAPES = {
    "Convolution 3×3, 64 to 64 channels": (3136, 576, 64),
    "Depthwise convolution 3×3": (3136, 9, 1),
    "Linear layer of BERT large": (384, 1024, 1024),
    "Classifier, one image": (1, 2048, 1000),
}
_OWN = "Your own"


@st.fragment
def _mapping() -> None:
    columns = st.columns([1.5, 1, 1, 1, 1], vertical_alignment="bottom")
    scheme: Scheme = columns[0].segmented_control(
        "Scheme", _SCHEMES, default="affine", key="learn-scheme", required=True, persist_state="session"
    )
    bits = columns[1].number_input("Bits", 2, 8, 4, key="learn-bits", persist_state="session")
    scale = scheme == "scale"
    beta = columns[2].number_input(
        "β",
        value=-1.0,
        step=0.1,
        format="%.4g",
        key="learn-beta",
        persist_state="session",
        disabled=scale,
        help="Scale quantization is symmetric: β is -α.",
    )
    alpha = columns[3].number_input("α", value=2.5, step=0.1, format="%.4g", key="learn-alpha", persist_state="session")
    value = columns[4].number_input(
        "Your value x", value=1.1, step=0.05, format="%.4g", key="learn-value", persist_state="session"
    )
    if scale and alpha <= 0:
        st.info("α must be above zero: the range is [-α, α].")
        return
    if not scale and not beta < alpha:
        st.info(f"β must be below α, but β is {beta:g} and α is {alpha:g}.")
        return
    spec = QuantizerSpec(int(bits), scheme)
    range_ = Range(-alpha, alpha) if scale else Range(beta, alpha)
    chart(
        mapping.mapping(spec, range_, value, theme=theme()),
        key="learn-mapping",
        file="mapping",
        how_to_read=mapping.HOW_TO_READ["mapping"],
    )
    step, zero_point = step_and_zero_point(range_, spec)
    code = int(codes(value, range_, spec))
    back = float(reals(code, range_, spec))
    inside = represented(range_, spec)
    kind = "clipped" if not inside.beta - step / 2 <= value <= inside.alpha + step / 2 else "rounded"
    numbers = st.columns(5)
    number(numbers[0], "Scale s", f"{1 / step:.4g}", f"step 1/s = {step:.4g}")
    number(numbers[1], "Zero point z", f"{zero_point}")
    number(numbers[2], "Code of x", f"{code}")
    number(numbers[3], "Dequantized x̂", f"{back:.4g}")
    number(numbers[4], "Error x̂ - x", f"{back - value:+.3g}", kind)
    if not scale and not beta <= 0 <= alpha:
        st.caption("The range was widened to hold zero, which has to have a code of its own: padding is full of zeros.")
    elif abs(inside.beta - range_.beta) > 1e-9 * step:
        st.caption(
            f"z is rounded to an integer, so that zero is exact; this shifts the range a little, from "
            f"[{range_.beta:g}, {range_.alpha:g}] to [{inside.beta:.4g}, {inside.alpha:.4g}]."
        )


@st.fragment
def _granularity() -> None:
    left, right = st.columns([1.6, 1], vertical_alignment="center")
    with left:
        frame = pd.DataFrame(_WEIGHT, columns=[f"channel {j + 1}" for j in range(len(_WEIGHT[0]))])
        edited = st.data_editor(frame, key="learn-weight", hide_index=True, width="stretch", row_height=44)
    bits = right.slider("Bits of the weights", 2, 8, 8, key="learn-weight-bits", persist_state="session")
    right.caption("Edit any number of the matrix: a column holds the weights of one output channel.")
    weight = edited.to_numpy(dtype=np.float64, na_value=0.0)
    if not weight.any():
        st.info("All weights are zero: type a number other than zero.")
        return
    chart(
        granularity.matrices(weight, int(bits), theme=theme()),
        key="learn-granularity",
        file="granularity",
        how_to_read=granularity.HOW_TO_READ["matrices"],
    )


@st.fragment
def _affine() -> None:
    columns = st.columns([2, 1, 1, 1], vertical_alignment="bottom")
    shape = columns[0].selectbox("Layer", [*SHAPES, _OWN], key="learn-shape", persist_state="session")
    own = shape == _OWN
    m, p, n = (0, 0, 0) if own else SHAPES[shape]
    labels = ("Rows m", "Length p", "Outputs n")
    if own:
        m, p, n = (
            int(column.number_input(label, 1, 100_000, 64, key=f"learn-{label[-1]}", persist_state="session"))
            for column, label in zip(columns[1:], labels, strict=True)
        )
    else:
        for column, label, value in zip(columns[1:], labels, (m, p, n), strict=True):
            column.number_input(label, value=value, disabled=True)
    counted = operations(m, p, n)
    chart(
        affine.costs(counted, theme=theme()),
        key="learn-affine",
        file="cost-of-affine",
        how_to_read=affine.HOW_TO_READ["costs"],
    )
    with st.expander("The equation with numbers, and the sign", icon=":material/calculate:"):
        _signs()


def _signs() -> None:
    """One output of Eq. 11 for codes drawn at random."""
    columns = st.columns(2)
    z_x = int(columns[0].slider("z of the input", -128, 127, -30, key="learn-zx", persist_state="session"))
    z_w = int(columns[1].slider("z of the weight", -128, 127, 12, key="learn-zw", persist_state="session"))
    random = np.random.default_rng(0)
    x, w = random.integers(-128, 128, (1, 4)), random.integers(-128, 128, (4, 1))
    found = terms(x, w, z_x, z_w)
    truth = int(((x - z_x) @ (w - z_w))[0, 0])
    st.markdown(
        f"For x = {x[0].tolist()} and w = {w[:, 0].tolist()}: term (1) is {int(found.dot[0, 0]):,}, term (2) "
        f"{int(found.offline[0]):,}, term (3) {int(found.online[0, 0]):,}. "
        f"(1) - (2) - (3) = **{int(found.total[0, 0]):,}**, and the sum of (x - z_x)(w - z_w) is **{truth:,}**. "
        f"With the sign as printed it would be {int(found.total_as_printed[0, 0]):,}: off by "
        f"2 p z_x z_w = {2 * 4 * z_x * z_w:,}."
    )


LESSONS = (
    Lesson(
        name="affine-and-scale",
        title="Reals become integers",
        source="section 3.1, Eq. 1-8, Fig. 1",
        words="A range [β, α] of real numbers is divided into as many steps as there are integer codes; what lies "
        "outside is clipped. **Affine** quantization fits any range with a zero point z; **scale** quantization is "
        "symmetric, so that real zero is code zero.",
        equations=(
            r"x_q = \mathrm{clip}\left(\mathrm{round}(s\,x + z)\right),\quad \hat{x} = \tfrac{1}{s}(x_q - z),\quad "
            r"s_{\mathrm{affine}} = \frac{2^b - 1}{\alpha - \beta},\quad "
            r"s_{\mathrm{scale}} = \frac{2^{b-1} - 1}{\alpha}",
        ),
        figure=_mapping,
        question="The output of a ReLU lies in [0, 6]. How many of the 256 codes of int8 does each scheme use for it?",
        answer="Affine quantization uses all 256: β is 0 and z is -128. Scale quantization has to take [-6, 6], so "
        "only the codes 0 to 127 occur: 128, half the resolution, one bit less. The paper finds that this is still "
        "enough for every network it tried.",
    ),
    Lesson(
        name="granularity",
        title="One range, or one for each channel",
        source="section 3.2, Eq. 9 and 10",
        words="A range that fits the largest weight of a tensor leaves small channels hardly any codes. Weights can "
        "have one scale for each output channel, because it can be taken out of the sum; activations cannot have one "
        "for each input channel.",
        equations=(r"y_{ij} \approx \frac{1}{s_x\, s_{w,j}} \sum_{k=1}^{p} x_{q,ik}\; w_{q,kj}",),
        figure=_granularity,
        question="Why may the scale of a weight depend on the column j, but not on the row k?",
        answer="The sum runs over k. A factor that depends on j alone stands before the sum, and integers are summed "
        "inside; one that depends on k would have to be multiplied with every product, in floating point, and there "
        "would be no integer matrix product left.",
    ),
    Lesson(
        name="cost-of-affine",
        title="What a zero point costs",
        source="section 3.3, Eq. 11",
        words="With zero points, the product of two codes falls into three terms. The first is the one that scale "
        "quantization needs, too, the second is known before the network runs, but the third needs the input, and it "
        "is there only if the **weights** are affine.",
        equations=(
            r"y_{ij} \approx \frac{1}{s_x\, s_{w,j}} \Big( \underbrace{\sum_k x_{q,ik}\, w_{q,kj}}_{(1)}"
            r" - \underbrace{\sum_k \left(w_{q,kj}\, z_x \mathbf{-} z_x z_{w,j}\right)}_{(2)}"
            r" - \underbrace{\sum_k x_{q,ik}\, z_{w,j}}_{(3)} \Big)",
        ),
        figure=_affine,
        question="Activations may be affine at no cost. Why are weights better not?",
        answer="With z_w = 0 the third term vanishes, and what z_x adds is term (2), which is computed once and can be "
        "folded into the bias. With affine weights the rows of the input have to be summed at every inference. Counted "
        "in operations that is 1/n + 1/p of the product, little for a large layer, but more than the product itself "
        "for a depthwise convolution; and it needs a pass over memory of its own.",
        erratum="The paper prints a plus before $z_x z_{w,j}$ in term (2), which subtracts the product of the zero "
        "points; multiplied out, it is added, as here.",
    ),
)
