"""Engines and processors of this machine; and TensorRT elsewhere: what to type there, and what it wrote."""

import subprocess
import sys
from typing import Any

import pandas as pd
import streamlit as st

from qanalysis.engines.protocol import LayerTime
from qanalysis.engines.tensorrt import command, profile
from qanalysis.jobs.store import Store
from qanalysis.schema.engines import Machine
from qanalysis.schema.errors import UserError
from qanalysis.schema.flavours import engine_label
from qanalysis.ui.parts.results import loaded
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import plain

_SECONDS = 120
_IMAGENET = "3x224x224"


@st.cache_resource(ttl=600, max_entries=1, show_spinner="Asking the engines …")
def machine() -> Machine:
    """What `qanalysis engines` says: in a process of its own, since engines bring large libraries along.

    Raises:
        UserError: if that does not work.
    """
    arguments = [sys.executable, "-m", "qanalysis", "engines", "--json"]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise UserError(f"The engines could not be listed: {said[-1] if said else error}") from None
    return Machine.model_validate_json(done.stdout)


def view(chosen: Selection) -> None:
    """Draws the view."""
    try:
        here = machine()
    except UserError as error:
        st.error(plain(error))
        return
    _engines(here)
    _processors(here)
    _tensorrt(chosen)


def _engines(here: Machine) -> None:
    st.header("Engines on this machine")
    rows = [
        {
            "engine": engine_label(card.engine),
            "here": "✓" if card.available else "✗",
            "version": card.version or "–",
            "precisions": ", ".join(card.precisions) or "–",
            "what for": card.purpose,
        }
        for card in here.engines
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    for card in here.engines:
        if card.reason is not None:
            st.caption(f":material/block: **{engine_label(card.engine)}** is missing. {card.reason}")


def _processors(here: Machine) -> None:
    found = here.features
    st.header("What its processors have for int8")
    columns = st.columns(4)
    columns[0].metric("CPU", found.cpu, f"{found.cores} cores", delta_color="off", delta_arrow="off")
    columns[1].metric(
        "int8 over fp32",
        f"{found.int8_ratio:.3g} ×",
        help="Multiply-accumulates per cycle that the instructions allow, int8 over fp32: 4 with VNNI or a dot "
        "product, 32 with AMX, 4/3 without either. What an engine reaches is measured by the benchmark.",
    )
    columns[2].metric("bf16 over fp32", f"{found.bf16_ratio:.3g} ×")
    columns[3].metric("NVIDIA GPU", found.gpus[0][0] if found.gpus else "none")
    with st.container(horizontal=True):
        for feature in (*found.cpu_features, *found.gpu_features):
            st.badge(feature, color="violet" if any(part in feature for part in _INTEGER) else "gray")
    st.caption("Violet: units that multiply 8-bit integers.")


_INTEGER = ("VNNI", "INT8", "dot product", "I8MM", "int8", "dp4a")


def _tensorrt(chosen: Selection) -> None:
    st.header("TensorRT on another machine")
    st.markdown(
        "Export the flavour `onnx-fp16`, take the file to a machine with an NVIDIA GPU and TensorRT, and type this "
        "there. It writes two files; bring them back to see what TensorRT really ran."
    )
    columns = st.columns([3, 1, 2])
    stem = chosen.model.partition(":")[2].partition("@")[0].partition("?")[0].rpartition("/")[2] or "model"
    file = columns[0].text_input("File", f"{stem}_int8_fp16.onnx", key="trt-file")
    batch = columns[1].number_input("Batch", 1, 4096, 8, key="trt-batch")
    shape = columns[2].text_input("Shape of one input", _shape(chosen), key="trt-shape", help="As 3x224x224.")
    sizes = [part.strip() for part in shape.lower().replace("×", "x").split("x")]
    if not all(part.isdecimal() and int(part) > 0 for part in sizes):
        st.error(f"A shape is whole numbers with x between them, such as 3x224x224, but this is {shape!r}.")
        return
    st.code(command(file, int(batch), [int(part) for part in sizes]), language="bash", wrap_lines=True)
    left, right = st.columns(2)
    times = left.file_uploader("profile.json", type="json", key="trt-profile")
    layers = right.file_uploader("layers.json", type="json", key="trt-layers")
    if times is None:
        return
    try:
        found = profile(_text(times), _text(layers) if layers is not None else "")
    except UserError as error:
        st.error(plain(error))
        return
    _profile(found)


def _profile(found: tuple[LayerTime, ...]) -> None:
    total = sum(layer.ms for layer in found)
    in_int8 = sum(layer.ms for layer in found if layer.precision == "int8")
    columns = st.columns(3)
    columns[0].metric("Time of all steps", f"{total:.3f} ms")
    columns[1].metric("Steps", f"{len(found)}")
    known = any(layer.precision for layer in found)
    columns[2].metric("Time in int8", f"{100 * in_int8 / total:.1f} %" if known and total else "unknown")
    if not known:
        st.caption("Precisions are in layers.json: add it to see which one TensorRT really ran.")
    rows = [
        {
            "step": layer.name,
            "ms": layer.ms,
            "share %": 100 * layer.ms / total if total else 0.0,
            "really ran in": layer.precision or "?",
            "kernel": layer.kernel,
            "nodes": ", ".join(layer.nodes),
        }
        for layer in sorted(found, key=lambda layer: -layer.ms)
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "ms": st.column_config.NumberColumn(format="%.4f"),
            "share %": st.column_config.ProgressColumn(format="%.1f", min_value=0, max_value=100),
        },
    )


def _text(file: Any) -> str:
    """Content of an uploaded file.

    Raises:
        UserError: if it is no text.
    """
    try:
        return str(file.getvalue().decode())
    except UnicodeDecodeError:
        raise UserError(f"{file.name} is not a text file: trtexec writes JSON.") from None


def _shape(chosen: Selection) -> str:
    """Shape of one input of the model, where something has been measured; else that of ImageNet."""
    try:
        store = Store()
        for job in store.jobs():
            if job.params.model == chosen.model and job.params.data == chosen.data and job.state == "finished":
                coverage = getattr(loaded(job), "coverage", None)
                if coverage is not None and coverage.sites:
                    return "x".join(map(str, coverage.sites[0].input_shape[1:]))
    except (OSError, UserError):  # it is only a suggestion
        return _IMAGENET
    return _IMAGENET
