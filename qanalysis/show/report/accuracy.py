"""Accuracy: calibration, quantization, sensitivity and training, as parts of a report."""

from collections.abc import Sequence

import pandas as pd

from qanalysis import figures
from qanalysis.insight.words import calibration_label, counted
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.answers import AnswersResult, flips, per_class
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import Partial, PartialResult, PlanResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.show.document import Block, Figure, Points, Table, Text
from qanalysis.show.report.section import titled
from qanalysis.show.tables.accuracy import (
    changed_table,
    class_table,
    clip_table,
    ptq_table,
    qat_table,
    range_table,
    sensitivity_table,
    skipping_table,
    weights_table,
)

#: Rows of a table of layers; all of them are in the result's own file.
MOST_ROWS = 25


@titled("Calibration")
def calibration(result: CalibrateResult) -> Sequence[Block]:
    """Ranges of every activation."""
    frame = range_table(result).rename(columns=calibration_label)
    maxima = {key: value for key, value in result.ranges.get("max", {}).items() if value}
    blocks: list[Block] = [
        Text(
            f"Ranges of the activations from {result.samples:,} {result.words.samples}: the largest magnitude "
            f"that is represented, "
            f"in each tensor's unit. {_first_of(frame, 'activations')}"
        ),
        Table(frame.head(MOST_ROWS), "Ranges by calibration (section 5 of the paper)"),
    ]
    if maxima:
        figure = figures.calibration.overview.ratio(result.ranges, maxima)
        how = figures.calibration.overview.HOW_TO_READ["ratio"]
        blocks.insert(1, Figure(figure, "Cutoffs relative to the maximum.", how))
    return blocks


@titled("Post-training quantization")
def ptq(result: PtqResult) -> Sequence[Block]:
    """Every calibration."""
    plan = result.params.effective_plan()
    return [
        Text(
            f"{len(result.quantized_sites)} of {len(result.sites)} layers, {plan.weight_bits}-bit weights "
            f"({plan.weight_granularity}), {plan.activation_bits}-bit activations ({plan.activation_scheme}); "
            f"{result.int8_mac_share:.1f} % of the work in integers. fp32 has {result.fp32:.2f} % on the same "
            f"{result.fp32_score.samples:,} {result.words.samples}."
        ),
        Table(ptq_table(result), "Every calibration (Table 5)"),
        Figure(figures.ptq.ptq.bars(result), "Loss by calibration.", figures.ptq.ptq.HOW_TO_READ["bars"]),
    ]


@titled("Clipped activations")
def clip(result: ClipResult) -> Sequence[Block]:
    """GELU and Swish clipped."""
    kinds = " and ".join(result.model.activations)
    return [
        Text(
            f"{kinds} give at most {result.params.at:g}, in floating point as well; all changes are against fp32 as it "
            f"was loaded, on the same {result.fp32_score.samples:,} {result.words.samples}."
        ),
        Table(clip_table(result), f"{kinds} clipped (Table 12)"),
        Figure(figures.ptq.clipped.bars(result), "Clipped or not.", figures.ptq.clipped.HOW_TO_READ["bars"]),
    ]


@titled("Weights alone")
def weights(result: WeightsResult) -> Sequence[Block]:
    """Granularity and folding."""
    figure = figures.calibration.weights.accuracy(result)
    return [
        Table(
            weights_table(result),
            f"Weights alone at {result.params.bits} bits, the rest in floating point (Table 3)",
        ),
        Figure(figure, "Granularity and folding.", figures.calibration.weights.HOW_TO_READ["accuracy"]),
    ]


@titled("Sensitivity")
def sensitivity(result: SensitivityResult) -> Sequence[Block]:
    """Every layer by itself, and the steps of partial quantization."""
    frame = sensitivity_table(result)
    params = result.params
    only = "one layer quantized at a time" if params.mode == "only" else "all layers quantized but one"
    blocks: list[Block] = [
        Text(
            f"{only.capitalize()}, {calibration_label(params.effective_calibration)} calibration: fp32 has "
            f"{result.fp32:.2f} %, with all layers quantized it is {result.quantized:.2f} %. "
            f"{_first_of(frame, 'layers')}"
        ),
        Figure(
            figures.sensitivity.fig3.fig3(result), "Sensitivity (Fig. 3).", figures.sensitivity.fig3.HOW_TO_READ["fig3"]
        ),
        Table(frame.head(MOST_ROWS), "The most sensitive layers first"),
    ]
    if result.partial is not None:
        blocks += _steps(result.partial, result, params.target)
    return blocks


