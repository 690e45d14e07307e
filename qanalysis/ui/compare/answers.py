"""Class by class and sample by sample: what changed between two models of a comparison."""

import base64
import io
from html import escape

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from qanalysis import figures
from qanalysis.insight.comparison import Run
from qanalysis.insight.headline import answers_params
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.schema.errors import StoreError, UserError
from qanalysis.schema.params.accuracy import AnswersParams
from qanalysis.schema.results.answers import Answers, AnswersResult, Flip, flips, per_class
from qanalysis.schema.results.qat import QatResult
from qanalysis.ui.compare import samples
from qanalysis.ui.parts.chart import chart, theme
from qanalysis.ui.parts.outcome import change, ended, told
from qanalysis.ui.parts.results import loaded
from qanalysis.ui.parts.text import plain

_KINDS = {"lost": "right → wrong", "gained": "wrong → right", "other": "wrong → another wrong"}
#: Images on one screen, and the width of one in pixels.
_SCREEN, _WIDTH = 24, 128
_SECONDS = 0.7
_ENDED = ("failed", "cancelled", "lost")


def draw(runner: Runner, runs: list[tuple[Job, Run]]) -> None:
    """Draws the two figures, or what has to be run for them."""
    asked = {run.name: _params(runner, job, run) for job, run in runs}
    wanted = {name: params for name, params in asked.items() if params is not None}
    if not wanted:
        return
    st.header("Which samples are answered differently")
    try:
        jobs = {name: runner.store.latest("answers", params) for name, params in wanted.items()}
    except (OSError, UserError) as error:
        st.error(plain(error))
        return
    missing = {name: params for name, params in wanted.items() if jobs[name] is None}
    if missing:
        st.markdown("Runs keep accuracies, not answers. They are asked for once, and kept.")
        count = "this run" if len(missing) == 1 else f"these {len(missing)} runs"
        if st.button(f"Ask {count} for every answer", type="primary", key="start-answers", icon=":material/quiz:"):
            change(lambda: [runner.submit("answers", params) for params in missing.values()])
    live = {name: job for name, job in jobs.items() if job is not None and job.live}
    if live:
        _watch(runner, live)
    failed = {job.id: (name, job) for name, job in jobs.items() if job is not None and job.state in _ENDED}
    for name, job in failed.values():
        ended(runner, job, f"Asking {name}")
    known = {name: _result(runner, job) for name, job in jobs.items() if job is not None and job.state == "finished"}
    found = {name: one for name, one in known.items() if one is not None}
    pairs = {name: (job, found[name]) for name, job in jobs.items() if job is not None and name in found}
    classes = {name: pair for name, pair in pairs.items() if pair[1].fp32 is not None}
    others = {name: pair for name, pair in pairs.items() if pair[1].fp32 is None}
    if classes:
        _two(runner, classes)
    if others:
        samples.draw(runner, others)


def _params(runner: Runner, job: Job, run: Run) -> AnswersParams | None:
    checkpoint = None
    if isinstance(run.result, QatResult) and run.result.checkpoint is not None:
        path = runner.store.folder(job.id) / run.result.checkpoint
        checkpoint = str(path) if path.is_file() else None
    return answers_params(run.result, checkpoint)


def _result(runner: Runner, job: Job) -> AnswersResult | None:
    try:
        result = loaded(job)
    except UserError as error:
        st.error(plain(error))
        return None
    assert isinstance(result, AnswersResult)
    return result


def _watch(runner: Runner, live: dict[str, Job]) -> None:
    @st.fragment(run_every=_SECONDS)
    def panel() -> None:
        try:
            runner.pump()
            shown = {name: runner.store.job(job.id) for name, job in live.items()}
        except (KeyError, OSError, StoreError):  # deleted by somebody else, or read again in a moment
            st.rerun()
        if not all(job.live for job in shown.values()):
            st.rerun()
        for name, job in shown.items():
            st.progress(job.progress, text=f"{name}: {told(job)}")

    panel()


