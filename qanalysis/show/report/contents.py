"""Contents: results of one model as a document, in the order of the paper's workflow."""

import time
from collections.abc import Sequence
from typing import Any

import pandas as pd

from qanalysis import figures
from qanalysis.insight.advice import results as advice_rules
from qanalysis.insight.headline import headline
from qanalysis.insight.words import calibration_label, counted, metric_axis
from qanalysis.jobs.summary import settings
from qanalysis.names import imports_code
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.command import command, needs_file, run_file
from qanalysis.schema.configuration import to_toml
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.task import QuantizationParams
from qanalysis.schema.results.accuracy import EvaluateResult
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.workflow import WorkflowResult
from qanalysis.schema.site import Coverage
from qanalysis.show.document import Block, Code, Document, Figure, Points, Section, Table, Text
from qanalysis.show.report import accuracy as accuracy  # both register their sections
from qanalysis.show.report import deployment as deployment
from qanalysis.show.report import section
from qanalysis.show.tables.accuracy import points

#: Analyses whose results are about one quantized network, and what made it.
_WAYS = {
    "ptq": "quantized after training",
    "sensitivity": "partially quantized",
    "partial": "partially quantized",
    "plan": "under a plan made by hand",
    "qat": "fine-tuned",
}


def document(results: Sequence[Result]) -> Document:
    """The report on some results.

    Args:
        results: of one model on one data; of several of one analysis each is told. Those that a workflow holds count
            as given.

    Raises:
        UserError: if there is none, or they are of several models or data.
    """
    if not results:
        raise UserError("A report needs at least one result.")
    given = _flat(results)
    about = {(one.params.model, one.params.data) for one in _own(results)}
    if len(about) > 1:
        models = "; ".join(sorted(f"{model} on {data}" for model, data in about))
        raise UserError(f"A report is about one model on one data, but the results are of: {models}.")
    first = given[0]
    sections = [
        *_workflow(results),
        _model(given),
        _advice(results),
        *(part for analysis in ANALYSES for part in _each(given, analysis)),
        _again(_own(results)),
        _versions(given),
    ]
    return Document(
        title=f"Int8 quantization of {first.model.name}",
        lead=_lead(results, given),
        sections=tuple(section for section in sections if section is not None),
    )


def _own(results: Sequence[Result]) -> list[Any]:
    """The results as they were made: those inside a workflow are made again by the workflow."""
    inside = [inner for result in results for _, inner in result if isinstance(inner, Result)]
    return [result for result in results if result not in inside]


def _flat(results: Sequence[Result]) -> list[Any]:
    """The results themselves, those inside a workflow instead of it; each once."""
    flat: list[Any] = []
    for result in results:
        inner = [value for _, value in result if isinstance(value, Result)]
        flat += inner or [result]
    return [result for place, result in enumerate(flat) if result not in flat[:place]]


def _each(given: Sequence[Result], analysis: str) -> list[Section]:
    """A section for every result of an analysis, numbered where there are several."""
    told = [
        (result, blocks) for result in given if _analysis(result) == analysis and (blocks := section.blocks(result))
    ]
    numbers = [""] if len(told) == 1 else [f" ({number} of {len(told)})" for number in range(1, len(told) + 1)]
    return [
        Section(section.title(result) + number, (*blocks, _settings(result)))
        for number, (result, blocks) in zip(numbers, told, strict=True)
    ]


def _settings(result: Any) -> Text:
    given = settings(result.params)
    told = "; ".join(f"{name} {value}" for name, value in given.items())
    return Text(f"Settings: {told}, everything else at its default." if given else "All settings at their defaults.")


def _lead(results: Sequence[Result], given: Sequence[Result]) -> str:
    for result in results:
        recommendation = getattr(result, "recommendation", None)
        if recommendation is not None:
            return str(recommendation.reason)
    heads = [(result, headline(result)) for result in given if _analysis(result) in _WAYS]
    known = [(result, head) for result, head in heads if head is not None and head.relative is not None]
    if not known:
        return "What was measured so far."
    result, best = max(known, key=lambda pair: pair[1].accuracy or 0.0)
    word = "accuracy" if best.metric == "accuracy" else "agreement with fp32"
    floats = f", {best.skipped} layers in floating point" if best.skipped else ""
    return (
        f"The best quantized network that was measured has {best.accuracy:.2f} % {word}, {best.relative:+.2f} % "
        f"relative to {best.fp32:.2f} % in floating point: {_bits(result)}{_WAYS[_analysis(result)]}, "
        f"{calibration_label(best.calibration or '')} calibration{floats}."
    )


def _bits(result: Any) -> str:
    if not isinstance(result.params, QuantizationParams):
        return ""
    plan = result.params.effective_plan()
    if plan.weight_bits == plan.activation_bits:
        return f"{plan.weight_bits} bits, "
    return f"{plan.weight_bits}-bit weights, {plan.activation_bits}-bit activations, "


def _model(given: Sequence[Any]) -> Section:
    first = given[0]
    coverage = next((result.coverage for result in given if hasattr(result, "coverage")), None)
    rows = [
        ("model", f"{first.model.name} ({first.model.origin})"),
        ("architecture", first.model.architecture),
        ("parameters", f"{first.model.parameters:,}"),
        ("data", f"{first.data.name} ({first.data.origin})"),
        (first.words.samples, f"{first.data.calibration:,} to calibrate on, {first.data.evaluation:,} to evaluate on"),
        ("measure", _measure(first)),
    ]
    fp32 = next((r.fp32 for r in given if isinstance(r, EvaluateResult) and r.fp32 is not None), None)
    if fp32 is not None:
        low, high = fp32.accuracy_interval
        rows.append(
            (
                "fp32",
                f"{fp32.accuracy:.2f} % on {fp32.samples:,} {first.words.samples} (95 % interval {low:.2f} to "
                f"{high:.2f} %)",
            )
        )
    blocks: list[Block] = [Table(pd.DataFrame(rows, columns=["", "what"]), "What was quantized")]
    if coverage is not None:
        blocks += _coverage(coverage)
    warnings = dict.fromkeys(note for result in given for note in (*result.warnings, *result.data.warnings))
    if warnings:
        blocks.append(Points(tuple(warnings)))
    return Section("Model and data", tuple(blocks))


