"""The choice of model and data, in the sidebar of every page and in the URL."""

from dataclasses import dataclass

import streamlit as st

from qanalysis.insight.words import counted
from qanalysis.names import refuse_from_page
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema import paths, trained
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.errors import UserError
from qanalysis.schema.saved_plan import SavedPlan, find, saved
from qanalysis.schema.tasks import AUTO, TASKS, known
from qanalysis.ui.parts.text import code, plain

#: The sample model that a new visitor sees.
_FIRST = "resnet20"
_MORE_MODELS = ("torchvision:resnet50", "torchvision:mobilenet_v2", "torchvision:efficientnet_b0")
#: What the choice of a saved plan says when there is none.
NO_PLAN = "none: all layers alike"
#: A fixed range to choose; others are typed.
FIXED = "fixed:10"
_DATA = ("sample:cifar10", "sample:scenes", "torchvision:CIFAR10")


@dataclass(frozen=True)
class Selection:
    """What is analysed on every page, and the saved plan in force."""

    model: str
    data: str
    plan: SavedPlan | None = None
    task: str = AUTO

    @property
    def sample(self) -> bool:
        """Whether both come with the tool: small enough to be run without being asked."""
        return self.model.startswith("sample:") and self.data.startswith("sample:")

    @property
    def fine_tuned(self) -> bool:
        """Whether the model is a checkpoint that quantization-aware training wrote, with ranges of its own."""
        source, _, rest = self.model.partition(":")
        if source != "checkpoint":
            return False
        try:
            return trained.read(paths.expanded(rest.partition("?")[0])) is not None
        except UserError:  # the analysis says what is wrong with it
            return False

    @property
    def calibrations(self) -> tuple[str, ...]:
        """Calibrations to choose from: the ranges that the model was trained with, where it was, and all others."""
        return (*(("trained",) if self.fine_tuned else ()), *PAPER_CALIBRATIONS, "mse")

    @property
    def choices(self) -> tuple[str, ...]:
        """The same, and the fixed range of the paper's Appendix D, beside which others can be typed."""
        return (*self.calibrations, FIXED)


def sidebar() -> None:
    """Draws the choice; the URL carries it, so that a reload or a shared link finds it again."""
    samples = sorted(sample_models(), key=lambda name: (name != _FIRST, name))
    models = [f"sample:{name}" for name in samples] + list(_MORE_MODELS)
    if not samples:
        st.sidebar.warning("No sample models were found beside the program; name your own below.")
    with st.sidebar:
        st.selectbox(
            "Model",
            _with_current("model", models),
            key="model",
            bind="query-params",
            accept_new_options=True,
            on_change=_take_its_data,
            help="Choose, or type a name: torchvision:NAME, timm:NAME, hf:ID, checkpoint:PATH?arch=NAME. "
            "@none after a name gives random weights.",
        )
        st.selectbox(
            "Data",
            _with_current("data", list(_DATA)),
            key="data",
            bind="query-params",
            accept_new_options=True,
            help="Choose, or type a name: imagefolder:PATH for a folder of images, coco:PATH for images with boxes, "
            "masks:PATH for images with masks, pairs:PATH for sentences, npz:PATH for arrays, hf:ID or hf:PATH for "
            "tables.",
        )
        st.selectbox(
            "Task",
            _with_current("task", [AUTO, *TASKS]),
            key="task",
            bind="query-params",
            accept_new_options=True,
            help="What the network is for, which decides how accuracy is measured. auto: what the data says, else the "
            "model. fidelity needs no labels and fits every network.",
        )
        _plan()


def _take_its_data() -> None:
    """A sample model is shown with the sample data that it was trained for."""
    model, data = str(st.session_state.get("model")), str(st.session_state.get("data"))
    record = sample_models().get(model.partition(":")[2]) if model.startswith("sample:") else None
    if record is not None and data.startswith("sample:"):
        st.session_state["data"] = record.get("data", _DATA[0])


def current() -> Selection:
    """The choice; the page stops with a sentence if it is incomplete or not allowed."""
    model, data = st.session_state.get("model"), st.session_state.get("data")
    if not model or not data:
        st.info("Choose a model and data in the sidebar.")
        st.stop()
    try:
        task = str(st.session_state.get("task") or AUTO)
        refuse_from_page(str(model), str(data), task)
        if not known(task):
            raise UserError(f"Unknown task {task[:80]!r}; choose one in the sidebar.")
    except UserError as error:
        st.error(plain(error))
        st.stop()
    name = st.session_state.get("plan")
    try:
        plan = find(name) if name and name != NO_PLAN else None
    except UserError as error:
        st.error(plain(error))
        plan = None
    return Selection(str(model), str(data), plan, task)


def plan_note(plan: SavedPlan | None) -> None:
    """Says that a saved plan is in force, and what it holds."""
    if plan is None:
        return
    floats = [site for site in plan.sites if not plan.plan.quantizes(site)]
    kept = f"; in floating point: {', '.join(f'{code(site)}' for site in floats)}" if floats else ""
    own = f"; settings of its own: {counted(len(plan.plan.overrides), 'layer')}" if plan.plan.overrides else ""
    st.info(
        f"Plan **{plan.name}** is in force, chosen in the sidebar: {plan.plan.weight_bits}-bit weights, "
        f"{plan.plan.activation_bits}-bit activations{kept}{own}.",
        icon=":material/bookmark:",
    )


def _plan() -> None:
    """The choice of a saved plan; not shown as long as none was saved."""
    try:
        names = saved()
    except (OSError, UserError):  # pages say that nothing can be kept
        return
    if not names:
        return
    if st.session_state.get("plan") not in (None, NO_PLAN, *names):  # deleted meanwhile
        del st.session_state["plan"]
    st.selectbox(
        "Plan",
        [NO_PLAN, *names],
        key="plan",
        bind="query-params",
        help="A saved choice of layers and bits, used on every page. Made on the Sensitivity page.",
    )


def _with_current(key: str, options: list[str]) -> list[str]:
    """The options, a value typed earlier, and the one that the URL carries: a link may bring another than that."""
    values = (st.session_state.get(key), st.query_params.get(key))
    return list(dict.fromkeys([*options, *(value for value in values if value)]))
