"""Settings of the sensitivity page; bits and samples are those of the PTQ page, so that a visitor sets them once."""

import streamlit as st

from qanalysis.schema.params.accuracy import SensitivityParams
from qanalysis.ui.parts import fields
from qanalysis.ui.parts.selection import Selection

_MODES = {"One layer quantized": "only", "All but one quantized": "without"}
_PARTS = {"weights and activations": "both", "weights only": "weights", "activations only": "activations"}
_RANKS = {"divergence": "divergence", "accuracy": "accuracy"}


def settings(chosen: Selection) -> SensitivityParams:
    """Draws the form and returns what it says."""
    with st.expander("Settings", icon=":material/settings:"):
        first = st.columns([4, 4, 4, 4, 5])
        weight_bits = fields.weight_bits(first[0], chosen.plan)
        activation_bits = fields.activation_bits(first[1], chosen.plan)
        scheme = fields.activation_scheme(first[2], chosen.plan)
        calibration = fields.calibration(first[3], chosen)
        mode = first[4].selectbox(
            "Mode",
            list(_MODES),
            key="mode",
            bind="query-params",
            help="One layer quantized at a time, as in the paper; or the opposite, which shows what a layer costs "
            "among all others.",
        )
        columns = st.columns(4)
        evaluation = columns[0].number_input(
            "Samples to measure on", 1, 100_000, 512, key="sensitivity-images", bind="query-params"
        )
        calibrating = columns[1].number_input(
            "Calibration samples", 1, 100_000, 512, key="cal-samples", bind="query-params"
        )
        parts = columns[2].selectbox("Quantize", list(_PARTS), key="parts", bind="query-params")
        rank = columns[3].selectbox(
            "Order by",
            list(_RANKS),
            key="rank",
            bind="query-params",
            help="The divergence of the answers resolves what a few hundred samples cannot resolve in accuracy.",
        )
        columns = st.columns(4)
        target = columns[0].number_input(
            "Target: loss of at most, %",
            0.0,
            100.0,
            1.0,
            0.1,
            key="target",
            bind="query-params",
            help="Relative to fp32.",
        )
        most = columns[1].number_input("Layers to skip at most", 0, 1000, 10, key="most", bind="query-params")
        harmless = columns[2].number_input(
            "Stop at layers that lose less than, points",
            0.0,
            10.0,
            0.0,
            0.1,
            key="harmless",
            bind="query-params",
            help="A layer that surely loses less is not measured on all samples. 0 measures every layer on all.",
        )
        memory = columns[3].number_input(
            "Memory for replay, MB",
            0,
            65_536,
            1024,
            key="memory",
            bind="query-params",
            help="Recorded outputs of the layers before the quantized one. Less is slower, not different.",
        )
    return SensitivityParams(
        model=chosen.model,
        data=chosen.data,
        task=chosen.task,
        plan=chosen.plan,
        bits=weight_bits,
        activation_bits=fields.own_activation_bits(weight_bits, activation_bits),
        calibration=calibration,
        parts=_PARTS[parts],
        activation_scheme=scheme,
        mode=_MODES[mode],
        rank=_RANKS[rank],
        evaluation_samples=int(evaluation),
        calibration_samples=int(calibrating),
        target=float(target),
        most_skipped=int(most),
        harmless=float(harmless),
        memory_mb=int(memory),
    )
