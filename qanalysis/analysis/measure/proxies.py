"""Proxies: the cheap scores that other tools rank layers by, and how well their order agrees with the measured one.

`output-sqnr` compares a site's output with and without quantized inputs, the inputs themselves being fp32 ones.
`weight-mse` looks at the weight alone. `fisher` is second order: with y the output of a site, Δy its change and g the
gradient of log p(label) for a label drawn from the model's own answer, KL(fp32 ‖ quantized) ≈ ½ E[(gᵀΔy)²], because
the expected Hessian of that divergence is the Fisher information (Amari 1998).
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr

from qanalysis.analysis.measure.baseline import Baseline
from qanalysis.kernels.quantize import fake_quantize, max_weight_params
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.schema.results.sensitivity import Proxy, ProxyName, SensitivityRow
from qanalysis.task import logits

#: Samples to score on; the scores are means, and what they miss is not for want of samples.
SAMPLES = 256
#: Labels drawn from the model's answer for each sample.
_DRAWS = 2
Scores = dict[str, float | None]


def proxies(given: Baseline, rows: Sequence[SensitivityRow]) -> tuple[Proxy, ...]:
    """All proxies for the sites of `rows`, each with its rank correlation to what was measured."""
    values: dict[ProxyName, Scores] = {
        "output-sqnr": output_sqnr(given),
        "weight-mse": weight_errors(given),
        "fisher": fisher(given),
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
                correlation_kl=_correlation(ranks, [row.kl for row in known]),
                correlation_accuracy=_correlation(ranks, [-row.relative for row in known]),
            )
        )
    return tuple(found)


@torch.no_grad()
def output_sqnr(given: Baseline) -> Scores:
    """Power of every site's output over that of its change when its inputs are quantized, in dB."""
    quantized = given.quantized(given.plan)
    signal: defaultdict[str, float] = defaultdict(float)
    noise: defaultdict[str, float] = defaultdict(float)

    def measure(call: Call) -> torch.Tensor:
        output = call.compute()
        signal[call.site] += float(output.double().square().sum())
        noise[call.site] += float((quantized.compute(call) - output).double().square().sum())
        return output

    with SiteMode(given.task.model.module, measure) as mode:
        for inputs in _inputs(given, "output SQNR"):
            mode.reset()
            given.task.model.module(inputs)
    both = [site for site in signal if signal[site] > 0 and noise[site] > 0]
    return {site: 10 * math.log10(signal[site] / noise[site]) for site in both}


@torch.no_grad()
def weight_errors(given: Baseline) -> Scores:
    """Mean squared rounding error of every weight over its mean square."""
    errors: Scores = {}

    def measure(call: Call) -> torch.Tensor:
        weight = call.operands.get("weight")
        spec = given.plan.weight_spec(call.site, call.operation.channel_axis)
        if weight is not None and spec is not None:
            error = fake_quantize(weight, max_weight_params(weight, spec)) - weight
            errors[call.site] = float(error.square().mean() / weight.square().mean().clamp_min(1e-30))
        return call.compute()

    with SiteMode(given.task.model.module, measure):
        given.task.model.module(given.task.example())
    return errors


def fisher(given: Baseline) -> Scores:
    """½ E[(gᵀΔy)²] of every site, in nats: a second-order estimate of the divergence it alone causes.

    Where a site's output does not keep samples apart in its first axis, (Σ gᵀΔy)² over the whole batch is taken: the
    mixed terms have expectation zero, so it is noisier, not biased.
    """
    module, quantized = given.task.model.module, given.quantized(given.plan)
    sums: defaultdict[str, float] = defaultdict(float)
    seen = 0
    generator = torch.Generator().manual_seed(0)
    outputs: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def measure(call: Call) -> torch.Tensor:
        output = call.compute()
        with torch.no_grad():
            change = quantized.compute(call) - output
        outputs.append((call.site, output, change))
        return output.clone()  # so that what is done to it in place leaves the recorded output alone

    for inputs in _inputs(given, "Fisher"):
        outputs.clear()
        with torch.enable_grad(), SiteMode(module, measure):
            answer = logits(module(inputs.detach().clone().requires_grad_()))
        log_p = answer.log_softmax(1)
        tensors = [output for _, output, _ in outputs]
        for draw in range(_DRAWS):
            labels = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=generator).to(log_p.device)
            gradients = torch.autograd.grad(
                log_p.gather(1, labels).sum(),
                tensors,
                retain_graph=draw + 1 < _DRAWS,
                allow_unused=True,
                materialize_grads=True,
            )
            totals: dict[str, torch.Tensor] = {}
            for (site, output, change), gradient in zip(outputs, gradients, strict=True):
                product = (gradient * change).double()
                apart = product.ndim > 1 and output.shape[0] % len(inputs) == 0
                per_sample = product.reshape(len(inputs), -1).sum(1) if apart else product.sum().reshape(1)
                totals[site] = totals[site] + per_sample if site in totals else per_sample
            for site, total in totals.items():
                sums[site] += float(total.square().sum()) / _DRAWS
        seen += len(inputs)
    return {site: 0.5 * total / seen for site, total in sums.items()}


def _inputs(given: Baseline, stage: str) -> list[torch.Tensor]:
    """The first evaluation samples, in small batches: gradients of all sites are held at once."""
    total = min(SAMPLES, given.samples)
    given.report("progress", stage=stage, done=0, total=total)
    return [part for inputs in given.task.inputs(given.task.data.evaluation, total) for part in inputs.split(32)]


def _correlation(scores: list[float], measured: list[float]) -> float | None:
    """Spearman's rank correlation; None where one side is all equal or there are fewer than three."""
    if len(scores) < 3 or len(set(scores)) < 2 or len(set(measured)) < 2:
        return None
    value = float(spearmanr(np.array(scores), np.array(measured)).statistic)
    return value if math.isfinite(value) else None