@titled("Partial quantization")
def partial(result: PartialResult) -> Sequence[Block]:
    """The steps of partial quantization."""
    return _steps(result.partial, result, result.params.target)


def _steps(partial: Partial, result: SensitivityResult | PartialResult, target: float) -> list[Block]:
    chosen = None if partial.chosen is None else partial.steps[partial.chosen]
    verdict = (
        f"No step is within {target:g} % of fp32."
        if chosen is None
        else f"{counted(len(chosen.skipped), 'layer')} in floating point for a loss of at most {target:g} %: "
        f"{chosen.accuracy:.2f} % ({chosen.relative:+.2f} %), with {chosen.int8_mac_share:.1f} % of the work "
        "in integers."
    )
    figure = figures.sensitivity.partial.steps(partial, fp32=result.fp32, target=target, metric=result.metric)
    return [
        Text(verdict),
        Figure(figure, "Layers left in floating point.", figures.sensitivity.partial.HOW_TO_READ["steps"]),
        Table(skipping_table(partial, result.metric), "Partial quantization (Table 6)"),
    ]


@titled("The plan")
def plan(result: PlanResult) -> Sequence[Block]:
    """One plan."""
    change = result.change
    blocks: list[Block] = [
        Text(
            f"{change.accuracy:.2f} % ({change.relative:+.2f} % relative to {result.fp32:.2f} %), "
            f"{result.int8_mac_share:.1f} % of the work in integers, {result.model_bytes / 1e6:.2f} MB instead of "
            f"{result.fp32_bytes / 1e6:.2f} MB."
        )
    ]
    if result.float_sites:
        blocks.append(Points(tuple(f"{name}: {why}" for name, why in result.float_sites.items())))
    return blocks


@titled("Quantization-aware training")
def qat(result: QatResult) -> Sequence[Block]:
    """The fine-tune, its recipe and its control."""
    recipe, control = result.recipe, result.fp32_control
    gained = "" if control is None else f" The same fine-tune in floating point gives {control.accuracy:.2f} %."
    run = figures.qat.accuracy.RunCurves("QAT", result.run.epochs, result.control.epochs if result.control else ())
    last = max(epoch.epoch for epoch in result.run.epochs)
    figure = figures.qat.accuracy.comparison([run], fp32=result.fp32.accuracy, metric=result.metric, last=last)
    return [
        Text(
            f"{result.params.ranges.capitalize()} ranges from {calibration_label(result.calibration)}: "
            f"{result.ptq.accuracy:.2f} % before, {result.qat.accuracy:.2f} % ({result.qat.relative:+.2f} %) after "
            f"training; fp32 has {result.fp32.accuracy:.2f} %.{gained}"
        ),
        Text(
            f"{recipe.optimizer}, learning rate {recipe.learning_rate:g} to {recipe.final_learning_rate:g} (cosine), "
            f"{recipe.steps:,} steps of {recipe.batch_size} {result.words.samples} out of {recipe.samples:,}; a "
            f"step takes "
            f"{result.step_seconds:.3g} s, {result.step_seconds / result.fp32_step_seconds:.2f} times one in fp32."
        ),
        Figure(figure, "Accuracy by epoch.", figures.qat.accuracy.HOW_TO_READ["comparison"]),
        Table(qat_table(result), "Epochs (Tables 7 and 8)"),
    ]


@titled("Answers that changed")
def answers(result: AnswersResult) -> Sequence[Block]:
    """What changed, class by class, or the samples that differ most."""
    blocks: list[Block] = []
    if result.fp32 is None:
        table = changed_table(result)
        return [Table(table.head(MOST_ROWS), f"The {result.words.samples} that differ most from fp32")]
    for name, answers in result.quantized.items():
        changed = flips(result.truth, result.fp32, answers)
        lost, gained = (sum(flip.kind == kind for flip in changed) for kind in ("lost", "gained"))
        rows = per_class(result.truth, result.fp32, answers)
        classes = result.data.classes
        classes = result.data.classes
        blocks += [
            Text(
                f"{calibration_label(name)}: {len(changed):,} of {len(result.truth):,} answers changed, {lost:,} from "
                f"right to wrong, {gained:,} from wrong to right."
            ),
            Figure(
                figures.compare.classes(rows, classes),
                "Accuracy class by class.",
                figures.compare.HOW_TO_READ["classes"],
            ),
            Table(class_table(rows, classes).head(MOST_ROWS), "Classes that lose most"),
        ]
    return blocks


def _first_of(frame: pd.DataFrame, what: str) -> str:
    return f"The table has the first {MOST_ROWS} of {len(frame)} {what}." if len(frame) > MOST_ROWS else ""
