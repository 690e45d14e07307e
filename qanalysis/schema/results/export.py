"""What an export wrote, and whether the file computes what the simulation promised."""

from typing import Literal

from qanalysis.schema.base import Record
from qanalysis.schema.params.deploy import ExportParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.common import Metric, Result
from qanalysis.schema.site import Coverage


class ExportedFile(Record):
    """One file.

    Attributes:
        name: its name in `ExportResult.folder`.
        flavour: which of `FLAVOURS` it belongs to.
        bytes: its size.
        sha256: of its content.
    """

    name: str
    flavour: str
    bytes: int
    sha256: str


class SiteParity(Record):
    """How far file and simulation are apart at one site; differences are relative to the largest magnitude.

    Attributes:
        site: its name; `logits` or `outputs` for what comes after the last.
        int8: whether the site is quantized in the file.
        before: difference of its inputs, given the outputs of all earlier sites.
        output: difference of its output, given its inputs.
    """

    site: str
    int8: bool
    before: float
    output: float


class Verification(Record):
    """The file, executed by the reference runtime, against the simulation on real samples.

    Attributes:
        runtime: name and version of the reference runtime.
        sites: site by site; every one is within `tolerance`, or there is no result.
        tolerance: of the relative differences at sites.
        samples: samples of the comparison end to end.
        agreement: answers equal to the simulation's, in %.
        simulated: accuracy of the simulation in %.
        measured: accuracy of the file in %.
        logits: norm of the difference of the outputs over the norm of the simulation's.
        noise: the same for the simulation in float64 and in float32: what rounding alone does to this network.
        half_agreement: answers of the fp16 file equal to the simulation's in %; None without that flavour.
    """

    runtime: str
    sites: tuple[SiteParity, ...]
    tolerance: float
    samples: int
    agreement: float
    simulated: float
    measured: float
    logits: float
    noise: float
    half_agreement: float | None = None


class ExportResult(Result):
    """Files for engines.

    Attributes:
        folder: where they are.
        files: what was written.
        plan: what is in them.
        opset: of the ONNX standard.
        fp32: accuracy in floating point, in %.
        quantized_sites: names of the sites in int8.
        float_sites: names of the others, with the reason.
        residuals: names of the residual additions in int8, as `ExportParams.residual` says.
        verification: whether the file computes what the simulation does.
        fp32_bytes: size of the parameters in floating point.
        export_seconds: time to trace and write, without calibration and verification.
    """

    analysis: Literal["export"] = "export"
    params: ExportParams
    coverage: Coverage
    metric: Metric
    folder: str
    files: tuple[ExportedFile, ...]
    plan: Plan
    opset: int
    fp32: float
    quantized_sites: tuple[str, ...]
    float_sites: dict[str, str]
    residuals: tuple[str, ...] = ()
    verification: Verification
    fp32_bytes: int
    export_seconds: float
