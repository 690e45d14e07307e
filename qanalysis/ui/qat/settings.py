"""The form of the QAT page: presets, and every setting of a fine-tune."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic import ValidationError

from qanalysis.insight.words import calibration_label
from qanalysis.insight.workflow.steps import LOW_BIT_TRAINING
from qanalysis.schema.params.qat import BEST, QatParams
from qanalysis.ui.parts import fields
from qanalysis.ui.parts.selection import Selection

#: Settings that come close to floating point at 4 bits and below, as measured in docs/results.md.
LOW_BIT: Mapping[str, Any] = {**LOW_BIT_TRAINING, "epochs": 8}

#: What each preset gives; everything else that presets speak of is at its default.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "The paper's recipe": {},
    "1 minute on this machine": {"minutes": 1.0},
    "5 minutes": {"minutes": 5.0},
    "Low bits": LOW_BIT,
}
_WORDS = {
    "The paper's recipe": "1 % of the original learning rate, falling on a cosine, for about 10 % of the original "
    "schedule (Appendix A.2). Enough for 8 bits.",
    "1 minute on this machine": "As many steps as fit into a minute, shared with the control in floating point.",
    "5 minutes": "As many steps as fit into five minutes, shared with the control in floating point.",
    "Low bits": "For 4 bits and fewer, where a careful fine-tune is too timid: 10 % of the original learning rate, and "
    "affine activations, which give what comes after a ReLU all 16 codes instead of 8.",
}
_BATCH_NORM = {
    "trained": "Statistics follow the training batches, as in the original training, and adapt to the rounded "
    "activations. Right for batches of 32 or more.",
    "frozen": "Statistics stay those of the original training. Right for small batches, or very few steps.",
    "folded": "Scale and shift are folded into the weights first, so that training rounds exactly the weights that a "
    "deployed network has (Appendix C). Harder to train.",
}
_SCHEMES = {"scale": "scale (symmetric)", "affine": "affine (zero point)"}
_RANGES = {"fixed": "fixed by calibration", "learned": "learned (PACT)"}
_LENGTHS = {"recipe": "10 % of the original", "epochs": "epochs", "steps": "steps", "minutes": "minutes"}
_OPTIMIZERS = {"auto": "as the original", "sgd": "SGD with momentum", "adamw": "AdamW"}
_AUTOCAST = {"none": "float32", "bf16": "bfloat16", "fp16": "float16 (GPU)"}
_PRESET, _LENGTH, _AMOUNT = "qat-preset", "length", "amount"
#: Parameters that presets speak of, beside the length.
_SPOKEN_OF = (
    "activation_scheme",
    "ranges",
    "range_learning_rate",
    "range_weight_decay",
    "batch_norm",
    "train_batch_size",
    "optimizer",
    "learning_rate",
    "rate_share",
    "final_share",
    "momentum",
    "weight_decay",
    "label_smoothing",
    "teacher",
    "patience",
)
_LENGTH_FIELDS = ("epochs", "steps", "minutes")


def settings(chosen: Selection) -> QatParams | None:
    """Draws the form and returns what it says; None after telling what is wrong with it."""
    place = st.container()
    with st.expander("Settings", icon=":material/settings:"):
        values = {**_network(chosen), **_training(), **_details()}
    try:
        params = QatParams(model=chosen.model, data=chosen.data, task=chosen.task, plan=chosen.plan, **values)
    except ValidationError as error:
        params = None
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"]).replace("_", " ")
        message = first["msg"].removeprefix("Value error, ")
        st.error(f"{where}: {message}." if where else f"{message[:1].upper()}{message[1:]}.")
    with place:
        _presets(params)
    if params is not None and params.ranges == "learned" and params.effective_plan().activation_scheme != "scale":
        st.error("Learned ranges are symmetric: choose scale activations for them, or fixed ranges.")
        return None
    return params


def key_of(name: str) -> str:
    """Key of a parameter's widget, which is its name in the address."""
    return f"qat-{name.replace('_', '-')}"


