"""What the workflow found: every stage with its own result, and what it recommends (section 6, Fig. 5)."""

from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.accuracy import EvaluateResult, PtqResult
from qanalysis.schema.results.advice import Advice
from qanalysis.schema.results.benchmark import BenchmarkResult
from qanalysis.schema.results.common import Metric, Result
from qanalysis.schema.results.export import ExportResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import PartialResult, SensitivityResult
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.schema.site import Coverage

#: Stages in the order of the chart; `speed` is asked only where partial quantization must keep a speed-up.
Stage = Literal["baseline", "ptq", "sensitivity", "partial", "speed", "qat", "benchmark", "export"]
#: What a network under a plan came from.
Way = Literal["ptq", "partial", "qat"]
#: Where the workflow ended; `none` where nothing was within the target.
End = Literal["ptq", "partial", "qat", "none"]


class Candidate(Record):
    """A quantized network that could be recommended.

    Attributes:
        way: what gave it.
        model: name to load it by; the checkpoint's after QAT.
        plan: which sites are quantized, and how, with the calibration.
        skipped: names of the sites left in floating point.
        fp32: accuracy of the floating-point model on the same samples, in %.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
        change_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        samples: number of samples.
        int8_mac_share: share of multiply-accumulates in integers, in %.
    """

    way: Way
    model: str
    plan: SavedPlan
    skipped: tuple[str, ...]
    fp32: float
    accuracy: float
    relative: float
    change_interval: tuple[float, float] = Field(alias="interval")
    samples: int
    int8_mac_share: float

    def within(self, target: float) -> bool:
        """Whether it loses `target` % relative or less."""
        return self.relative >= -target

    def surely_within(self, target: float) -> bool:
        """Whether the whole interval does."""
        return 100 * self.change_interval[0] >= -target * self.fp32


class StageNote(Record):
    """One stage of the workflow.

    Attributes:
        stage: which one.
        state: what became of it; `known` where its result was there before.
        sentence: what it gave, or why it was not done.
        seconds: time it took.
    """

    stage: Stage
    state: Literal["done", "known", "not needed", "refused"]
    sentence: str
    seconds: float = 0.0


class Speed(Record):
    """What the recommended network gains in an engine.

    Attributes:
        engine: name of the engine.
        batch: samples of one inference.
        fp32_ms: median latency in floating point, in ms.
        int8_ms: median latency of the plan, in ms.
        speedup: of the plan over floating point.
        speedup_interval: 95 % interval of the speed-up; None where it has none.
    """

    engine: str
    batch: int
    fp32_ms: float
    int8_ms: float
    speedup: float
    speedup_interval: tuple[float, float] | None = Field(alias="interval")


class Recommendation(Record):
    """The end of the workflow.

    Attributes:
        end: where it stopped.
        reason: why there, in a sentence or two.
        best: the network that is recommended; where nothing was within the target the one that loses least.
        sure: whether the 95 % interval of its loss is within the target.
        speed: what it gains in an engine; None if that was not measured.
        files: paths of the files written.
        notes: what could not be measured or written, and why.
    """

    end: End
    reason: str
    best: Candidate
    sure: bool
    speed: Speed | None = None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class WorkflowResult(Result):
    """The workflow from fp32 to a recommendation; stages that were not needed are None.

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point on the evaluation samples, in %.
        stages: what became of each stage, in order.
        recommendation: the end.
        baseline: the model in floating point.
        ptq: every calibration.
        sensitivity: every site alone.
        partial: partial quantization on all evaluation samples; None, too, where sensitivity already measured on them.
        qat: the fine-tune.
        benchmark: the recommended network in the engine.
        export: its files.
        advice: what the stages showed.
    """

    analysis: Literal["workflow"] = "workflow"
    params: WorkflowParams
    coverage: Coverage
    metric: Metric
    fp32: float
    stages: tuple[StageNote, ...]
    recommendation: Recommendation
    baseline: EvaluateResult
    ptq: PtqResult
    sensitivity: SensitivityResult | None = None
    partial: PartialResult | None = None
    qat: QatResult | None = None
    benchmark: BenchmarkResult | None = None
    export: ExportResult | None = None
    advice: tuple[Advice, ...] = ()
