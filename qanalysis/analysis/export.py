"""The plan as a file that engines take, and whether it computes what the simulation promised."""

import copy
import math
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch

from qanalysis.analysis.measure.comparison import distance
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.speed.deployment import Deployment, prepared
from qanalysis.engines.export import files
from qanalysis.engines.export.graph import network as make_network
from qanalysis.engines.export.operands import Operands
from qanalysis.engines.export.parity import TOLERANCE, Deployed, differences, first_wrong
from qanalysis.engines.export.trace import OPSET
from qanalysis.engines.reference import Reference
from qanalysis.nn.structure import part
from qanalysis.schema.analyses import need
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.deploy import ExportParams
from qanalysis.schema.results.export import ExportedFile, ExportResult, SiteParity, Verification
from qanalysis.schema.site import TensorId
from qanalysis.schema.size import fp32_bytes
from qanalysis.tasks.cut import Tensors

#: Agreement with the simulation, in %, below which a file whose sites all agree is suspected nevertheless.
_SUSPICIOUS = 95.0
#: Samples whose inner tensors are compared site by site.
_SITE_SAMPLES = 4
#: Samples on which the effect of rounding is measured.
_NOISE_SAMPLES = 32
#: Samples on which the fp16 file is compared.
_HALF_SAMPLES = 256


@torch.no_grad()
def run(params: ExportParams, report: Report = silent, folder: Path | None = None) -> ExportResult:
    """Calibrates, writes the files, reads them back, and compares them with the simulation.

    Raises:
        UserError: with one sentence: bad names, files or data; a plan that cannot be exported; a folder that cannot be
            written to; or a file that computes something else, naming the site where that starts.
        OSError: if the disk is full.
    """
    start = time.perf_counter()
    where = Path(params.output).expanduser() if params.output else folder or Path()
    need(*(("openvino",) if "openvino" in params.flavours else ()))

    files.check_writable(where)
    report = staged(report, _work(params))
    deployment = prepared(params, report)
    began = time.perf_counter()
    operands = deployment.operands(deployment.plan)
    network = deployment.network(deployment.plan)
    setup = deployment.setup
    paths = files.write(
        where,
        _stem(params.model),
        params.flavours,
        network,
        deployment.float_network(),
        operands,
        deployment.ranges,
        _about(params, deployment),
    )
    seconds = time.perf_counter() - began
    verification, fp32 = _verified(params, deployment, {flavour: path for path, flavour in paths}, report)
    cards = setup.cards(*((deployment.cut.note,) if deployment.cut.note else ()))
    half = verification.half_agreement
    if half is not None and half < _SUSPICIOUS:
        note = f"The fp16 file gives the simulation's answer for {half:.1f} % of the samples only: do not deploy it."
        note += beyond_half(
            {tensor: histogram.amax for tensor, histogram in deployment.observations.histograms.items()}
        )
        cards["warnings"] = (*cards["warnings"], note)
    floats = deployment.float_sites()
    return ExportResult(
        **cards,
        params=params,
        coverage=deployment.coverage,
        metric=setup.metric,
        folder=str(where.resolve()),
        files=tuple(
            ExportedFile(name=path.name, flavour=flavour, bytes=path.stat().st_size, sha256=files.sha256(path))
            for path, flavour in paths
        ),
        plan=deployment.plan,
        opset=OPSET,
        fp32=fp32,
        quantized_sites=tuple(s.name for s in deployment.coverage.sites if s.name not in floats),
        float_sites=floats,
        residuals=tuple(tensor.site for tensor in operands.steps if tensor.role == "residual"),
        verification=verification,
        fp32_bytes=fp32_bytes(cards["model"].parameters),
        export_seconds=deployment.trace_seconds + seconds,
        seconds=time.perf_counter() - start,
    )


def beyond_half(largest: Mapping[TensorId, float]) -> str:
    """Where fp16 has no numbers for a network's activations, as a further sentence; empty if it has.

    Networks with random weights are the usual case: without training, signals fade from layer to layer.

    Args:
        largest: largest magnitude of every activation, in the order of execution.
    """
    finest, most = float(np.finfo(np.float16).smallest_normal), float(np.finfo(np.float16).max)
    for tensor, amax in largest.items():
        if 0 < amax < finest:
            return (
                f" From {str(tensor)!r} on its activations are too small: the largest there is {amax:.1e}, and what is "
                f"below {finest:.1e} fp16 rounds coarsely or to zero."
            )
        if amax > most:
            return f" Activation {str(tensor)!r} reaches {amax:.1e}, over the largest number of fp16, {most:g}."
    return ""


def _work(params: ExportParams) -> dict[str, float]:
    """The stages in forward passes."""
    return {
        "trace": 200,
        "calibration": 1.5 * params.calibration_samples,
        "fp32": params.evaluation_samples,
        "simulation": 1.5 * params.evaluation_samples,
        "file": 2.5 * params.evaluation_samples,
    }


