"""What the command line prints: results as tables."""

from functools import singledispatch

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qanalysis.insight.advice import results
from qanalysis.insight.words import counted, metric_noun
from qanalysis.schema.catalog import DATA_SOURCES, MODEL_SOURCES, sample_models
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.answers import AnswersResult, flips, per_class
from qanalysis.schema.results.benchmark import BenchmarkResult, FastestResult
from qanalysis.schema.results.calibration import CalibrateResult, DescribeResult
from qanalysis.schema.results.clip import ClipResult
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import Partial, PartialResult, PlanResult, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.schema.results.workflow import WorkflowResult
from qanalysis.schema.site import Coverage
from qanalysis.show.tables.accuracy import (
    changed_table,
    class_table,
    clip_table,
    ptq_table,
    range_table,
    sensitivity_table,
    site_table,
    skipping_table,
    trained_table,
    weights_table,
)
from qanalysis.show.terminal import frame, speed, workflow

#: Samples that are listed of those that differ.
_WORST = 10


def result(console: Console, value: Result) -> None:
    """Prints a result, its warnings last."""
    rest = f" on {value.data.name} ({value.model.origin})"
    console.print(Text.assemble((value.model.name, "bold"), rest))
    body(value, console)
    given = value.advice if isinstance(value, CalibrateResult) else results.of(value)
    workflow.advice(console, given)
    for warning in (*value.warnings, *value.data.warnings):
        console.print(Text.assemble(("Note:", "yellow"), f" {warning}"))
    console.print(f"{value.seconds:.1f} s on {value.environment.device}, {value.environment.threads} threads")


@singledispatch
def body(value: Result, console: Console) -> None:
    """Prints what a result found; each analysis registers its own."""
    raise TypeError(f"nothing is known of how to print {type(value).__name__}: register a function here")


@body.register
def _body_of_describe(value: DescribeResult, console: Console) -> None:
    _sites(console, value.coverage)


@body.register
def _body_of_evaluate(value: EvaluateResult, console: Console) -> None:
    if value.fp32 is not None:
        low, high = value.fp32.accuracy_interval
        console.print(
            f"fp32 {metric_noun(value.metric)} {value.fp32.accuracy:.2f} % on {value.fp32.samples:,} "
            f"{value.words.samples} (95 % interval {low:.2f} to {high:.2f})"
        )
        for name, figure in value.details.items():
            console.print(f"{name} {figure:.2f} %")
    else:
        console.print("The data has no labels: accuracy is measured as agreement with the fp32 model.")


@body.register
def _body_of_calibrate(value: CalibrateResult, console: Console) -> None:
    _ranges(console, value)


@body.register
def _body_of_ptq(value: PtqResult, console: Console) -> None:
    _ptq(console, value)


@body.register
def _body_of_clip(value: ClipResult, console: Console) -> None:
    console.print(frame.drawn(clip_table(value)))
    console.print(f"the clipped network: --model '{value.clipped_model}'", highlight=False)


@body.register
def _body_of_weights(value: WeightsResult, console: Console) -> None:
    _weights(console, value)


@body.register
def _body_of_answers(value: AnswersResult, console: Console) -> None:
    _answers(console, value)


@body.register
def _body_of_sensitivity(value: SensitivityResult, console: Console) -> None:
    _sensitivity(console, value)


@body.register
def _body_of_partial(value: PartialResult, console: Console) -> None:
    console.print(f"fp32 {value.fp32:.2f} %, all sites quantized {value.quantized:.2f} %")
    _partial(console, value.partial, value.metric, value.params.target)


@body.register
def _body_of_plan(value: PlanResult, console: Console) -> None:
    _plan(console, value)


@body.register
def _body_of_export(value: ExportResult, console: Console) -> None:
    _export(console, value)


@body.register
def _body_of_qat(value: QatResult, console: Console) -> None:
    _qat(console, value)


@body.register
def _body_of_benchmark(value: BenchmarkResult, console: Console) -> None:
    speed.benchmark(console, value)


