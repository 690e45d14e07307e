"""The charts of one fine-tune, the same while it runs and afterwards."""

from pathlib import Path

import streamlit as st

from qanalysis import figures
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.trace import Trace
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.qat.progress import Progress

_READ = figures.qat.accuracy.HOW_TO_READ
#: Layers whose ranges are drawn at once at the most.
_LAYERS = 6
_NO_TRACE = Trace()


def draw(progress: Progress, trace: Trace, after: dict[str, float | None], name: str) -> None:
    """Loss and accuracy, ranges and weights, pace.

    Args:
        progress: of the fine-tune.
        trace: its ranges and weights.
        after: activation → range as it is now.
        name: start of the names of downloaded images.
    """
    per_epoch = progress.recipe.steps_per_epoch if progress.recipe is not None else progress.steps
    left, right = st.columns(2, gap="medium")
    with left:
        st.header("Loss")
        chart(
            figures.qat.accuracy.loss(progress.courses, steps=progress.steps, steps_per_epoch=per_epoch, theme=theme()),
            key="qat-loss",
            file=f"{name}-loss",
            how_to_read=_READ["loss"],
        )
    with right:
        st.header("Accuracy")
        chart(
            figures.qat.accuracy.accuracy(
                progress.courses,
                fp32=progress.fp32,
                ptq=progress.ptq,
                metric=progress.metric,
                last=progress.last_epoch,
                theme=theme(),
            ),
            key="qat-accuracy",
            file=f"{name}-accuracy",
            how_to_read=_READ["accuracy"],
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.header("Weights on the grid")
        _weights(trace, name)
    with right:
        if trace.tensors:
            st.header("Learned ranges")
            _ranges(progress, trace, after, name)
        else:
            st.header("Pace")
            _pace(progress, name)
    if trace.tensors:
        with st.expander("Learning rate and samples per second", icon=":material/speed:"):
            _pace(progress, name)


@st.cache_resource(max_entries=16, show_spinner=False)
def _trace(path: str, changed: int) -> Trace:
    """The file as it was at that time."""
    return Trace.load(Path(path))


def trace_of(folder: Path) -> Trace:
    """What a run has noted so far; nothing, if there is no such file or it is damaged."""
    path = folder / "trace.npz"
    try:
        return _trace(str(path), path.stat().st_mtime_ns)
    except (OSError, UserError):
        return _NO_TRACE


def ranges_now(trace: Trace, before: dict[str, float | None]) -> dict[str, float | None]:
    """Activation → its learned range at the last step that was noted, or the calibrated one."""
    if not len(trace.steps):
        return before
    return before | {key: float(value) for key, value in zip(trace.tensors, trace.ranges[-1], strict=True)}


def _pace(progress: Progress, name: str) -> None:
    chart(
        figures.qat.accuracy.pace(progress.courses, steps=progress.steps, theme=theme()),
        key="qat-pace",
        file=f"{name}-pace",
        how_to_read=_READ["pace"],
    )


def _weights(trace: Trace, name: str) -> None:
    if not trace.sites:
        st.caption("The weights are shown as soon as training has begun.")
        return
    columns = st.columns([3, 2])
    middle = len(trace.sites) // 2
    site = columns[0].selectbox("Layer", trace.sites, index=middle, key="qat-weights-site")
    epochs = [int(epoch) for epoch in trace.epochs]
    epoch = epochs[-1]
    if len(epochs) > 2:
        chosen = columns[1].selectbox(
            "After epoch", ["latest", *(str(one) for one in reversed(epochs[1:]))], key="qat-weights-epoch"
        )
        epoch = epochs[-1] if chosen == "latest" else int(chosen)
    chart(
        figures.qat.accuracy.weights(trace, site, epoch=epoch, theme=theme()),
        key="qat-weights",
        file=f"{name}-weights-{site}",
        how_to_read=_READ["weights"],
    )


def _ranges(progress: Progress, trace: Trace, after: dict[str, float | None], name: str) -> None:
    columns = st.columns([7, 3], vertical_alignment="bottom")
    every = columns[1].toggle("All layers", key="qat-ranges-all", help="How far each one has moved.")
    tensors = columns[0].multiselect(
        "Layers",
        trace.tensors,
        default=list(trace.tensors[1:3]) or list(trace.tensors),
        max_selections=_LAYERS,
        key="qat-ranges-of",
        disabled=every,
    )
    if every:
        chart(
            figures.qat.accuracy.moves(progress.before, after, theme=theme()),
            key="qat-moves",
            file=f"{name}-range-moves",
            how_to_read=_READ["moves"],
        )
        return
    chart(
        figures.qat.accuracy.ranges(trace, tensors, fixed=progress.before, steps=progress.steps, theme=theme()),
        key="qat-learned-ranges",
        file=f"{name}-ranges",
        how_to_read=_READ["ranges"],
    )
