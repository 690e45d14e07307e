"""Proxies: the cheap scores that other tools rank layers by, and how well their order agrees with the measured one.

`output-sqnr` compares a site's output with and without quantized inputs, the inputs themselves being fp32 ones.
`weight-mse` looks at the weight alone. `fisher` is second order: with y the output of a site, Δy its change and g the
gradient of log p(answer) for an answer drawn from the model's own distribution, KL(fp32 ‖ quantized) ≈ ½ E[(gᵀΔy)²],
because the expected Hessian of that divergence is the Fisher information (Amari 1998). The task says what is drawn:
classes, or around other outputs normal numbers of the width for which that divergence is the normalised squared error.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from qanalysis.analysis.measure.baseline import Baseline
from qanalysis.kernels.quantize import fake_quantize, max_weight_params
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.nn.structure import Inputs, count, mapped, part, parts
from qanalysis.schema.results.sensitivity import Proxy, ProxyName, SensitivityRow

#: Samples to score on; the scores are means, and what they miss is not for want of samples.
SAMPLES = 256
#: Answers drawn from the model's own for each sample.
_DRAWS = 2
Scores = dict[str, float | None]


def proxies(baseline: Baseline, rows: Sequence[SensitivityRow]) -> tuple[Proxy, ...]:
    """All proxies for the sites of `rows`, each with its rank correlation to what was measured."""
    values: dict[ProxyName, Scores] = {
        "output-sqnr": output_sqnr(baseline),
        "weight-mse": weight_errors(baseline),
        "fisher": fisher(baseline),
    }
    found = []
    for name, scores in values.items():
        mine = {row.site: scores.get(row.site) for row in rows}
        harm = {site: -score if name == "output-sqnr" else score for site, score in mine.items() if score is not None}
        known = [row for row in rows if row.site in harm]
        ranks = [harm[row.site] for row in known]
        found.append(
            Proxy(
                name=name,
                values=mine,
                correlation_divergence=_correlation(ranks, [row.divergence for row in known]),
                correlation_accuracy=_correlation(ranks, [-row.relative for row in known]),
            )
        )
    return tuple(found)


@torch.no_grad()
def output_sqnr(baseline: Baseline) -> Scores:
    """Power of every site's output over that of its change when its inputs are quantized, in dB."""
    quantized = baseline.quantized(baseline.plan)
    signal: defaultdict[str, float] = defaultdict(float)
    noise: defaultdict[str, float] = defaultdict(float)

    def measure(call: Call) -> torch.Tensor:
        output = call.compute()
        signal[call.site] += float(output.double().square().sum())
        noise[call.site] += float((quantized.compute(call) - output).double().square().sum())
        return output

    module = baseline.setup.model.module
    with SiteMode(module, measure) as mode:
        for inputs in _inputs(baseline, "output SQNR"):
            mode.reset()
            baseline.task.call(module, inputs)
    both = [site for site in signal if signal[site] > 0 and noise[site] > 0]
    return {site: 10 * math.log10(signal[site] / noise[site]) for site in both}


@torch.no_grad()
def weight_errors(baseline: Baseline) -> Scores:
    """Mean squared rounding error of every weight over its mean square."""
    errors: Scores = {}

    def measure(call: Call) -> torch.Tensor:
        weight = call.operands.get("weight")
        spec = baseline.plan.weight_spec(call.site, call.operation.channel_axis)
        if weight is not None and spec is not None:
            error = fake_quantize(weight, max_weight_params(weight, spec)) - weight
            errors[call.site] = float(error.square().mean() / weight.square().mean().clamp_min(1e-30))
        return call.compute()

    module = baseline.setup.model.module
    with SiteMode(module, measure):
        baseline.task.call(module, baseline.setup.example())
    return errors


def fisher(baseline: Baseline) -> Scores:
    """½ E[(gᵀΔy)²] of every site, in nats: a second-order estimate of the divergence it alone causes.

    A sample's terms are those of that sample alone, whatever the batch: where a site's output does not keep samples
    apart in its first axis, they are run one at a time.
    """
    task, module, quantized = baseline.task, baseline.setup.model.module, baseline.quantized(baseline.plan)
    sums: defaultdict[str, float] = defaultdict(float)
    outputs: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def measure(call: Call) -> torch.Tensor:
        output = call.compute()
        if not output.requires_grad:  # nothing before it is a parameter or an input with gradients
            output.requires_grad_()
        with torch.no_grad():
            change = quantized.compute(call) - output
        outputs.append((call.site, output, change))
        return output.clone()  # so that what is done to it in place leaves the recorded output alone

    def answered(inputs: Inputs) -> Any:
        outputs.clear()
        with torch.enable_grad(), SiteMode(module, measure):
            return task.measured(module, mapped(_with_gradients, inputs))

    seen, rows = 0, None
    for batch in _inputs(baseline, "Fisher"):
        if rows is None:
            answered(part(batch, slice(0, 1)))
            rows = [output.shape[0] if output.ndim > 1 else 0 for _, output, _ in outputs]
            answered(batch)
            apart = [output.shape[0] == row * count(batch) for row, (_, output, _) in zip(rows, outputs, strict=False)]
            size = count(batch) if all(apart) and len(rows) == len(outputs) else 1
        for inputs in parts(batch, size if count(batch) > 1 else 1):
            raw = answered(inputs)
            with torch.enable_grad():
                likelihoods = task.drawn(raw, range(seen, seen + count(inputs)), _DRAWS)
            tensors = [output for _, output, _ in outputs]
            for draw in range(_DRAWS):
                gradients = torch.autograd.grad(
                    likelihoods[draw],
                    tensors,
                    retain_graph=draw + 1 < _DRAWS,
                    allow_unused=True,
                    materialize_grads=True,
                )
                totals: dict[str, torch.Tensor] = {}
                for (site, _, change), gradient in zip(outputs, gradients, strict=True):
                    per_sample = (gradient * change).double().reshape(count(inputs), -1).sum(1)
                    totals[site] = totals[site] + per_sample if site in totals else per_sample
                for site, total in totals.items():
                    sums[site] += float(total.square().sum()) / _DRAWS
            seen += count(inputs)
    return {site: 0.5 * total / max(seen, 1) for site, total in sums.items()}


def _with_gradients(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().clone()
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def _inputs(baseline: Baseline, stage: str) -> list[Inputs]:
    """The first evaluation samples, in small batches: gradients of all sites are held at once."""
    total = min(SAMPLES, baseline.samples)
    baseline.report("progress", stage=stage, done=0, total=total)
    setup = baseline.setup
    return [some for inputs in setup.inputs(setup.data.evaluation, total) for some in parts(inputs, 32)]


def _correlation(scores: list[float], measured: list[float]) -> float | None:
    """Spearman's rank correlation; None where one side is all equal or there are fewer than three."""
    if len(scores) < 3 or len(set(scores)) < 2 or len(set(measured)) < 2:
        return None
    value = float(spearmanr(np.array(scores), np.array(measured)).statistic)
    return value if math.isfinite(value) else None