def preset_of(params: QatParams) -> str | None:
    """The preset that says just this, if there is one."""
    for name, preset in PRESETS.items():
        if all(getattr(params, field) == _value(preset, field) for field in (*_SPOKEN_OF, *_LENGTH_FIELDS)):
            return name
    return None


def _value(preset: Mapping[str, Any], field: str) -> Any:
    return preset.get(field, QatParams.model_fields[field].default)


def _presets(params: QatParams | None) -> None:
    """The presets, of which the one is marked that the form says right now."""
    now = None if params is None else preset_of(params)
    st.session_state[_PRESET] = now

    def take() -> None:
        picked = st.session_state[_PRESET]
        if picked is not None:
            _fill(PRESETS[picked])

    st.pills("Preset", list(PRESETS), key=_PRESET, on_change=take)
    st.caption(_WORDS[now] if now is not None else "Settings of your own.")


def _fill(preset: Mapping[str, Any]) -> None:
    """Writes a preset into the form's widgets."""
    for field in _SPOKEN_OF:
        st.session_state[key_of(field)] = _value(preset, field)
    length = next((field for field in _LENGTH_FIELDS if field in preset), "recipe")
    st.session_state[_LENGTH] = length
    st.session_state[_AMOUNT] = None if length == "recipe" else float(preset[length])


def _network(chosen: Selection) -> dict[str, Any]:
    """What is quantized, and how."""
    planned = chosen.plan is not None
    help_ = fields.FROM_PLAN if planned else None
    columns = st.columns(4)
    weight_bits = fields.weight_bits(columns[0], chosen.plan)
    activation_bits = fields.activation_bits(columns[1], chosen.plan)
    calibration = columns[2].selectbox(
        "Start from",
        [BEST, *chosen.choices],
        format_func=lambda name: "the best without training" if name == BEST else calibration_label(name),
        key="start-calibration",
        bind="query-params",
        accept_new_options=True,
        disabled=planned,
        help=help_ or "Calibration of the activations. The best is found by trying all of the paper's (Table 8).",
    )
    ranges = columns[3].selectbox(
        "Activation ranges",
        list(_RANGES),
        format_func=_RANGES.__getitem__,
        key=key_of("ranges"),
        bind="query-params",
        help="Fixed ranges stay where calibration put them. Learned ranges move with training (section 5.3): they "
        "make up for a bad calibration, and for few bits.",
    )
    first, choice, why = st.columns([1, 1, 2], vertical_alignment="bottom")
    scheme = first.selectbox(
        "Activations",
        list(_SCHEMES),
        format_func=_SCHEMES.__getitem__,
        key=key_of("activation_scheme"),
        bind="query-params",
        disabled=planned,
        help=help_ or "Scale wastes half of its codes on tensors without negative values; learned ranges need it.",
    )
    batch_norm = choice.selectbox("Batch norm", list(_BATCH_NORM), key=key_of("batch_norm"), bind="query-params")
    why.caption(_BATCH_NORM[batch_norm])
    return {
        "bits": weight_bits,
        "activation_bits": fields.own_activation_bits(weight_bits, activation_bits),
        "calibration": calibration if calibration == BEST else fields.typed(calibration),
        "activation_scheme": scheme,
        "ranges": ranges,
        "batch_norm": batch_norm,
    }


def _training() -> dict[str, Any]:
    """How long, how fast, on what."""
    columns = st.columns(4)
    length = columns[0].selectbox(
        "Length",
        list(_LENGTHS),
        format_func=_LENGTHS.__getitem__,
        key=_LENGTH,
        bind="query-params",
        help="Of the original training, where it is known.",
    )
    amount = columns[1].number_input(
        "How many" if length == "recipe" else f"How many {length}",
        0.1,
        1e6,
        None,
        1.0,
        format="%g",
        placeholder="open" if length == "recipe" else "1",
        key=_AMOUNT,
        bind="query-params",
        disabled=length == "recipe",
    )
    rate = _open(columns[2], "learning_rate", "Learning rate", "a share of the original", 1e-7)
    optimizer = columns[3].selectbox(
        "Optimizer",
        list(_OPTIMIZERS),
        format_func=_OPTIMIZERS.__getitem__,
        key=key_of("optimizer"),
        bind="query-params",
    )
    columns = st.columns(4)
    samples = _whole(columns[0], "train_samples", "Training samples", 1_000_000)
    batch = _whole(columns[1], "train_batch_size", "Samples in a step", 65_536)
    control = columns[2].toggle(
        "Control in floating point",
        True,
        key=key_of("control"),
        bind="query-params",
        help="The same fine-tune without quantization tells what more training gains by itself. Takes as long again.",
    )
    teacher = columns[3].toggle(
        "Learn the fp32 answers",
        key=key_of("teacher"),
        bind="query-params",
        help="The floating-point model is the teacher: its answers take the place of the labels (distillation).",
    )
    values = {"learning_rate": rate, "optimizer": optimizer, "train_samples": samples, "train_batch_size": batch}
    if length != "recipe":
        values[length] = float(amount or 1) if length == "minutes" else max(1, round(amount or 1))
    return values | {"control": control, "teacher": teacher}