@body.register
def _body_of_fastest(value: FastestResult, console: Console) -> None:
    speed.fastest(console, value)


@body.register
def _body_of_workflow(value: WorkflowResult, console: Console) -> None:
    workflow.workflow(console, value)


def catalog(console: Console) -> None:
    """Prints the sample models and how other models and data are named."""
    table = Table("model", "accuracy on test images", "parameters", title="Sample models")
    for name, record in sample_models().items():
        accuracy, images = record["test_accuracy"], record["test_images"]
        table.add_row(
            f"sample:{name}",
            f"{accuracy:.2f} % {record.get('metric', 'top-1')} on {images:,}",
            f"{record['parameters']:,}",
        )
    console.print(table)
    for title, sources in (("Models are named", MODEL_SOURCES), ("Data is named", DATA_SOURCES)):
        console.print(f"{title}: " + ", ".join(sources.values()), highlight=False)


def _sites(console: Console, coverage: Coverage) -> None:
    console.print(frame.drawn(site_table(coverage)))
    console.print(
        f"{counted(len(coverage.sites), 'site')}, {coverage.macs / 1e6:,.1f} M multiply-accumulates per sample"
    )
    for entry in coverage.not_covered:
        console.print(f"not covered: {entry.operation} in {entry.module}: {entry.reason}", highlight=False)


def _ranges(console: Console, value: CalibrateResult) -> None:
    console.print(frame.drawn(range_table(value)))
    console.print(f"largest magnitude represented, from {value.samples:,} samples")


def _ptq(console: Console, value: PtqResult) -> None:
    low, high = value.fp32_score.accuracy_interval
    names = [row.calibration for row in value.rows]  # as one types them
    console.print(frame.drawn(ptq_table(value).assign(calibration=names), bold="best"))
    console.print(f"fp32 {value.fp32:.2f} % ({low:.2f} to {high:.2f})")
    total = len(value.sites)
    console.print(
        f"{len(value.quantized_sites)} of {total} sites quantized, {value.int8_mac_share:.1f} % of multiply-accumulates"
    )
    for site, reason in value.float_sites.items():
        console.print(f"in floating point: {site} ({reason})", highlight=False)


def _weights(console: Console, value: WeightsResult) -> None:
    console.print(frame.drawn(weights_table(value)))
    console.print(f"fp32 {value.fp32:.2f} %")


def _answers(console: Console, value: AnswersResult) -> None:
    if value.fp32 is None:
        shown = value.changed[:_WORST]
        console.print(frame.drawn(changed_table(value).head(_WORST), title=f"The {len(shown)} that differ most"))
        return
    for calibration, answers in value.quantized.items():
        changed = flips(value.truth, value.fp32, answers)
        kinds = {kind: sum(flip.kind == kind for flip in changed) for kind in ("lost", "gained", "other")}
        console.print(
            f"{calibration}: {len(changed):,} of {len(value.truth):,} answers changed: "
            f"{kinds['lost']:,} right to wrong, "
            f"{kinds['gained']:,} wrong to right, {kinds['other']:,} wrong to another wrong one"
        )
        rows = per_class(value.truth, value.fp32, answers)
        table = class_table(rows, value.data.classes)
        console.print(frame.drawn(table, title=f"Accuracy by class, {calibration}"))


def _sensitivity(console: Console, value: SensitivityResult) -> None:
    quantized = "alone" if value.params.mode == "only" else "without it"
    table = sensitivity_table(value)
    columns = [name for name in table.columns if name not in ("samples", "tie")][:7]
    title = f"{value.params.effective_calibration}, each site quantized {quantized}"
    console.print(frame.drawn(table, columns=columns, title=title))
    console.print(f"fp32 {value.fp32:.2f} %, all sites quantized {value.quantized:.2f} %")
    if value.partial is not None:
        _partial(console, value.partial, value.metric, value.params.target)
    for proxy in value.proxies:
        if proxy.correlation_divergence is not None:
            console.print(
                f"{proxy.name} ranks like the measured divergence to {proxy.correlation_divergence:.2f} (Spearman)"
            )
    for site, reason in value.stopped.items():
        console.print(f"not measured further: {site} ({reason})", highlight=False)
    cost = value.sites_seconds / max(value.fp32_seconds, 1e-9) / max(len(value.rows), 1)
    sites = counted(len(value.rows), "site")
    console.print(f"{value.sites_seconds:.1f} s for {sites}: {cost:.2f} of an fp32 evaluation each")


