"""Where the time goes: layer by layer, what really ran, where int8 does not pay, and the roofline."""

import streamlit as st

from qanalysis import figures
from qanalysis.insight.words import counted
from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.benchmark import BenchmarkResult, LayerRow, Layers
from qanalysis.show.tables.speed import layer_table
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.text import code

_READ = figures.benchmark.latency.HOW_TO_READ
_ORDERS = ("Order of execution", "Longest first", "Least gain first")
#: Rows beyond which the chart scrolls in a frame of its own, and its height in px.
_ROWS, _FRAME = 22, 640


def section(result: BenchmarkResult, name: str) -> None:
    """Draws the section."""
    layers = result.layers
    assert layers is not None
    st.header(f"Where the time goes in {engine_label(layers.engine)}, batch {layers.batch}")
    _totals(layers)
    columns = st.columns([3, 2], vertical_alignment="bottom")
    order = columns[0].segmented_control(
        "Order", _ORDERS, default=_ORDERS[0], key="layer-order", required=True, label_visibility="collapsed"
    )
    measured = list(layers.total_ms)
    shown = columns[1].pills(
        "Precisions",
        measured,
        selection_mode="multi",
        default=[one for one in measured if one in ("fp32", "int8")] or measured,
        key="layer-precisions",
        label_visibility="collapsed",
    )
    rows = _ordered(layers, str(order))
    with st.container(height=_FRAME, border=False) if len(rows) > _ROWS else st.container():
        chart(
            figures.benchmark.latency.layers(rows, shown or measured, theme=theme()),
            key="bench-layers-chart",
            file=f"{name}-layers",
        )
    st.caption(_READ["layers"])
    _remarks(layers)
    with st.expander("Every layer: kernel, and the precision that really ran", icon=":material/table:"):
        table = layer_table(layers)
        three = st.column_config.NumberColumn(format="%.4f")
        two = st.column_config.NumberColumn(format="%.2f")
        formats = {one: three for one in table.columns if one.endswith(" ms")}
        formats |= {one: st.column_config.NumberColumn(format="%.0f") for one in table.columns if one.endswith("%")}
        st.dataframe(table, hide_index=True, column_config=formats | {"speed-up": two, "M MACs": two})
        st.download_button(
            "Layers (CSV)",
            table.to_csv(index=False),
            f"{name}-layers.csv",
            "text/csv",
            key="csv-layers",
            icon=":material/download:",
            on_click="ignore",
        )
    if result.roofline is not None:
        st.header("Roofline: what limits each layer")
        chart(
            figures.benchmark.latency.roofline(layers.rows, result.roofline, theme=theme()),
            key="bench-roofline",
            file=f"{name}-roofline",
            how_to_read=_READ["roofline"],
        )


def not_paying(layers: Layers) -> list[LayerRow]:
    """Layers of the plan that are slower in int8 than in fp32, conversions included; what costs most first."""
    slow = [row for row in layers.rows if row.planned and row.speedup is not None and row.speedup < 1]
    return sorted(slow, key=lambda row: -_lost(row))


def converting_ms(layers: Layers, precision: str) -> float:
    """Time that changes of precision and memory layout take before layers."""
    return sum(row.conversion_ms.get(precision, 0.0) for row in layers.rows)


def _totals(layers: Layers) -> None:
    columns = st.columns(max(len(layers.total_ms), 1) + 1)
    for column, (name, total) in zip(columns, layers.total_ms.items(), strict=False):
        other = layers.other_ms.get(name, 0.0)
        column.metric(
            f"All steps, {name}",
            f"{total:.3g} ms",
            f"{other:.3g} ms in no layer",
            delta_color="off",
            delta_arrow="off",
            help="Sum of all steps as the engine tells them. In no layer: additions, activations, pooling.",
        )
    if "int8" in layers.total_ms:
        cost = converting_ms(layers, "int8")
        columns[-1].metric(
            "Changing precision",
            f"{cost:.3g} ms",
            f"{100 * cost / layers.total_ms['int8']:.1f} % of int8",
            delta_color="off",
            delta_arrow="off",
            help="Steps of the int8 network that only convert or reorder the inputs of layers.",
        )


def _remarks(layers: Layers) -> None:
    slow = not_paying(layers)
    if slow:
        listed = ", ".join(f"{code(row.site)} ({row.speedup:.2f} ×)" for row in slow[:6])
        more = f" and {len(slow) - 6} more" if len(slow) > 6 else ""
        st.warning(
            f"Int8 does not pay in {len(slow)} of {counted(len(layers.rows), 'layer')}: {listed}{more}. Together they "
            f"would save {sum(_lost(row) for row in slow):.3g} ms in floating point, if the changes of precision cost "
            "nothing.",
            icon=":material/trending_down:",
        )
    wrong = [row for row in layers.rows if row.planned and row.ran.get("int8") not in (None, "", "int8")]
    if wrong:
        listed = ", ".join(f"{code(row.site)} in {row.ran['int8']}" for row in wrong[:6])
        st.warning(
            f"{counted(len(wrong), 'layer')} of the plan did not run in int8, though the file asks for it: {listed}.",
            icon=":material/warning:",
        )


def _lost(row: LayerRow) -> float:
    return sum(sign * (row.ms[name] + row.conversion_ms.get(name, 0.0)) for name, sign in (("int8", 1), ("fp32", -1)))


def _ordered(layers: Layers, order: str) -> list[LayerRow]:
    rows = list(layers.rows)
    if order == _ORDERS[1]:
        rows.sort(key=lambda row: -max((ms + row.conversion_ms.get(n, 0.0) for n, ms in row.ms.items()), default=0.0))
    elif order == _ORDERS[2]:
        rows.sort(key=lambda row: float("inf") if row.speedup is None else row.speedup)
    return rows