def _details() -> dict[str, Any]:
    """What is seldom changed."""
    columns = st.columns(4)
    decay = _open(columns[0], "weight_decay", "Weight decay", "the original's", 0.0)
    smoothing = _open(columns[1], "label_smoothing", "Label smoothing", "the original's", 0.0, 0.99)
    momentum = _real(columns[2], "momentum", "Momentum of SGD", 0.99)
    final = _real(columns[3], "final_share", "Last learning rate over the first", 1.0)
    columns = st.columns(4)
    range_rate = _real(columns[0], "range_learning_rate", "Learning rate of ranges", 10.0)
    range_decay = _real(columns[1], "range_weight_decay", "Weight decay of ranges", 10.0)
    parts = _whole(
        columns[2],
        "accumulate",
        "Parts of a step",
        1024,
        help_="Samples of a step pass in so many parts, to save memory. The steps are the same.",
    )
    patience = _whole(
        columns[3],
        "patience",
        "Patience, epochs",
        1000,
        0,
        help_="Training stops after so many epochs without a better one; 0 never does.",
    )
    last = st.columns(5, vertical_alignment="bottom")
    share = _real(last[0], "rate_share", "Rate over original's", 1.0)
    autocast = last[1].selectbox(
        "Precision of the float part",
        list(_AUTOCAST),
        format_func=_AUTOCAST.__getitem__,
        key=key_of("autocast"),
        bind="query-params",
    )
    evaluation = last[2].number_input("Evaluation samples", 1, 100_000, 2000, key="eval-samples", bind="query-params")
    calibrating = last[3].number_input("Calibration samples", 1, 100_000, 512, key="cal-samples", bind="query-params")
    seed = _whole(last[4], "seed", "Seed", 2**31, 0, help_="Of batches, augmentation and the choice of samples.")
    return {
        "weight_decay": decay,
        "label_smoothing": smoothing,
        "momentum": momentum,
        "final_share": final,
        "rate_share": share,
        "range_learning_rate": range_rate,
        "range_weight_decay": range_decay,
        "accumulate": parts,
        "patience": patience,
        "autocast": autocast,
        "evaluation_samples": int(evaluation),
        "calibration_samples": int(calibrating),
        "seed": seed,
        "augment": st.toggle(
            "Flip and shift the training images at random", True, key=key_of("augment"), bind="query-params"
        ),
    }


def _open(place: Any, name: str, label: str, open_: str, low: float, high: float = 10.0) -> float | None:
    """A number that may be left open."""
    value = place.number_input(
        label, low, high, None, format="%.4g", placeholder=open_, key=key_of(name), bind="query-params"
    )
    return None if value is None else float(value)


def _real(place: Any, name: str, label: str, high: float) -> float:
    """A number at the default of its parameter."""
    default = float(QatParams.model_fields[name].default)
    return float(place.number_input(label, 0.0, high, default, format="%.4g", key=key_of(name), bind="query-params"))


def _whole(place: Any, name: str, label: str, high: int, low: int = 1, help_: str | None = None) -> int:
    """A whole number at the default of its parameter."""
    default = int(QatParams.model_fields[name].default)
    return int(place.number_input(label, low, high, default, key=key_of(name), bind="query-params", help=help_))