def _partial(console: Console, partial: Partial, metric: str, target: float) -> None:
    console.print(frame.drawn(skipping_table(partial, metric), bold="chosen"))
    if partial.chosen is None:
        console.print(f"No step loses {target:g} % or less; try another calibration, or QAT.")
    elif partial.chosen:
        console.print(f"skip: {','.join(partial.steps[partial.chosen].skipped)}", highlight=False)
    else:
        console.print(f"Nothing has to be skipped: all sites quantized lose {target:g} % or less.")


def _plan(console: Console, value: PlanResult) -> None:
    low, high = value.change.change_interval
    console.print(
        f"fp32 {value.fp32:.2f} %, with the plan {value.change.accuracy:.2f} % "
        f"({value.change.relative:+.2f} % relative; change {low:+.2f} to {high:+.2f} points)"
    )
    console.print(
        f"{len(value.quantized_sites)} of {len(value.coverage.sites)} sites quantized, {value.int8_mac_share:.1f} % of "
        f"multiply-accumulates; {value.model_bytes / 1e6:.2f} MB, in fp32 {value.fp32_bytes / 1e6:.2f} MB"
    )
    for site, reason in value.float_sites.items():
        console.print(f"in floating point: {site} ({reason})", highlight=False)


def _qat(console: Console, value: QatResult) -> None:
    recipe = value.recipe
    console.print(
        f"{recipe.steps} steps of {recipe.batch_size} samples ({recipe.steps / recipe.steps_per_epoch:.3g} epochs of "
        f"{recipe.samples:,}), {recipe.optimizer}, learning rate {recipe.learning_rate:.3g} to "
        f"{recipe.final_learning_rate:.3g}; {value.params.ranges} ranges from {value.calibration}"
    )
    for note in recipe.notes:
        console.print(note, highlight=False)
    console.print(frame.drawn(trained_table(value)))
    console.print(
        f"kept: epoch {value.run.best_epoch}; a step takes {1000 * value.step_seconds:.0f} ms, in fp32 "
        f"{1000 * value.fp32_step_seconds:.0f} ms ({value.step_seconds / max(value.fp32_step_seconds, 1e-9):.2f} x)"
    )


def _export(console: Console, value: ExportResult) -> None:
    for file in value.files:
        console.print(f"{value.folder}/{file.name}  {file.bytes / 1e6:.2f} MB", highlight=False, soft_wrap=True)
    console.print(
        f"{len(value.quantized_sites)} of {len(value.coverage.sites)} sites in int8; parameters in fp32 "
        f"{value.fp32_bytes / 1e6:.2f} MB; traced and written in {value.export_seconds:.1f} s"
    )
    seen = value.verification
    worst = max(seen.sites, key=lambda site: max(site.before, site.output))
    console.print(
        f"verified with {seen.runtime}: every site computes what the simulation does (largest relative difference "
        f"{max(worst.before, worst.output):.1e}, at {worst.site})",
        highlight=False,
    )
    console.print(
        f"answers equal to the simulation's: {seen.agreement:.2f} % of {seen.samples:,}; {value.metric} of the "
        f"file {seen.measured:.2f} %, of the simulation {seen.simulated:.2f} %, in fp32 {value.fp32:.2f} %"
    )
    console.print(f"outputs differ by {100 * seen.logits:.2g} %; rounding alone gives {100 * seen.noise:.2g} %")
    if seen.half_agreement is not None:
        console.print(f"fp16 file: {seen.half_agreement:.2f} % of the answers are equal")
    for site, reason in value.float_sites.items():
        console.print(f"in floating point: {site} ({reason})", highlight=False)
