"""One plan measured: what it does to the answers, how much of the work is integer, how large the model gets."""

import time
from pathlib import Path

import torch

from qanalysis.analysis.measure.baseline import measured_baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import change
from qanalysis.analysis.measure.evaluation import compared
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import PlanParams
from qanalysis.schema.results.sensitivity import Change, PlanResult
from qanalysis.schema.size import fp32_bytes, plan_bytes


@torch.no_grad()
def run(params: PlanParams, report: Report = silent, folder: Path | None = None) -> PlanResult:
    """Measures fp32 and the plan on the same samples.

    Raises:
        ValueError: with one sentence, for bad names, files or data, or a plan of another model.
    """
    start = time.perf_counter()
    baseline = measured_baseline(params, report, Checkpoint(folder, digest("plan", params)))
    quantized = baseline.quantized(baseline.plan)
    comparison = compared(baseline.reference, {"plan": quantized}, report, "plan")["plan"]
    floats = baseline.float_sites()
    cards = baseline.setup.cards()
    parameters = cards["model"].parameters
    return PlanResult(
        **cards,
        params=params,
        coverage=baseline.coverage,
        metric=baseline.setup.metric,
        fp32=baseline.fp32,
        change=Change(**change(baseline.task, comparison)),
        quantized_sites=baseline.quantized_sites(),
        float_sites=floats,
        int8_mac_share=baseline.int8_mac_share(),
        model_bytes=plan_bytes(baseline.plan.skipping(*floats), baseline.coverage, parameters),
        fp32_bytes=fp32_bytes(parameters),
        seconds=time.perf_counter() - start,
    )
