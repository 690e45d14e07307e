"""Export: the plan as files for engines, verified against the simulation, to take along."""

from pathlib import Path

import pandas as pd
import streamlit as st

from qanalysis import figures
from qanalysis.engines.tensorrt import command
from qanalysis.jobs.state import Job
from qanalysis.jobs.summary import duration, size
from qanalysis.schema.flavours import FLAVOURS
from qanalysis.schema.results.export import ExportResult
from qanalysis.ui.benchmark.result import SAME
from qanalysis.ui.benchmark.settings import export
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import notes, outcome
from qanalysis.ui.parts.reproduce import reproduce
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import code

_TYPES = {".json": "application/json", ".xml": "application/xml"}


def view(chosen: Selection) -> None:
    """Draws the view."""
    st.markdown(
        "One file holds the network with its weights as integers and the calibrated scales of its activations. It is "
        "read back at once and compared with the simulation, layer by layer and on real samples."
    )
    params = export(chosen)
    if params is None:
        return
    found = outcome("export", params, ExportResult, button="Export", what="Export")
    if found is not None:
        _finished(*found)


def _finished(result: ExportResult, job: Job) -> None:
    notes(result)
    _numbers(result)
    _verdict(result)
    _files(result)
    st.header("File and simulation, layer by layer")
    check = result.verification
    chart(
        figures.benchmark.parity.sites(check.sites, check.tolerance, theme=theme()),
        key="export-parity",
        file=f"{result.model.architecture}-parity",
        how_to_read=figures.benchmark.parity.HOW_TO_READ["sites"],
    )
    table = _site_table(result)
    with st.expander(f"All {len(table)} layers", icon=":material/table:"):
        st.dataframe(
            table,
            hide_index=True,
            column_config={
                name: st.column_config.NumberColumn(format="%.1e") for name in ("before it", "what it computes")
            },
        )
    reproduce(
        "export",
        result,
        result.params,
        table,
        lambda: figures.look.export.standalone_html(
            figures.benchmark.parity.sites(check.sites, check.tolerance, theme="light"), "File and simulation"
        ),
        f"{result.model.architecture}-export",
    )


def _numbers(result: ExportResult) -> None:
    check = result.verification
    columns = st.columns(5)
    columns[0].metric(
        "Same answers",
        f"{check.agreement:.2f} %",
        f"of {check.samples:,} {result.words.samples}",
        delta_color="off",
        delta_arrow="off",
        help=f"Answers of the file in {check.runtime}, and of the simulation.",
    )
    columns[1].metric(
        f"{result.metric[:1].upper()}{result.metric[1:]} of the file",
        f"{check.measured:.2f} %",
        f"{check.simulated:.2f} % simulated",
        delta_color="off",
        delta_arrow="off",
    )
    sites = len(result.coverage.sites)
    columns[2].metric("Layers in int8", f"{len(result.quantized_sites)} of {sites}")
    main = next((file for file in result.files if file.flavour == "onnx"), result.files[0])
    columns[3].metric(
        "File", size(main.bytes), f"{size(result.fp32_bytes)} in fp32", delta_color="off", delta_arrow="off"
    )
    columns[4].metric("Export took", duration(result.export_seconds), help="Without calibration and verification.")


def _verdict(result: ExportResult) -> None:
    check = result.verification
    worst = max((max(row.before, row.output) for row in check.sites), default=0.0)
    sentence = (
        f"Every layer of the file computes what the simulation does: the largest difference is {worst:.1e} of a "
        f"layer's largest value. End to end the outputs differ by {check.logits:.1e}, where rounding of floating point "
        f"alone makes {check.noise:.1e}; answers are the same for {check.agreement:.2f} % of {check.samples:,} "
        f"{result.words.samples}."
    )
    if check.agreement >= SAME:
        st.success(sentence, icon=":material/check_circle:")
    else:
        st.warning(
            f"{sentence} That is less than {SAME:g} %, although no layer differs: answers are nearly tied in this "
            "network, so that a value on the border between two integers can turn them.",
            icon=":material/warning:",
        )
    if result.float_sites:
        listed = ", ".join(f"{code(site)} ({reason})" for site, reason in list(result.float_sites.items())[:6])
        st.caption(f"In floating point: {listed}{' …' if len(result.float_sites) > 6 else ''}.")
    if result.residuals:
        both = ", and so is what they are added to" if result.params.residual == "int8-both" else ""
        st.caption(f"{len(result.residuals)} skip connections are in int8, too{both}.")


def _files(result: ExportResult) -> None:
    st.header("Files")
    folder = Path(result.folder)
    for file in result.files:
        path = folder / file.name
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"{code(file.name)}  \n{_words(file.flavour)}, {size(file.bytes)}")
            if path.is_file():
                st.download_button(
                    "Download",
                    path.read_bytes,
                    file.name,
                    _TYPES.get(path.suffix, "application/octet-stream"),
                    key=f"export-{file.name}",
                    icon=":material/download:",
                    on_click="ignore",
                    help=f"SHA-256 {file.sha256}",
                )
            else:
                st.caption("It is gone: export again.")
    st.caption(f"They are in {code(folder)}.")
    half = next((file for file in result.files if file.flavour == "onnx-fp16"), None)
    if half is not None:
        check = result.verification
        if check.half_agreement is not None:
            st.caption(
                f"The fp16 file gives the simulation's answer for {check.half_agreement:.1f} % of the "
                f"{result.words.samples}."
            )
        st.markdown("On a machine with TensorRT, this measures it:")
        shape = result.coverage.sites[0].input_shape[1:] if result.coverage.sites else (3, 224, 224)
        st.code(command(half.name, 8, shape), language="bash", wrap_lines=True)


def _words(flavour: str) -> str:
    return next((words for name, words in FLAVOURS.items() if name == flavour), flavour)


def _site_table(result: ExportResult) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "layer": row.site,
                "in the file": "int8" if row.int8 else "floating point",
                "before it": row.before,
                "what it computes": row.output,
            }
            for row in result.verification.sites
        ]
    )
