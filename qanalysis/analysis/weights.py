"""Weights alone quantized: per tensor against per channel, batch norm folded or not (section 4.1, Table 3)."""

import time
from pathlib import Path

import torch
from torch import nn

from qanalysis import setup as setups
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.progress import Report, silent
from qanalysis.analysis.measure.score import change_interval, score
from qanalysis.nn.fold import fold_batch_norm
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.nn.structure import CallModel, Inputs, call_model
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
    setup = setups.load(params)
    task, example = setup.task, setup.example()
    folded = fold_batch_norm(setup.model.module, example, task.call)
    modules = {False: setup.model.module} | ({True: folded.model} if folded.pairs else {})
    models = {}
    for is_folded, module in modules.items():
        for granularity in GRANULARITIES:
            plan = Plan(
                weight_bits=params.bits,
                weight_scheme=params.weight_scheme,
                weight_granularity=granularity,
                parts="weights",
            )
            models[granularity, is_folded] = QuantizedModel(module, plan)
    fp32 = Answering(setup, setup.model.module, params.evaluation_samples, memory_bytes=0)
    named = {f"{granularity}{', folded' * is_folded}": model for (granularity, is_folded), model in models.items()}
    comparisons = compared(fp32, named, report, "evaluation")
    accuracy = task.accuracy_of(next(iter(comparisons.values())).reference_statistics)
    rows = []
    for (granularity, is_folded), comparison in zip(models, comparisons.values(), strict=True):
        measured = score(task, comparison.statistics)
        row = WeightsRow(
            granularity=granularity,
            folded=is_folded,
            accuracy=measured.accuracy,
            relative=relative(measured.accuracy, accuracy),
            standard_error=measured.standard_error,
            accuracy_interval=measured.accuracy_interval,
            change_interval=change_interval(task, comparison.statistics, comparison.reference_statistics),
        )
        report("row", **row.model_dump())
        rows.append(row)
    return WeightsResult(
        **setup.cards(),
        params=params,
        metric=setup.metric,
        fp32=accuracy,
        rows=tuple(rows),
        channels=_channels(setup.model.module, folded.model if folded.pairs else None, example, task.call),
        folded_pairs=len(folded.pairs),
        seconds=time.perf_counter() - start,
    )


def _channels(
    module: nn.Module, folded: nn.Module | None, example: Inputs, call: CallModel
) -> tuple[ChannelStatistics, ...]:
    after = channel_extents(folded, example, call) if folded is not None else {}
    return tuple(
        ChannelStatistics(site=site, amax=amax, folded_amax=after.get(site))
        for site, amax in channel_extents(module, example, call).items()
    )


@torch.no_grad()
def channel_extents(module: nn.Module, example: Inputs, call: CallModel = call_model) -> dict[str, tuple[float, ...]]:
    """Largest magnitude of each output channel of every weight, by site."""
    extents: dict[str, tuple[float, ...]] = {}

    def note(met: Call) -> torch.Tensor:
        weight = met.operands.get("weight")
        if weight is not None and met.channel_axis is not None:
            axes = [axis for axis in range(weight.ndim) if axis != met.channel_axis % weight.ndim]
            extents[met.site] = tuple(float(v) for v in weight.abs().amax(axes))
        return met.compute()

    with SiteMode(module, note):
        call(module, example)
    return extents