def _two(runner: Runner, found: dict[str, tuple[Job, AnswersResult]]) -> None:
    """Two models to choose, and what changed between them."""
    models: dict[str, tuple[Job, AnswersResult, Answers]] = {}
    for name, (job, result) in found.items():
        if result.fp32 is None:
            continue
        if not any(label.startswith("floating point") for label in models):
            models["floating point"] = (job, result, result.fp32)
        models[name] = (job, result, next(iter(result.quantized.values())))
    columns = st.columns(2)
    labels = list(models)
    before = columns[0].selectbox("Before", labels, index=0, key="answers-before")
    after = columns[1].selectbox("After", labels, index=min(1, len(labels) - 1), key="answers-after")
    if before == after:
        st.info("Choose two different models.")
        return
    _, first, left = models[before]
    _, second, right = models[after]
    try:
        changed, rows = flips(first.truth, left, right), per_class(first.truth, left, right)
    except UserError as error:
        st.warning(f"These two cannot be compared sample by sample: {plain(error)}", icon=":material/info:")
        return
    if first.truth != second.truth and first.labels is not None:
        st.warning(
            "These two were measured on different samples (data, seed or number of samples): choose two of the same.",
            icon=":material/info:",
        )
        return
    names = first.data.classes
    chart(
        figures.compare.classes(rows, names, theme=theme()),
        key="compare-classes",
        file="compare-classes",
        how_to_read=figures.compare.HOW_TO_READ["classes"],
    )
    pictures = _pictures(runner, [models[before][:2], models[after][:2]])
    _gallery(changed, names, pictures, len(first.truth))


def _pictures(runner: Runner, runs: list[tuple[Job, AnswersResult]]) -> dict[int, NDArray[np.uint8]]:
    """Sample → its small image, from both runs' files."""
    found: dict[int, NDArray[np.uint8]] = {}
    for job, result in runs:
        if result.images is None:
            continue
        try:
            with np.load(runner.store.folder(job.id) / result.images, allow_pickle=False) as file:
                found.update(zip(result.pictured, file["images"], strict=True))
        except (OSError, UserError, KeyError) as error:
            st.caption(f"The images of {job.id} cannot be read ({plain(error)}): run it again.")
    return found


def _gallery(
    changed: tuple[Flip, ...], names: tuple[str, ...], pictures: dict[int, NDArray[np.uint8]], total: int
) -> None:
    if not changed:
        st.success(f"Both give the same answer to all {total:,} samples.", icon=":material/check_circle:")
        return
    counts = {kind: sum(flip.kind == kind for flip in changed) for kind in _KINDS}
    kinds = [kind for kind in _KINDS if counts[kind]]
    kind = st.segmented_control(
        "Kind",
        kinds,
        default=kinds[0],
        format_func=lambda kind: f"{_KINDS[kind]} ({counts[kind]:,})",
        key="answers-kind",
        label_visibility="collapsed",
    )
    shown = [flip for flip in changed if flip.kind == (kind or kinds[0])]
    pages = -(-len(shown) // _SCREEN)
    page = st.pagination(pages, key="answers-page") if pages > 1 else 1
    part = shown[_SCREEN * (page - 1) : _SCREEN * page]
    st.html(f"<div class='qa-gallery'>{''.join(_card(flip, names, pictures.get(flip.sample)) for flip in part)}</div>")
    st.caption(
        "Below each image: its class, then the answer before and after with its probability. The surest first. "
        f"{len(changed):,} of {total:,} answers changed."
    )


def _card(flip: Flip, names: tuple[str, ...], picture: NDArray[np.uint8] | None) -> str:
    """HTML of one image with its class and both answers."""
    truth, before, after = (
        escape(names[number] if number < len(names) else f"class {number}")
        for number in (flip.truth, flip.before, flip.after)
    )
    image = (
        f"<div class='qa-no-image'>image {flip.sample:,}</div>"
        if picture is None
        else f"<img alt='Image {flip.sample:,}, {truth}' src='data:image/png;base64,{_png(picture)}'>"
    )
    return (
        f"<figure>{image}<figcaption><b>{truth}</b><br>{before} {100 * flip.before_confidence:.0f} % →<br>"
        f"{after} {100 * flip.after_confidence:.0f} %</figcaption></figure>"
    )


def _png(picture: NDArray[np.uint8]) -> str:
    """A PNG in base64; small images are enlarged without smoothing, so that their pixels stay what they are."""
    times = max(1, _WIDTH // max(picture.shape[:2]))
    buffer = io.BytesIO()
    Image.fromarray(picture.repeat(times, 0).repeat(times, 1)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
