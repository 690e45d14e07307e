"""Fields that several forms share: a value that a saved plan decides is shown, and cannot be changed."""

from streamlit.delta_generator import DeltaGenerator

from qanalysis.insight.words import calibration_label
from qanalysis.numerics.spec import Scheme
from qanalysis.schema.plan import Granularity
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.ui.parts.selection import Selection

#: Told on a field that the plan in force decides.
FROM_PLAN = "Given by the plan in force; choose none in the sidebar to set it here."
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
    return place.selectbox(
        label,
        chosen.calibrations,
        format_func=calibration_label,
        key="calibration-trained" if chosen.fine_tuned else "calibration",
        bind="query-params",
        help="Of the activations; best the one that won on the PTQ page.",
    )


def _bits(place: DeltaGenerator, label: str, key: str, of_plan: int | None) -> int:
    if of_plan is None:
        return int(place.slider(label, 2, 8, 8, key=key, bind="query-params"))
    place.slider(label, 2, 8, of_plan, disabled=True, help=FROM_PLAN)
    return of_plan
