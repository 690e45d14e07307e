"""What the command line prints of the workflow, and advice."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.workflow import WorkflowResult

_TITLES = {
    "baseline": "fp32",
    "ptq": "PTQ",
    "sensitivity": "sensitivity",
    "partial": "partial quantization",
    "speed": "speed of the partial plan",
    "qat": "QAT",
    "benchmark": "benchmark",
    "export": "export",
}
_WORDS = {"done": "done", "known": "known before", "not needed": "not needed", "refused": "not done"}


def workflow(console: Console, value: WorkflowResult) -> None:
    """The stages, and what is recommended with the evidence."""
    table = Table("stage", "state", "what it gave")
    table.add_column("s", justify="right")
    for note in value.stages:
        if note.stage == "speed" and note.state == "not needed":
            continue
        sentence = note.sentence if note.state != "not needed" else ""
        seconds = f"{note.seconds:.1f}" if note.state in ("done", "known") else ""
        table.add_row(_TITLES[note.stage], _WORDS[note.state], sentence, seconds)
    console.print(table)
    given = value.recommendation
    console.print(given.reason, highlight=False)
    best = given.best
    low, high = best.change_interval
    certain = "" if given.sure or given.end == "none" else "; on so few samples that is not certain"
    console.print(
        Text.assemble(
            ("recommended:", "bold"),
            f" {best.way}, {best.plan.plan.weight_bits}-bit weights, {best.plan.plan.activation_bits}-bit activations, "
            f"calibration {best.plan.calibration}",
        )
    )
    console.print(
        f"{value.metric} {best.accuracy:.2f} % of fp32 {best.fp32:.2f} % ({best.relative:+.2f} % relative; change "
        f"{low:+.2f} to {high:+.2f} points on {best.samples:,} samples{certain})",
        highlight=False,
    )
    console.print(f"{best.int8_mac_share:.1f} % of the multiply-accumulates in integers", highlight=False)
    if best.skipped:
        console.print(f"in floating point: {','.join(best.skipped)}", highlight=False, soft_wrap=True)
    if given.speed is not None:
        speed = given.speed
        console.print(
            f"{speed.engine}, batch {speed.batch}: {speed.int8_ms:.3f} ms, in fp32 {speed.fp32_ms:.3f} ms "
            f"({speed.speedup:.2f} x)",
            highlight=False,
        )
    for file in given.files:
        console.print(f"file: {file}", highlight=False, soft_wrap=True)
    if best.model != value.params.model:
        console.print(f"network: {best.model}", highlight=False, soft_wrap=True)
    for note_ in given.notes:
        console.print(note_, highlight=False)
    advice(console, value.advice)


def advice(console: Console, given: Iterable[Advice]) -> None:
    """Advice, each with its evidence and what to do."""
    for one in given:
        mark = ("!", "yellow") if one.severity == "warning" else ("i", "cyan")
        source = f" ({one.source})" if one.source else ""
        console.print(Text.assemble(mark, " ", (one.symptom, "bold"), f" {one.evidence} {one.remedy}{source}"))
