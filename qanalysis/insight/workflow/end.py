"""The end of the workflow: what is recommended, what it gains in an engine, and its files."""

from collections.abc import Mapping
from pathlib import Path

from qanalysis.schema.executable import refusal
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.benchmark import BUSY, BenchmarkResult, fp32_row, int8_row
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.workflow import Candidate, End, Recommendation, Speed, Stage


def recommendation(
    params: WorkflowParams,
    results: Mapping[Stage, Result],
    refused: Mapping[Stage, str],
    end: End,
    best: Candidate,
    reason: str,
) -> Recommendation:
    """What to deploy, with what is known of its speed and files.

    Args:
        params: settings of the workflow.
        results: of its stages.
        refused: stages that could not be done, and why.
        end: where the search ended.
        best: the network found.
        reason: why it ended there.
    """
    why_not = not_for_engines(best) if params.deploy else ""
    notes = [why_not] if why_not else []
    notes += [refused[stage] for stage in ("benchmark", "export") if stage in refused]
    measured = results.get("benchmark")
    if isinstance(measured, BenchmarkResult) and (busy := measured.environment.machine_load.others) > BUSY:
        notes.append(
            f"Other processes used {100 * busy:.0f} % of the cores while the speed was measured: it is doubtful; "
            "measure again when the machine is idle."
        )
    export = results.get("export")
    files: tuple[str, ...] = ()
    if isinstance(export, ExportResult):
        files = tuple(str(Path(export.folder) / file.name) for file in export.files)
    return Recommendation(
        end=end,
        reason=reason,
        best=best,
        sure=best.surely_within(params.target),
        speed=speed(results.get("benchmark")),
        files=files,
        notes=tuple(dict.fromkeys(notes)),
    )


def not_for_engines(best: Candidate) -> str:
    """Why no engine could run the network; empty if one may."""
    why = refusal(best.plan.plan, best.plan.sites)
    return f"Speed was not measured and no file written. {why}" if why else ""


def speed(result: Result | None) -> Speed | None:
    """What a benchmark says of the plan."""
    if not isinstance(result, BenchmarkResult):
        return None
    int8 = int8_row(result.rows)
    fp32 = None if int8 is None else fp32_row(result.rows, int8)
    if fp32 is None or int8 is None or int8.speedup is None:
        return None
    return Speed(
        engine=int8.engine,
        batch=int8.batch,
        fp32_ms=fp32.latency_ms.median,
        int8_ms=int8.latency_ms.median,
        speedup=int8.speedup,
        speedup_interval=int8.speedup_interval,
    )
