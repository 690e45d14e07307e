"""The plan editor: a switch for every layer, many at once, undo; bits and calibration of single layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from qanalysis.insight.words import calibration_label
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import SensitivityRow
from qanalysis.schema.site import Coverage, Site
from qanalysis.ui.parts.selection import FIXED
from qanalysis.ui.sensitivity.drafts import INHERITED, Drafts, edited

_CALIBRATIONS = (INHERITED, *PAPER_CALIBRATIONS, "mse", "fixed:6", FIXED, "fixed:20")
_BITS = (INHERITED, "8", "7", "6", "5", "4", "3", "2")


def editor(
    drafts: Drafts, coverage: Coverage, rows: Sequence[SensitivityRow], fp32: float, gains: Mapping[str, float]
) -> None:
    """Draws the table and the buttons above it; every change makes a new draft.

    Args:
        drafts: the plans made so far.
        coverage: the model's sites.
        rows: their sensitivity, the most sensitive first.
        fp32: accuracy in floating point, in %.
        gains: how much faster each is in int8, in ms; empty where that was not measured.
    """
    _buttons(drafts, coverage, [row.site for row in rows])
    shown = _filtered(drafts, coverage.sites)
    if not shown:
        st.info("No layer matches the search.")
        return
    key = f"plan-table-{drafts.version}"
    names = [site.name for site in shown]

    def changed() -> None:
        drafts.make(edited(drafts.shown, names, st.session_state[key]["edited_rows"]), in_table=True)

    st.data_editor(
        table(drafts.shown, shown, rows, coverage.macs, fp32, gains),
        key=key,
        on_change=changed,
        hide_index=True,
        num_rows="fixed",
        height=min(38 + 35 * len(shown), 420),
        disabled=["layer", "kind", "work %", "divergence", "change, points", "int8 saves"],
        column_config=_columns(drafts.shown),
    )


def _columns(plan: Plan) -> dict[str, Any]:
    """How the columns look and what may be chosen in them; a calibration that the plan brings can be kept."""
    own = [override.calibration for override in plan.overrides.values() if override.calibration]
    return {
        "float": st.column_config.CheckboxColumn("float", help="Leave this layer in floating point.", width="small"),
        "layer": st.column_config.TextColumn("layer", width="medium"),
        "work %": st.column_config.ProgressColumn(
            "work %", help="Share of all multiply-accumulates.", format="%.1f", min_value=0, max_value=100
        ),
        "divergence": st.column_config.NumberColumn(
            "divergence", help="Divergence that this layer alone causes.", format="%.2e"
        ),
        "change, points": st.column_config.NumberColumn(
            "change, points", help="Accuracy with this layer alone quantized, minus fp32.", format="%+.2f"
        ),
        "int8 saves": st.column_config.NumberColumn(
            "int8 saves, ms", help="Time that it saves in int8, from the benchmark of this model.", format="%+.3f"
        ),
        "weight bits": st.column_config.SelectboxColumn(
            "w bits", options=_BITS, required=True, width="small", help="Bits of its weight."
        ),
        "activation bits": st.column_config.SelectboxColumn(
            "a bits", options=_BITS, required=True, width="small", help="Bits of its activations."
        ),
        "calibration": st.column_config.SelectboxColumn(
            "calibration",
            options=tuple(dict.fromkeys((*_CALIBRATIONS, *own))),
            required=True,
            format_func=lambda name: name if name == INHERITED else calibration_label(str(name)),
        ),
    }


def table(
    plan: Plan,
    sites: Sequence[Site],
    rows: Sequence[SensitivityRow],
    macs: int,
    fp32: float,
    gains: Mapping[str, float],
) -> pd.DataFrame:
    """One row per layer in the order of execution: its switch, what it is, what it costs, and its own settings."""
    measured = {row.site: row for row in rows}
    frame = []
    for site in sites:
        override, row = plan.overrides.get(site.name), measured.get(site.name)
        settings = (override.weight_bits, override.activation_bits, override.calibration) if override else (None,) * 3
        frame.append(
            {
                "float": site.name in plan.skip,
                "layer": site.name,
                "kind": "depthwise convolution" if site.depthwise else site.kind,
                "work %": 100 * site.macs / max(macs, 1),
                "divergence": row.divergence if row else None,
                "change, points": row.relative * fp32 / 100 if row else None,
                **({"int8 saves": gains.get(site.name)} if gains else {}),
                "weight bits": str(settings[0] or INHERITED),
                "activation bits": str(settings[1] or INHERITED),
                "calibration": settings[2] or INHERITED,
            }
        )
    return pd.DataFrame(frame)


def block(site: str) -> str:
    """The part of the network that a layer belongs to: `layer1.0` of `layer1.0.conv2`."""
    path = site.partition(":")[0].split(".")
    return ".".join(path[:2]) if len(path) > 2 else path[0]


def _buttons(drafts: Drafts, coverage: Coverage, ranking: list[str]) -> None:
    sites = [site.name for site in coverage.sites]
    columns = st.columns([3, 2, 2, 1, 1, 2], vertical_alignment="bottom")
    with columns[0]:
        count = st.number_input("Most sensitive layers", 1, max(len(ranking), 1), min(3, len(ranking)), key="plan-top")
    columns[1].button(
        "To floating point",
        key="plan-top-float",
        width="stretch",
        on_click=lambda: drafts.make(drafts.plan.skipping(*ranking[: int(count)])),
    )
    columns[2].button(
        "First and last",
        key="plan-ends",
        width="stretch",
        help="Keep the first and the last layer in floating point, a common habit.",
        on_click=lambda: drafts.make(drafts.plan.skipping(sites[0], sites[-1])),
    )
    columns[3].button(
        "", icon=":material/undo:", key="plan-undo", help="Undo", disabled=drafts.at == 0, on_click=drafts.undo
    )
    columns[4].button(
        "",
        icon=":material/redo:",
        key="plan-redo",
        help="Redo",
        disabled=drafts.at + 1 >= len(drafts.history),
        on_click=drafts.redo,
    )
    columns[5].button(
        "All to integers",
        key="plan-clear",
        width="stretch",
        disabled=not drafts.plan.skip and not drafts.plan.overrides,
        on_click=lambda: drafts.make(drafts.plan.restoring(*sites).model_copy(update={"overrides": {}})),
    )


def _filtered(drafts: Drafts, sites: Sequence[Site]) -> list[Site]:
    """Search, kind and block; the layers that match, and buttons to switch them all."""
    columns = st.columns([3, 2, 2, 2, 2], vertical_alignment="bottom")
    kinds = sorted({"depthwise convolution" if site.depthwise else site.kind for site in sites})
    blocks = list(dict.fromkeys(block(site.name) for site in sites))
    text = columns[0].text_input("Search layers", key="plan-search", on_change=drafts.refresh, placeholder="conv1")
    kind = columns[1].selectbox("Kind", ["all kinds", *kinds], key="plan-kind", on_change=drafts.refresh)
    part = columns[2].selectbox("Block", ["all blocks", *blocks], key="plan-block", on_change=drafts.refresh)
    shown = [
        site
        for site in sites
        if text.strip().lower() in site.name.lower()
        and kind in ("all kinds", "depthwise convolution" if site.depthwise else site.kind)
        and part in ("all blocks", block(site.name))
    ]
    names = [site.name for site in shown]
    everything = len(shown) == len(sites)
    columns[3].button(
        "Shown to float",
        key="plan-shown-float",
        width="stretch",
        disabled=everything or not shown,
        help="Switch the layers that match the search to floating point.",
        on_click=lambda: drafts.make(drafts.plan.skipping(*names)),
    )
    columns[4].button(
        "Shown to integers",
        key="plan-shown-int",
        width="stretch",
        disabled=everything or not shown,
        on_click=lambda: drafts.make(drafts.plan.restoring(*names)),
    )
    return shown
