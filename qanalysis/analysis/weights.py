"""Weights alone quantized: per tensor against per channel, batch norm folded or not (section 4.1, Table 3)."""

import time
from pathlib import Path

import torch
from torch import nn

from qanalysis import task as tasks
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.score import answers, paired_interval, score
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.numerics.change import relative
from qanalysis.schema.params.accuracy import WeightsParams
from qanalysis.schema.plan import Granularity, Plan
from qanalysis.schema.results.weights import ChannelStatistics, WeightsResult, WeightsRow

GRANULARITIES: tuple[Granularity, ...] = ("per-channel", "per-tensor")


def run(params: WeightsParams, report: Report = silent, folder: Path | None = None) -> WeightsResult:
    """Measures every granularity, before and, where the model has batch norm, after folding.

    Raises:
        ValueError: with one sentence, for bad names, files or data.
    """
    start = time.perf_counter()
    task = tasks.load(params)
    example = task.example()
    folded = fold_batch_norm(task.model.module, example)
    modules = {False: task.model.module} | ({True: folded.model} if folded.pairs else {})
    reference = answers(task, task.model.module, params.evaluation_samples, report, "fp32")
    fp32 = score(reference.hits(reference)).accuracy
    rows = []
    for is_folded, module in modules.items():
        for granularity in GRANULARITIES:
            plan = Plan(
                weight_bits=params.bits,
                weight_scheme=params.weight_scheme,
                weight_granularity=granularity,
                parts="weights",
            )
            stage = granularity + (", folded" if is_folded else "")
            given = answers(task, QuantizedModel(module, plan), params.evaluation_samples, report, stage)
            hits = given.hits(reference)
            measured = score(hits)
            row = WeightsRow(
                granularity=granularity,
                folded=is_folded,
                accuracy=measured.accuracy,
                relative=relative(measured.accuracy, fp32),
                standard_error=measured.standard_error,
                accuracy_interval=measured.accuracy_interval,
                change_interval=paired_interval(hits, reference.hits(reference)),
            )
            report("row", **row.model_dump())
            rows.append(row)
    return WeightsResult(
        **task.cards(),
        params=params,
        metric=task.metric,
        fp32=fp32,
        rows=tuple(rows),
        channels=_channels(task.model.module, folded.model if folded.pairs else None, example),
        folded_pairs=len(folded.pairs),
        seconds=time.perf_counter() - start,
    )


def _channels(module: nn.Module, folded: nn.Module | None, example: torch.Tensor) -> tuple[ChannelStatistics, ...]:
    after = channel_extents(folded, example) if folded is not None else {}
    return tuple(
        ChannelStatistics(site=site, amax=amax, folded_amax=after.get(site))
        for site, amax in channel_extents(module, example).items()
    )


@torch.no_grad()
def channel_extents(module: nn.Module, example: torch.Tensor) -> dict[str, tuple[float, ...]]:
    """Largest magnitude of each output channel of every weight, by site."""
    extents: dict[str, tuple[float, ...]] = {}

    def note(call: Call) -> torch.Tensor:
        weight = call.operands.get("weight")
        if weight is not None and call.channel_axis is not None:
            axes = [axis for axis in range(weight.ndim) if axis != call.channel_axis % weight.ndim]
            extents[call.site] = tuple(float(v) for v in weight.abs().amax(axes))
        return call.compute()

    with SiteMode(module, note):
        module(example)
    return extents
