"""Drafts: the plan that a person is making by hand, with undo; kept in the session and, as far as it says which layers
stay in floating point, in the URL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from qanalysis.schema.plan import Override, Plan

#: The sites in floating point, in the URL.
_QUERY = "float"
#: What the table calls a setting that is the plan's own.
INHERITED = "plan"
_OFFERED = "drafts-offered"


@dataclass
class Drafts:
    """Plans in the order in which they were made.

    Attributes:
        history: all of them; what was undone lies behind `at`.
        at: number of the current one.
        shown: the plan that the table's own edits start from.
        version: counts how often the table had to be made anew: after every change that was not made in it.
    """

    history: list[Plan]
    at: int = 0
    shown: Plan = field(default_factory=Plan)
    version: int = 0

    @property
    def plan(self) -> Plan:
        """The current plan."""
        return self.history[self.at]

    def make(self, plan: Plan, *, in_table: bool = False) -> None:
        """Makes a plan the current one; what had been undone is forgotten."""
        if plan == self.plan:
            return
        del self.history[self.at + 1 :]
        self.history.append(plan)
        self._go(self.at + 1, in_table)

    def undo(self) -> None:
        """Goes back to the plan before."""
        if self.at > 0:
            self._go(self.at - 1, False)

    def redo(self) -> None:
        """Takes back an undo."""
        if self.at + 1 < len(self.history):
            self._go(self.at + 1, False)

    def refresh(self) -> None:
        """Lets the table start from the current plan, before its rows change."""
        self.shown = self.plan
        self.version += 1

    def _go(self, at: int, in_table: bool) -> None:
        self.at = at
        remember(self.plan)
        if not in_table:
            self.refresh()


def drafts(identity: str, base: Plan, sites: Iterable[str]) -> Drafts:
    """The drafts of this session for one analysis; the first starts from the URL's sites.

    Args:
        identity: what the drafts belong to: another model or other bits have others.
        base: the plan without choices by hand.
        sites: names that the URL may hold; others are ignored.
    """
    key = f"drafts-{identity}"
    found = st.session_state.get(key)
    if not isinstance(found, Drafts):
        known = set(sites)
        floats = [name for name in st.query_params.get(_QUERY, "").split(",") if name in known]
        start = base.skipping(*floats)
        history = [base, start] if floats else [base]
        found = Drafts(history, len(history) - 1, start)
        st.session_state[key] = found
    return found


def offer(floats: Iterable[str]) -> None:
    """Lets the next page with drafts go on from these sites in floating point, and all others quantized."""
    st.session_state[_OFFERED] = tuple(floats)


def take_offer(made: Drafts, base: Plan, sites: Iterable[str]) -> None:
    """Makes what was offered the current draft, if something was.

    Args:
        made: the drafts.
        base: the plan without choices by hand.
        sites: names that there are; others are ignored.
    """
    offered = st.session_state.pop(_OFFERED, None)
    if offered is not None:
        known = set(sites)
        made.make(base.skipping(*(name for name in offered if name in known)))


def remember(plan: Plan) -> None:
    """Writes the choice of layers to the URL."""
    if plan.skip:
        st.query_params[_QUERY] = ",".join(sorted(plan.skip))
    else:
        st.query_params.pop(_QUERY, None)


def edited(plan: Plan, sites: list[str], edits: Mapping[int, Mapping[str, Any]]) -> Plan:
    """The plan with the edits of the table.

    Args:
        plan: the plan that the table showed when it was made.
        sites: its rows.
        edits: changed cells by row: `float`, `weight bits`, `activation bits` and `calibration`.
    """
    for row, cells in edits.items():
        site = sites[int(row)]
        if "float" in cells:
            plan = plan.skipping(site) if cells["float"] else plan.restoring(site)
        changes = {name.replace(" ", "_"): _setting(name, value) for name, value in cells.items() if name in _OVERRIDES}
        if changes:
            override = plan.overrides.get(site) or Override()
            plan = plan.overriding(site, override.model_copy(update=changes))
    return plan


_OVERRIDES = ("weight bits", "activation bits", "calibration")


def _setting(name: str, value: Any) -> Any:
    if value in (None, "", INHERITED):
        return None
    return str(value) if name == "calibration" else int(value)
