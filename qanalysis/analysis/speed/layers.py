"""Where the time goes: every site in each precision, against what this machine reaches at best."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from qanalysis.engines import gemm
from qanalysis.engines.export.whole import in_one_piece
from qanalysis.engines.layers import Gathered
from qanalysis.engines.protocol import Precision
from qanalysis.engines.registry import ENGINES
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.schema.results.benchmark import GemmRow, LayerRow, Layers, Roofline
from qanalysis.schema.site import Coverage
from qanalysis.tasks.cut import Cut, Tensors

#: Precisions of products of matrices.
_MULTIPLIED: tuple[Precision, ...] = ("fp32", "bf16", "int8")
_BYTES = {"int8": 1, "bf16": 2, "fp16": 2, "fp32": 4}


@torch.no_grad()
def operand_elements(module: nn.Module, cut: Cut, example: Tensors) -> dict[tuple[str, str], int]:
    """Values of every activation of every site, and of its output (role `output`), for one sample."""
    found: dict[tuple[str, str], int] = {}
    batch = len(next(iter(example.values())))

    def see(call: Call) -> torch.Tensor:
        output = call.compute()
        tensors = [(str(role), x) for role, x in call.operands.items() if role != "weight"]
        for role, x in (*tensors, ("output", output)):
            found[call.site, role] = found.get((call.site, role), 0) + x.numel() // batch
        return output

    with SiteMode(module, see, whole=in_one_piece):
        cut.call(module, example)
    return found


def raised(roofline: Roofline, measured: Mapping[str, Gathered], coverage: Coverage, batch: int) -> Roofline:
    """The roofline with peaks that no layer is above: a convolution may reach more than a product of matrices did."""
    macs = {site.name: site.macs for site in coverage.sites}
    peaks = dict(roofline.peak_gops)
    for one in measured.values():
        for name, time in one.sites.items():
            if time.ran in peaks and time.ms > 0:
                peaks[time.ran] = max(peaks[time.ran], 2 * macs[name] * batch / time.ms / 1e6)
    return roofline.model_copy(update={"peak_gops": peaks})


def layers(
    engine: str,
    batch: int,
    measured: Mapping[str, Gathered],
    coverage: Coverage,
    planned: frozenset[str],
    sizes: Mapping[tuple[str, str], int],
    roofline: Roofline | None,
) -> Layers:
    """One row for each site.

    Args:
        engine: name of the engine.
        batch: samples of one inference.
        measured: by precision.
        coverage: the sites.
        planned: sites that the plan has in int8.
        sizes: of `operand_elements`.
        roofline: what the machine reaches; None leaves the shares out.
    """
    rows = []
    for site in coverage.sites:
        times = {name: one.sites[site.name] for name, one in measured.items() if site.name in one.sites}
        weights = 0
        if site.weight_shape is not None:
            weights = int(torch.Size(site.weight_shape).numel())
        operations = 2 * site.macs * batch
        values = sum(sizes.get((site.name, role), 0) for role in (*site.roles, "output"))
        gops, intensity, roof, bound = {}, {}, {}, {}
        for name, time in times.items():
            ran = time.ran if time.ran in _BYTES else name
            moved = (batch * values + weights) * _BYTES.get(ran, 4)
            if time.ms <= 0 or not moved:
                continue
            gops[name] = operations / time.ms / 1e6
            intensity[name] = operations / moved
            peak = None if roofline is None else roofline.peak_gops.get(ran)
            if roofline is not None and peak is not None:
                memory = intensity[name] * roofline.bandwidth_gbs
                roof[name] = gops[name] / min(peak, memory)
                bound[name] = "compute" if memory >= peak else "memory"
        whole = {name: time.ms + time.conversion_ms for name, time in times.items()}
        faster = whole["fp32"] / whole["int8"] if whole.get("int8") and "fp32" in whole else None
        rows.append(
            LayerRow(
                site=site.name,
                kind="depthwise convolution" if site.depthwise else site.kind,
                macs=site.macs,
                planned=site.name in planned,
                ms={name: time.ms for name, time in times.items()},
                conversion_ms={name: time.conversion_ms for name, time in times.items()},
                ran={name: time.ran for name, time in times.items()},
                kernel={name: time.kernel for name, time in times.items()},
                fused_with=tuple(dict.fromkeys(other for time in times.values() for other in time.fused_with)),
                gops=gops,
                intensity=intensity,
                roof=roof,
                bound=bound,
                speedup=faster,
            )
        )
    return Layers(
        engine=engine,
        batch=batch,
        rows=tuple(rows),
        other_ms={name: one.other_ms for name, one in measured.items()},
        total_ms={name: one.total_ms for name, one in measured.items()},
    )


def products(engine: str, threads: int) -> tuple[tuple[GemmRow, ...], Roofline]:
    """Throughput of matrix products in the engine, and the peaks that follow from it.

    Raises:
        ValueError: if the engine cannot multiply.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="qanalysis-gemm-") as folder:
        able = ENGINES[engine].precisions()
        wanted = [name for name in _MULTIPLIED if name in able]
        for size in gemm.SIZES:
            for name, ms in gemm.fastest_ms(engine, wanted, size, threads, 0.3, Path(folder)).items():
                gops = 2 * size**3 / ms / 1e6
                rows.append(GemmRow(engine=engine, size=size, precision=name, ms=ms, gops=gops))
    rows.sort(key=lambda row: _MULTIPLIED.index(row.precision))
    peaks: dict[str, float] = {}
    for row in rows:
        peaks[row.precision] = max(row.gops, peaks.get(row.precision, 0.0))
    return tuple(rows), Roofline(peak_gops=peaks, bandwidth_gbs=gemm.bandwidth(threads))
