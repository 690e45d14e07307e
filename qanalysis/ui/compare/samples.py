"""Sample by sample, for answers that are no classes: boxes found and lost, masks that differ, values side by side."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qanalysis.insight.words import calibration_label, counted, divergence_column
from qanalysis.jobs.runner import Runner
from qanalysis.jobs.state import Job
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.answers import AnswersResult, Box, ChangedSample, Said
from qanalysis.ui.parts.text import plain

#: Samples on one screen, and the least width of an image in pixels.
_SCREEN, _WIDTH = 12, 256
#: Score from which a box counts as found, and overlap from which two boxes are the same.
_SURE, _SAME = 0.5, 0.5
#: Colours that stand out on photographs, by what became of a box; told apart by their lines, too.
_COLOURS = {"kept": (60, 200, 90), "lost": (235, 60, 50), "new": (255, 170, 0)}
_WORDS = {"kept": "kept", "lost": "lost", "new": "new"}
Array = NDArray[np.uint8]


def draw(runner: Runner, found: dict[str, tuple[Job, AnswersResult]]) -> None:
    """A run to choose, and the samples on which it differs most from floating point."""
    name = st.selectbox("Run", list(found), key="samples-run")
    job, result = found[name]
    calibration = result.params.calibrations[-1]
    changed = [one for one in result.changed if one.same.get(calibration, 1.0) < 1 or one.divergence.get(calibration)]
    if not changed:
        st.success(
            f"It says the same as floating point about all {result.samples:,} {result.words.samples}.",
            icon=":material/check_circle:",
        )
        return
    pages = -(-len(changed) // _SCREEN)
    page = st.pagination(pages, key="samples-page") if pages > 1 else 1
    part = changed[_SCREEN * (page - 1) : _SCREEN * page]
    files = _files(runner, job, result)
    if not files:
        st.dataframe(_values(result, part, calibration), hide_index=True)
    else:
        cards = "".join(_card(result, one, calibration, files) for one in part)
        st.html(f"<div class='qa-gallery qa-wide'>{cards}</div>")
    st.caption(_legend(result, files))


def boxes_compared(before: Sequence[Box], after: Sequence[Box]) -> dict[str, list[Box]]:
    """Boxes of the same class and place in both, only in the first (lost), and only in the second (new)."""
    left = sorted((box for box in after if box.score >= _SURE), key=lambda box: -box.score)
    found: dict[str, list[Box]] = {"kept": [], "lost": [], "new": []}
    for box in sorted((box for box in before if box.score >= _SURE), key=lambda box: -box.score):
        same = [other for other in left if other.label == box.label and _overlap(box, other) >= _SAME]
        if same:
            left.remove(max(same, key=lambda other: _overlap(box, other)))
            found["kept"].append(box)
        else:
            found["lost"].append(box)
    found["new"] = left
    return found


def painted(image: Array, before: Array, after: Array) -> Array:
    """An image in grey, with the pixels whose class changed in colour.

    Args:
        image: `(H, W, 3)`.
        before: classes `(H, W)` of floating point.
        after: classes `(H, W)` of the quantized network.
    """
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    colour = np.array(_COLOURS["lost"], float)
    differs = (before != after)[..., None]
    result: Array = np.where(differs, 0.25 * grey + 0.75 * colour, grey).round().astype(np.uint8)
    return result


def _overlap(one: Box, other: Box) -> float:
    left, top = max(one.corners[0], other.corners[0]), max(one.corners[1], other.corners[1])
    right, bottom = min(one.corners[2], other.corners[2]), min(one.corners[3], other.corners[3])
    inside = max(right - left, 0.0) * max(bottom - top, 0.0)
    areas = [(box.corners[2] - box.corners[0]) * (box.corners[3] - box.corners[1]) for box in (one, other)]
    return inside / max(sum(areas) - inside, 1e-9)


def _files(runner: Runner, job: Job, result: AnswersResult) -> dict[str, Array]:
    if result.images is None:
        return {}
    try:
        with np.load(runner.store.folder(job.id) / result.images, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, UserError, ValueError, KeyError) as error:
        st.caption(f"The images of {job.id} cannot be read ({plain(error)}): run it again.")
        return {}


def _card(result: AnswersResult, one: ChangedSample, calibration: str, files: dict[str, Array]) -> str:
    """HTML of one sample: its picture with what changed, and that in words."""
    image = files.get(f"image-{one.sample}")
    masks = [files.get(f"mask-{one.sample}-{who}") for who in ("fp32", calibration)]
    words = f"{result.words.sample} {one.sample:,}"
    if image is None:
        return f"<figure><div class='qa-no-image'>{escape(words)}</div></figure>"
    if masks[0] is not None and masks[1] is not None:
        sized = image if image.shape[:2] == masks[0].shape else _resized(image, masks[0].shape)
        picture = _enlarged(painted(sized, masks[0], masks[1]))
        told = f"{100 * one.same[calibration]:.1f} % of the pixels keep their class"
    else:
        compared = boxes_compared(one.fp32.boxes, one.quantized[calibration].boxes)
        picture = _with_boxes(image, one, compared)
        told = _told(compared, result.data.classes)
    return (
        f"<figure><img alt='{escape(words)}: {escape(told)}' src='data:image/png;base64,{_png(picture)}'>"
        f"<figcaption><b>{escape(words)}</b><br>{escape(told)}</figcaption></figure>"
    )


def _told(compared: dict[str, list[Box]], names: tuple[str, ...]) -> str:
    parts = [f"{len(compared['kept'])} kept"]
    for kind in ("lost", "new"):
        if compared[kind]:
            said = ", ".join(_name(box.label, names) for box in compared[kind][:3])
            parts.append(f"{len(compared[kind])} {_WORDS[kind]} ({said}{', …' if len(compared[kind]) > 3 else ''})")
    if len(parts) == 1:
        parts.append("scores or places moved")
    return "; ".join(parts)


def _name(label: int, names: tuple[str, ...]) -> str:
    return names[label] if label < len(names) and names[label] else f"class {label}"


def _with_boxes(image: Array, one: ChangedSample, compared: dict[str, list[Box]]) -> Array:
    large = _enlarged(image)
    height, width = one.size or image.shape[:2]
    across, down = large.shape[1] / width, large.shape[0] / height
    picture = Image.fromarray(large)
    pen = ImageDraw.Draw(picture)
    for kind, thickness in (("kept", 1), ("new", 3), ("lost", 3)):
        for box in compared[kind]:
            left, top, right, bottom = box.corners
            place = (
                left * across,
                top * down,
                max(right * across - 1, left * across),
                max(bottom * down - 1, top * down),
            )
            pen.rectangle(place, outline=_COLOURS[kind], width=thickness)
            if kind == "lost":  # a cross, for those who do not see the colour
                pen.line((place[0], place[1], place[2], place[3]), fill=_COLOURS[kind], width=1)
                pen.line((place[0], place[3], place[2], place[1]), fill=_COLOURS[kind], width=1)
    return np.asarray(picture)


def _values(result: AnswersResult, part: Sequence[ChangedSample], calibration: str) -> pd.DataFrame:
    rows = []
    for one in part:
        row: dict[str, object] = {result.words.sample: one.sample}
        if one.target is not None:
            row["target"] = _said(one.target)
        row["fp32"] = _said(one.fp32)
        row[calibration_label(calibration)] = _said(one.quantized[calibration])
        row["kept %"] = round(100 * one.same[calibration], 2)
        row[divergence_column(result.words)] = one.divergence[calibration]
        rows.append(row)
    return pd.DataFrame(rows)


def _said(said: Said) -> str:
    """A text, or the first of some numbers."""
    if said.text is not None:
        return said.text
    values = said.values
    return ", ".join(f"{value:.4g}" for value in values) + (" …" if len(values) == 8 else "")


def _legend(result: AnswersResult, files: dict[str, Array]) -> str:
    shown = counted(len(result.changed), result.words.sample)
    of = f"{shown} that differ most from floating point, of {result.samples:,}, the worst first."
    if any(key.startswith("mask-") for key in files):
        return f"Red pixels have another class than in floating point. {of}"
    if files:
        return (
            "Boxes from a score of 0.5 on: green ones are kept, red ones with a cross are lost, orange ones are new. "
            f"{of}"
        )
    return of


def _enlarged(picture: Array) -> Array:
    times = max(1, round(_WIDTH / max(picture.shape[:2])))
    return picture.repeat(times, 0).repeat(times, 1)


def _resized(image: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0])))


def _png(picture: Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
