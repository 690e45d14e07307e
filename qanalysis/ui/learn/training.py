"""Lessons on training: fake quantization with its gradient, and narrow and wide minima (section 5.2, Appendix B)."""

import streamlit as st

from qanalysis.figures.learn import fake, minima
from qanalysis.numerics.minima import TwoMinima, descent, quantized
from qanalysis.numerics.spec import QuantizerSpec, Range
from qanalysis.ui.learn.lesson import Lesson, number
from qanalysis.ui.parts.chart import chart, theme

_STEPS = 120


@st.fragment
def _fake() -> None:
    columns = st.columns(3, vertical_alignment="bottom")
    bits = columns[0].slider("Bits", 2, 8, 3, key="learn-fake-bits", persist_state="session")
    alpha = columns[1].slider("α", 0.5, 4.0, 3.0, 0.1, key="learn-fake-alpha", persist_state="session")
    value = columns[2].slider("Your value x", -5.0, 5.0, 1.3, 0.05, key="learn-fake-value", persist_state="session")
    chart(
        fake.passes(QuantizerSpec(int(bits)), Range(-alpha, alpha), value, theme=theme()),
        key="learn-fake",
        file="fake-quantization",
        how_to_read=fake.HOW_TO_READ["passes"],
    )


@st.fragment
def _minima() -> None:
    columns = st.columns(3, vertical_alignment="bottom")
    start = columns[0].slider("First weight", -1.9, 2.4, -0.95, 0.05, key="learn-start", persist_state="session")
    rate = columns[1].slider("Learning rate", 0.01, 0.15, 0.05, 0.01, key="learn-rate", persist_state="session")
    width = columns[2].slider(
        "Width of the left minimum", 0.1, 0.6, 0.2, 0.05, key="learn-width", persist_state="session"
    )
    loss = TwoMinima(narrow=width)
    plain, aware = (descent(loss, start, rate, _STEPS, aware=kind) for kind in (False, True))
    chart(
        minima.descents(loss, plain, aware, theme=theme()),
        key="learn-minima",
        file="minima",
        how_to_read=minima.HOW_TO_READ["descents"],
    )
    numbers = st.columns(4)
    for place, (name, weights) in enumerate((("PTQ", plain), ("QAT", aware))):
        end = weights[-1]
        number(numbers[2 * place], f"{name}: weight", f"{end:.2f}", f"loss {float(loss(end)):.2f}")
        goal = quantized(end)
        number(numbers[2 * place + 1], f"{name}: quantized", f"{goal:.0f}", f"loss {float(loss(goal)):.2f}")


LESSONS = (
    Lesson(
        name="fake-quantization",
        title="Training through a staircase",
        source="section 5.2, Eq. 12 and 13, Fig. 4",
        words="Quantization-aware training rounds values in the forward pass, in floating point, so that the network "
        "feels what it will lose. The staircase has no useful derivative, so the backward pass takes that of the line "
        "that it follows: the **straight-through estimator**.",
        equations=(
            r"\hat{x} = \mathrm{dequantize}(\mathrm{quantize}(x)), \qquad \frac{d\hat{x}}{dx} \approx "
            r"\begin{cases} 1, & \beta \le x \le \alpha \\ 0, & \text{otherwise} \end{cases}",
        ),
        figure=_fake,
        question="What would training do with the true derivative of the staircase?",
        answer="Nothing. It is zero everywhere but at the jumps, where it does not exist: no gradient would pass a "
        "quantizer, and nothing before it would learn. With the estimator, values inside the range learn as if nothing "
        "had been rounded, and those outside do not, because a small change of them changes nothing.",
        erratum="Eq. 13 distinguishes its cases by a y that does not occur in the equation; x is meant, as here.",
    ),
    Lesson(
        name="minima",
        title="Narrow and wide minima",
        source="appendix B, Fig. 6",
        words="A network that was trained in floating point may sit in a narrow minimum, where rounding a weight costs "
        "much. Training with quantized weights feels the slope **at the rounded value**, leaves such a minimum, and "
        "stays where the rounded weight has a small loss.",
        equations=(
            r"\text{a)}\; w \leftarrow w - \eta\, L'(w) \qquad\qquad \text{b)}\; w \leftarrow w - \eta\, L'(w_q),"
            r"\quad w_q = \mathrm{round}(w)",
        ),
        figure=_minima,
        question="In b), the weight stops at about one half, halfway up the slope. Why is that no failure?",
        answer="Only the rounded weight is used when the network runs, and that is 1, at the bottom of the wide "
        "minimum. There the slope is zero, so the weight has no reason to move on. A weight close to one half has a "
        "danger of its own: a small push rounds it the other way, which is why learning rates are annealed to almost "
        "nothing.",
    ),
)
