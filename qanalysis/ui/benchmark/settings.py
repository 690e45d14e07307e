"""The forms of the benchmark page; calibration and numbers of samples are those of the other pages."""

from typing import Any, TypeVar

import streamlit as st
from pydantic import ValidationError

from qanalysis.schema.errors import UserError
from qanalysis.schema.flavours import ENGINES, FLAVOURS, PRECISIONS, engine_label
from qanalysis.schema.params.deploy import BenchmarkParams, ExportParams, FastestParams
from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.saved_plan import find, saved
from qanalysis.ui.benchmark.machine import machine
from qanalysis.ui.parts import fields
from qanalysis.ui.parts.selection import Selection

P = TypeVar("P", bound=TaskParams)
_RESIDUALS = {
    "floating point (the paper)": "fp",
    "int8 (TensorRT)": "int8",
    "int8, both operands (fastest in OpenVINO)": "int8-both",
}
_BATCHES = ("1", "2", "4", "8", "16", "32", "64", "128")


def benchmark(chosen: Selection) -> BenchmarkParams | None:
    """Draws the form of a benchmark; None after telling what is wrong with it."""
    with st.expander("Settings", icon=":material/settings:"):
        here = _available()
        columns = st.columns(3)
        values: dict[str, Any] = {
            "engines": columns[0].multiselect(
                "Engines",
                ENGINES,
                default=["openvino", "onnxruntime", "torch"],
                format_func=lambda name: engine_label(name) + ("" if here.get(name, True) else " (not here)"),
                key="bench-engines",
                bind="query-params",
            ),
            "precisions": columns[1].multiselect(
                "Precisions", PRECISIONS, default=["fp32", "bf16", "int8"], key="bench-precisions", bind="query-params"
            ),
            "batches": columns[2].multiselect(
                "Batch sizes",
                _BATCHES,
                default=["1", "8"],
                key="bench-batches",
                bind="query-params",
                accept_new_options=True,
                help="Layers and predictions are measured at the last one. Type a number to add another.",
            ),
        }
        values |= _deployed(chosen)
        row = st.columns(4)
        values["plans"] = row[0].multiselect(
            "More plans",
            _fitting(chosen),
            key="bench-plans",
            bind="query-params",
            help="Saved plans of this model, measured beside the one in force.",
        )
        values["threads"] = _threads(row[1])
        values["seconds"] = row[2].number_input(
            "Seconds for each row", 0.1, 600.0, 3.0, 1.0, key="bench-seconds", bind="query-params"
        )
        values["rounds"] = row[3].number_input(
            "Rounds",
            2,
            100,
            10,
            key="bench-rounds",
            bind="query-params",
            help="Rows take turns in so many rounds, so that a slow spell of the machine meets all of them alike.",
        )
        last = st.columns(3)
        values["layers"] = last[0].toggle("Measure single layers", True, key="bench-layers", bind="query-params")
        values["gemm"] = last[1].toggle(
            "Measure products of matrices",
            True,
            key="bench-gemm",
            bind="query-params",
            help="And memory: the roofline.",
        )
        values["predict"] = last[2].toggle(
            "Measure what predicts other plans", True, key="bench-predict", bind="query-params"
        )
    return _checked(BenchmarkParams, chosen, values)


def export(chosen: Selection) -> ExportParams | None:
    """Draws the form of an export; None after telling what is wrong with it."""
    with st.expander("Settings", icon=":material/settings:", expanded=True):
        flavours = st.multiselect(
            "Files",
            list(FLAVOURS),
            default=["onnx"],
            format_func=lambda name: f"{name}: {FLAVOURS[name]}",
            key="export-flavours",
            bind="query-params",
        )
        values = _deployed(chosen)
    return _checked(ExportParams, chosen, {"flavours": flavours, **values})


def fastest(chosen: Selection, shared: BenchmarkParams, engine: str, batch: int) -> FastestParams | None:
    """Draws the form of the search for the fastest plan; None after telling what is wrong with it.

    Args:
        chosen: model and data.
        shared: settings of the benchmark, of which calibration, samples and threads are taken.
        engine: to be fast in.
        batch: samples of one inference.
    """
    columns = st.columns(4)
    target = columns[0].number_input(
        "Loss of at most, %", 0.0, 100.0, 1.0, 0.1, key="target", bind="query-params", help="Relative to fp32."
    )
    tried = columns[1].number_input("Plans to try at most", 1, 1000, 24, key="search-tried", bind="query-params")
    names = ("residual", "calibration", "calibration_samples", "evaluation_samples", "threads", "seconds")
    values = {name: getattr(shared, name) for name in names}
    values |= {"target": float(target), "most_tried": int(tried), "engine": engine, "batch": batch}
    return _checked(FastestParams, chosen, values)


def _deployed(chosen: Selection) -> dict[str, Any]:
    """What is deployed, and how it is checked."""
    columns = st.columns(4)
    calibration = fields.calibration(columns[0], chosen)
    residual = columns[1].selectbox(
        "Skip connections",
        list(_RESIDUALS),
        key="residual",
        bind="query-params",
        help="The paper adds in floating point. TensorRT recommends int8 for what skips a convolution; OpenVINO is "
        "fastest with both operands of the addition in int8, but answers a little less like the simulation then.",
    )
    calibrating = columns[2].number_input(
        "Calibration samples", 1, 100_000, 512, key="cal-samples", bind="query-params"
    )
    evaluation = columns[3].number_input(
        "Evaluation samples", 1, 100_000, 2000, key="eval-samples", bind="query-params"
    )
    return {
        "calibration": calibration,
        "residual": _RESIDUALS[residual],
        "calibration_samples": int(calibrating),
        "evaluation_samples": int(evaluation),
    }


def _threads(place: Any) -> int:
    return int(
        place.number_input("Threads", 0, 1024, 0, key="bench-threads", bind="query-params", help="0 takes all cores.")
    )


def _checked(kind: type[P], chosen: Selection, values: dict[str, Any]) -> P | None:
    try:
        return kind(model=chosen.model, data=chosen.data, task=chosen.task, plan=chosen.plan, **values)  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]).replace("_", " ") if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        st.error(f"{where}: {message}." if where else f"{message[:1].upper()}{message[1:]}.")
        return None


def _available() -> dict[str, bool]:
    """Engine → whether it is here; nothing where that cannot be told."""
    try:
        return {card.engine: card.available for card in machine().engines}
    except UserError:
        return {}


def _fitting(chosen: Selection) -> list[str]:
    """Saved plans of this model, the one in force aside."""
    fitting: list[str] = []
    try:
        names = saved()
    except (OSError, UserError):  # pages say that nothing can be kept
        return fitting
    for name in names:
        try:
            plan = find(name)
        except UserError:  # a damaged plan is told of where it is chosen, and hides no other
            continue
        if plan.model == chosen.model and (chosen.plan is None or chosen.plan.name != name):
            fitting.append(name)
    return fitting
