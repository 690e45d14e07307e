"""One plan measured: what it does to the answers, how much of the work is integer, how large the model gets."""

import time
from pathlib import Path

import torch

from qanalysis.analysis.measure import baseline
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, change, compare
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.schema.digest import digest
from qanalysis.schema.params.accuracy import PlanParams
from qanalysis.schema.results.sensitivity import Change, PlanResult
from qanalysis.schema.size import fp32_bytes, plan_bytes
from qanalysis.task import logits


@torch.no_grad()
def run(params: PlanParams, report: Report = silent, folder: Path | None = None) -> PlanResult:
    """Measures fp32 and the plan on the same samples.

    Raises:
        ValueError: with one sentence, for bad names, files or data, or a plan of another model.
    """
    start = time.perf_counter()
    given = baseline.measure(params, report, Checkpoint(folder, digest("plan", params)))
    quantized = given.quantized(given.plan)
    parts = [compare(logits(quantized(batch.inputs)), batch.reference, batch.labels) for batch in given.batches("plan")]
    floats = given.float_sites()
    cards = given.task.cards()
    parameters = cards["model"].parameters
    return PlanResult(
        **cards,
        params=params,
        coverage=given.coverage,
        metric=given.task.metric,
        fp32=given.fp32,
        change=Change(**change(Comparison.joined(parts))),
        quantized_sites=given.quantized_sites(),
        float_sites=floats,
        int8_mac_share=given.int8_mac_share(),
        model_bytes=plan_bytes(given.plan.skipping(*floats), given.coverage, parameters),
        fp32_bytes=fp32_bytes(parameters),
        seconds=time.perf_counter() - start,
    )