def _stem(model: str) -> str:
    """What file names begin with: the model's name without source and path."""
    rest = model.partition(":")[2].partition("?")[0]
    return re.sub(r"[^\w.-]+", "_", Path(rest).name).removesuffix(".safetensors").strip("._") or "model"


def _about(params: ExportParams, deployment: Deployment) -> dict[str, str]:
    return {
        "qanalysis": version("qanalysis"),
        "model": params.model,
        "calibration": deployment.ranges.calibration,
        "residual": params.residual,
        "plan": deployment.plan.model_dump_json(),
    }


def _verified(
    params: ExportParams, deployment: Deployment, paths: dict[str, Path], report: Report
) -> tuple[Verification, float]:
    """Compares the files on disk with the simulation; also the accuracy in floating point.

    Raises:
        UserError: if a file computes something else.
    """
    setup, plan = deployment.setup, deployment.plan
    operands = deployment.operands(plan)
    network = make_network(deployment.traced, operands)
    if "onnx" in paths:
        stored = onnx.load(paths["onnx"])
        onnx.checker.check_model(stored, full_check=True)
        network = replace(network, proto=stored)
    found = differences(network, deployment.folded.model, deployment.cut, operands, _some(deployment, _SITE_SAMPLES))
    wrong = first_wrong(found)
    if wrong is not None:
        raise UserError(
            f"The exported file does not compute what the simulation does: it differs from there on: {wrong}."
        )
    fp32 = Answering(setup, setup.model.module, params.evaluation_samples)
    simulated = Answering(setup, deployment.simulation(plan), params.evaluation_samples, judge=fp32)
    stages = {"fp32": fp32, "simulation": simulated}
    accuracies = [setup.task.accuracy_of(one.statistics(report, stage)) for stage, one in stages.items()]
    runtime = Reference(network.proto)
    file = lambda inputs: deployment.finished(runtime.run(deployment.fed(inputs)), inputs, plan)  # noqa: E731
    measured = compared(simulated, {"file": file}, report, "file")["file"]
    agreement = 100 * float(measured.same.mean())
    noise = _noise(deployment, operands, _some(deployment, _NOISE_SAMPLES))
    if agreement < _SUSPICIOUS and distance(measured) > max(10 * noise, TOLERANCE):
        raise UserError(
            f"The exported file gives the simulation's answer for {agreement:.1f} % of {len(measured)} samples only, "
            f"and its outputs differ by {distance(measured):.2g}, although every site agrees: please report this model."
        )
    half = None
    if "onnx-fp16" in paths:
        proto = onnx.load(paths["onnx-fp16"])
        onnx.checker.check_model(proto, full_check=True)
        fp16 = Reference(proto)
        run_half = lambda inputs: deployment.finished(fp16.run(deployment.fed(inputs)), inputs, plan)  # noqa: E731
        few = Answering(setup, simulated.model, min(params.evaluation_samples, _HALF_SAMPLES), judge=fp32)
        half = 100 * float(compared(few, {"fp16": run_half}, silent, "fp16")["fp16"].same.mean())
    verification = Verification(
        runtime=f"onnxruntime {version('onnxruntime')}, graph optimizations off",
        sites=tuple(
            SiteParity(site=d.site, int8=d.site in operands.sites, before=d.before, output=d.output) for d in found
        ),
        tolerance=TOLERANCE,
        samples=len(measured),
        agreement=agreement,
        simulated=accuracies[1],
        measured=setup.task.accuracy_of(measured.statistics),
        logits=distance(measured),
        noise=noise,
        half_agreement=half,
    )
    return verification, accuracies[0]


def _some(deployment: Deployment, samples: int) -> Tensors:
    """The file's inputs for a few samples of those to evaluate on, one batch of them."""
    setup = deployment.setup
    first = part(next(iter(setup.batches(setup.data.evaluation, samples)))[0], slice(0, samples))
    return {name: torch.from_numpy(values) for name, values in deployment.fed(first).items()}


def _noise(deployment: Deployment, operands: Operands, inputs: Tensors) -> float:
    """What rounding alone does: the same computation in float64 and in float32; 0 where there is only the latter."""

    double = copy.deepcopy(deployment.folded.model).double()
    single = Deployed(deployment.folded.model, operands).outputs(deployment.cut, inputs)
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    try:
        exact = Deployed(double, operands).outputs(deployment.cut, wide)
    except RuntimeError:  # its code makes float32 tensors or casts to half: it cannot be computed in float64
        return 0.0
    change = sum(float((single[name].double() - exact[name]).square().sum()) for name in exact)
    return math.sqrt(change / max(sum(float(value.square().sum()) for value in exact.values()), 1e-60))
