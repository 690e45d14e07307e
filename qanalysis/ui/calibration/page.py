"""The calibration page: the histogram of a layer with every cutoff (Fig. 2), all layers at once, and the weights."""

import plotly.graph_objects as go
import streamlit as st

from qanalysis import figures
from qanalysis.figures.calibration.overview import Quantity
from qanalysis.figures.look.theme import Theme
from qanalysis.numerics.spec import Scheme
from qanalysis.schema.params.accuracy import CalibrateParams, WeightsParams
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.show.tables.accuracy import channel_table, range_table
from qanalysis.ui.calibration import layer
from qanalysis.ui.parts import advice, fields, selection
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce

_VIEWS = ("One layer", "All layers", "Weights")


def page() -> None:
    """Draws the page."""
    st.title("Calibration")
    st.markdown(
        "An 8-bit code can take 255 values. Calibration chooses how far they reach: a wide range clips nothing but "
        "makes every step coarse, a narrow one has fine steps but cuts off large values."
    )
    chosen = selection.current()
    selection.plan_note(chosen.plan)
    view = st.segmented_control(
        "View", _VIEWS, default=_VIEWS[0], key="view", bind="query-params", required=True, label_visibility="collapsed"
    )
    if view == "Weights":
        _weights(chosen)
        return
    params = _settings(chosen)
    found = outcome(
        "calibrate",
        params,
        CalibrateResult,
        button="Calibrate",
        what="Observing activations",
        auto=chosen.sample,
    )
    if found is None:
        return
    result, job = found
    notes(result)
    if view == "One layer":
        layer.view(job.id, result)
        _growth(job.id, result)
    else:
        _overview(job.id, result)
    advice.cards(result.advice)
    table = range_table(result)
    reproduce(
        "calibrate",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(
            figures.calibration.overview.heatmap(layer.observations(job.id), result, theme="light"), "Cutoffs"
        ),
        f"{result.model.architecture}-ranges",
    )


def _settings(chosen: selection.Selection) -> CalibrateParams:
    with st.expander("Settings", icon=":material/settings:"):
        columns = st.columns(4)
        samples = columns[0].number_input(
            "Calibration samples", 1, 100_000, 512, key="samples", bind="query-params", help="The paper uses 1024."
        )
        bits = fields.activation_bits(columns[1], chosen.plan, label="Bits", key="bits")
        scheme = fields.activation_scheme(columns[2], chosen.plan, label="Scheme", key="scheme")
        fold = columns[3].toggle(
            "Fold batch norm", key="fold", bind="query-params", help="Move batch norm into the layer before it first."
        )
    return CalibrateParams(
        model=chosen.model,
        data=chosen.data,
        task=chosen.task,
        calibration_samples=int(samples),
        calibrations=(*chosen.calibrations[1:], "trained") if chosen.fine_tuned else chosen.calibrations,
        bits=bits,
        activation_scheme=scheme,
        fold_bn=fold,
    )


def _overview(job_id: str, result: CalibrateResult) -> None:
    quantity = st.segmented_control(
        "Show",
        ("Cutoff over maximum", "SQNR"),
        default="Cutoff over maximum",
        key="quantity",
        bind="query-params",
        required=True,
    )
    shown: Quantity = "sqnr" if quantity == "SQNR" else "ratio"
    chart(
        _heatmap(job_id, shown, theme(), result),
        key="overview",
        file=f"{result.model.architecture}-{shown}",
        how_to_read=figures.calibration.overview.HOW_TO_READ[shown],
    )


def _growth(job_id: str, result: CalibrateResult) -> None:
    with st.expander("Were these enough samples?", icon=":material/trending_flat:"):
        key = st.session_state.get("layer") or next(iter(next(iter(result.ranges.values()))))
        chart(
            figures.calibration.growth.growth(layer.observations(job_id).growth, key, theme=theme()),
            key="growth",
            file=f"{key.replace('/', '-')}-growth",
            how_to_read=figures.calibration.growth.HOW_TO_READ["growth"],
        )


@st.cache_resource(max_entries=16, show_spinner=False)
def _heatmap(job_id: str, shown: Quantity, theme: Theme, _result: CalibrateResult) -> go.Figure:
    """The figure; the errors of all layers under all calibrations take a few tenths of a second."""
    return figures.calibration.overview.heatmap(layer.observations(job_id), _result, theme=theme, quantity=shown)


def _weights(chosen: selection.Selection) -> None:
    plan = None if chosen.plan is None else chosen.plan.plan
    bits = fields.weight_bits(st.container(), chosen.plan, label="Bits of the weights", key="weight-bits")
    scheme: Scheme = "scale" if plan is None else plan.weight_scheme
    if plan is not None:
        st.caption(
            "Both kinds of range are tried on the weights of all layers alike, to see what the weights alone cost: "
            "with the plan's bits and scheme, but also in layers that it leaves in floating point or sets otherwise."
        )
    params = WeightsParams(model=chosen.model, data=chosen.data, task=chosen.task, bits=bits, weight_scheme=scheme)
    found = outcome(
        "weights",
        params,
        WeightsResult,
        button="Compare per-tensor with per-channel",
        what="Quantizing weights",
        auto=chosen.sample,
    )
    if found is None:
        return
    result, _ = found
    notes(result)
    st.header("Accuracy with weights alone in int" + str(result.params.bits))
    chart(
        figures.calibration.weights.accuracy(result, theme=theme()),
        key="weights-accuracy",
        file=f"{result.model.architecture}-weights",
        how_to_read=figures.calibration.weights.HOW_TO_READ["accuracy"],
    )
    st.header("Extent of every output channel")
    folded = st.toggle("After folding batch norm", key="folded", disabled=result.folded_pairs == 0)
    chart(
        figures.calibration.weights.channels(result, theme=theme(), folded=folded),
        key="weights-channels",
        file=f"{result.model.architecture}-channels",
        how_to_read=figures.calibration.weights.HOW_TO_READ["channels"],
    )
    sites = [channels.site for channels in result.channels]
    site = st.selectbox("One layer", sites, key="weights-site", bind="query-params")
    chart(
        figures.calibration.weights.one_site(result, site, theme=theme(), folded=folded),
        key="weights-one",
        file=f"{site}-channels",
        how_to_read=figures.calibration.weights.HOW_TO_READ["one_site"],
    )
    reproduce(
        "weights",
        result,
        result.params,
        channel_table(result),
        lambda: figures.look.export.standalone_html(
            figures.calibration.weights.accuracy(result, theme="light"), "Weights"
        ),
        f"{result.model.architecture}-weights",
    )
