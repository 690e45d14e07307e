"""Fields that several forms share: a value that a saved plan decides is shown, and cannot be changed."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from qanalysis.insight.words import calibration_label, calibration_named
from qanalysis.numerics.calibrate import parse
from qanalysis.numerics.spec import Scheme
from qanalysis.schema.plan import Granularity
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui.parts.selection import Selection
from qanalysis.ui.parts.text import plain

#: Told on a field that the plan in force decides.
FROM_PLAN = "Given by the plan in force; choose none in the sidebar to set it here."
#: Told on a choice of calibrations that takes others.
_TYPE = "Others can be typed: fixed:6 for a range of ±6, percentile:99.5."
_SCHEMES: tuple[Scheme, ...] = ("scale", "affine")
_GRANULARITIES: tuple[Granularity, ...] = ("per-channel", "per-tensor")


def weight_bits(
    place: DeltaGenerator, plan: SavedPlan | None, *, label: str = "Bits of weights", key: str = "wbits"
) -> int:
    """Draws the bits of weights."""
    return _bits(place, label, key, None if plan is None else plan.plan.weight_bits)


def activation_bits(
    place: DeltaGenerator, plan: SavedPlan | None, *, label: str = "Bits of activations", key: str = "abits"
) -> int:
    """Draws the bits of activations."""
    return _bits(place, label, key, None if plan is None else plan.plan.activation_bits)


def own_activation_bits(weights: int, activations: int) -> int | None:
    """What parameters say of the bits of activations: nothing where they are those of the weights."""
    return None if weights == activations else activations


def activation_scheme(
    place: DeltaGenerator, plan: SavedPlan | None, *, label: str = "Activation scheme", key: str = "ascheme"
) -> Scheme:
    """Draws the scheme of activations."""
    if plan is None:
        help_ = "Scale is symmetric around zero; affine adds a zero point and uses one-sided ranges fully."
        return place.selectbox(label, _SCHEMES, key=key, bind="query-params", help=help_)
    place.selectbox(label, [plan.plan.activation_scheme], disabled=True, help=FROM_PLAN)
    return plan.plan.activation_scheme


def granularity(place: DeltaGenerator, plan: SavedPlan | None) -> Granularity:
    """Draws the granularity of weight ranges."""
    label = "Weight ranges"
    if plan is None:
        help_ = "One range for each output channel, or one for the whole weight."
        return place.selectbox(label, _GRANULARITIES, key="granularity", bind="query-params", help=help_)
    place.selectbox(label, [plan.plan.weight_granularity], disabled=True, help=FROM_PLAN)
    return plan.plan.weight_granularity


def calibration(place: DeltaGenerator, chosen: Selection) -> str:
    """Draws the choice of one calibration of the activations."""
    label = "Calibration"
    if chosen.plan is not None:
        place.selectbox(label, [calibration_label(chosen.plan.calibration)], disabled=True, help=FROM_PLAN)
        return chosen.plan.calibration
    return typed(
        place.selectbox(
            label,
            chosen.choices,
            format_func=calibration_label,
            key="calibration-trained" if chosen.fine_tuned else "calibration",
            bind="query-params",
            accept_new_options=True,
            help=f"Of the activations; best the one that won on the PTQ page. {_TYPE}",
        )
    )


def calibrations(chosen: Selection) -> tuple[str, ...]:
    """Draws the choice of several calibrations of the activations."""
    names = st.multiselect(
        "Calibrations",
        chosen.choices,
        default=[name for name in chosen.calibrations if name != "mse"],
        format_func=calibration_label,
        key="calibrations-trained" if chosen.fine_tuned else "calibrations",
        bind="query-params",
        accept_new_options=True,
        help=_TYPE,
    )
    return tuple(dict.fromkeys(typed(name) for name in names))


def typed(name: str) -> str:
    """A calibration that was chosen or typed, in the way names are written; the page stops if it is none."""
    try:
        return str(parse(calibration_named(name)))
    except ValueError as error:
        st.error(plain(error), icon=":material/error:")
        st.stop()


def _bits(place: DeltaGenerator, label: str, key: str, of_plan: int | None) -> int:
    if of_plan is None:
        return int(place.slider(label, 2, 8, 8, key=key, bind="query-params"))
    place.slider(label, 2, 8, of_plan, disabled=True, help=FROM_PLAN)
    return of_plan