def _measure(result: Result) -> str:
    """What accuracy is, and by what."""
    name = metric_axis(result.words.said(result.data.labelled)).removesuffix(" (%)")
    return name if result.data.labelled else f"{name} (no labels)"


def _coverage(coverage: Coverage) -> list[Block]:
    blocks: list[Block] = [
        Text(
            f"{counted(len(coverage.sites), 'layer')} with multiply-accumulates: {coverage.macs / 1e6:,.1f} million "
            "for one sample. They are what is quantized."
        ),
        Figure(figures.model.macs(coverage), "Where the work is.", figures.model.HOW_TO_READ["macs"]),
    ]
    if coverage.not_covered:
        missing = tuple(f"{one.operation} in {one.module}: {one.reason}" for one in coverage.not_covered)
        blocks += [Text("Not covered:"), Points(missing)]
    return blocks


def _advice(results: Sequence[Result]) -> Section | None:
    """What the results show, each rule once, warnings first."""
    found: dict[str, Advice] = {}
    for result in results:
        for one in getattr(result, "advice", ()) or advice_rules.of(result):
            found.setdefault(one.rule, one)
    if not found:
        return None
    ordered = sorted(found.values(), key=lambda one: one.severity != "warning")
    items = tuple(
        f"{one.symptom} {one.evidence} {one.remedy}{f' ({one.source})' if one.source else ''}" for one in ordered
    )
    return Section("Advice", (Points(items),))


def _workflow(results: Sequence[Result]) -> list[Section]:
    """The workflow's stages and its end, where it was run as a whole."""
    sections = []
    for result in results:
        if not isinstance(result, WorkflowResult):
            continue
        end = result.recommendation
        best = end.best
        rows = [
            {"stage": note.stage, "state": note.state, "what it gave": note.sentence, "seconds": round(note.seconds, 1)}
            for note in result.stages
        ]
        blocks: list[Block] = [
            Text(end.reason),
            Text(
                f"Recommended: {best.model}, {counted(len(best.skipped), 'layer')} in floating point, "
                f"{calibration_label(best.plan.calibration)} calibration: {best.accuracy:.2f} % "
                f"({best.relative:+.2f} %, 95 % interval {points(best.change_interval)} points) "
                f"on {best.samples:,} {result.words.samples}."
            ),
            Table(pd.DataFrame(rows), "The workflow (Fig. 5)"),
        ]
        if end.speed is not None:
            speed = end.speed
            blocks.append(
                Text(
                    f"In {speed.engine}, batch {speed.batch}: {speed.int8_ms:.3g} ms instead of "
                    f"{speed.fp32_ms:.3g} ms, {speed.speedup:.2f} times as fast."
                )
            )
        blocks += [Points(tuple(part)) for part in (end.files, end.notes) if part]
        sections.append(Section("The workflow's recommendation", tuple(blocks)))
    return sections


def _again(given: Sequence[Any]) -> Section:
    blocks: list[Block] = [
        Text("Each command makes the result of its section again and writes it as JSON; what is random is seeded.")
    ]
    for name, result in _named(given).items():
        analysis, params = _analysis(result), result.params
        if needs_file(params):
            code = any(imports_code(name) for name in (params.model, params.data, params.task))
            blocks += [
                Text(f"{name}: with its plan, as a file to save as {name}.toml and to run with the command below it."),
                Code(to_toml(analysis, params), "toml"),
                Code(run_file(f"{name}.toml", imports_code=code, json=f"{name}.json"), "bash"),
            ]
        else:
            blocks.append(Code(command(analysis, params, f"{name}.json"), "bash"))
    return Section("Make it again", tuple(blocks))


def _named(given: Sequence[Any]) -> dict[str, Any]:
    """Results by a name each: its analysis, with a number where there are several of one."""
    kinds = [_analysis(result) for result in given]
    names = [
        kind if kinds.count(kind) == 1 else f"{kind}-{kinds[: place + 1].count(kind)}"
        for place, kind in enumerate(kinds)
    ]
    return dict(zip(names, given, strict=True))


def _versions(given: Sequence[Result]) -> Section:
    rows = []
    for result in given:
        environment = result.environment
        rows.append(
            {
                "result": _analysis(result),
                "qanalysis": environment.qanalysis,
                "PyTorch": environment.torch,
                "Python": environment.python,
                "machine": environment.machine,
                "device": environment.device,
                "threads": environment.threads,
                "seconds": round(result.seconds, 1),
            }
        )
    note = Text(
        f"Written {time.strftime('%d %B %Y')}. The method is that of Wu, Judd, Zhang, Isaev, Micikevicius: Integer "
        "Quantization for Deep Learning Inference: Principles and Empirical Evaluation (2020)."
    )
    return Section("Versions and machine", (Table(pd.DataFrame(rows), "Where each result was made"), note))


def _analysis(result: Result) -> str:
    return str(getattr(result, "analysis", type(result).__name__))
