"""A point of accuracy against speed that was clicked: what its plan is, and where it can go."""

import streamlit as st
from pydantic import ValidationError

from qanalysis.figures.benchmark.tradeoff import Point
from qanalysis.schema import saved_plan
from qanalysis.schema.errors import UserError
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui import navigation
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import code, plain
from qanalysis.ui.sensitivity import drafts


def panel(chosen: Selection, point: Point, plan: Plan | None, source: BenchmarkResult | FastestResult) -> None:
    """What a clicked point is, and where it can go."""
    sites = [site.name for site in source.coverage.sites]
    floats = [site for site in sites if plan is None or not plan.quantizes(site)]
    with st.container(border=True):
        st.markdown(
            f"**{point.name}**: {point.accuracy:.2f} % in {point.ms:.3g} ms "
            f"({'measured' if point.measured else 'predicted'}); "
            + (
                "every layer in floating point."
                if len(floats) == len(sites)
                else f"in floating point: {', '.join(f'{code(site)}' for site in floats)}."
                if floats
                else "every layer in int8."
            )
        )
        if plan is None:
            return
        kept = next((name for name in saved_plan.saved() if _same(name, plan, source.model.name)), None)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.button(
                "Open on Sensitivity",
                key="point-sensitivity",
                icon=navigation.sensitivity().icon,
                on_click=_open,
                args=(floats,),
                help="Switch single layers of it there, and see accuracy and latency at once.",
            )
            if kept is not None:
                st.button(
                    "In force already" if chosen.plan is not None and chosen.plan.name == kept else f"Use {kept!r}",
                    key="point-use",
                    icon=":material/bookmark:",
                    disabled=chosen.plan is not None and chosen.plan.name == kept,
                    on_click=navigation.go,
                    args=(navigation.benchmark(),),
                    kwargs={"plan": kept},
                    help="On every page, among them PTQ and the export.",
                )
            else:
                name = st.text_input(
                    "Name", f"{source.model.architecture} {_slug(point.name)}"[:64], key="point-name", width=320
                )
                if st.button("Save and use", key="point-save", icon=":material/bookmark_add:"):
                    _keep(name, plan, source)


def _open(floats: list[str]) -> None:
    drafts.offer(floats)
    navigation.go(navigation.sensitivity())


def _same(name: str, plan: Plan, model: str) -> bool:
    try:
        known = saved_plan.find(name)
    except UserError:
        return False
    return known.plan == plan and known.model == model


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in " .+-_@" else "" for c in text).strip()


def _keep(name: str, plan: Plan, source: BenchmarkResult | FastestResult) -> None:
    try:
        calibration = source.params.effective_calibration
        kept = SavedPlan.of(name.strip(), source.model.name, source.coverage, calibration, plan)
        saved_plan.save(kept)
    except ValidationError as error:
        st.error(error.errors()[0]["msg"].removeprefix("Value error, ").capitalize() + ".")
        return
    except OSError as error:
        st.error(f"The plan cannot be saved: {plain(error)}.")
        return
    navigation.go(navigation.benchmark(), plan=kept.name)
    st.rerun()
