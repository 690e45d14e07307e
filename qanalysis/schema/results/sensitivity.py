"""Results of sensitivity analysis, of partial quantization, and of one plan (section 5.1, Fig. 3, Table 6)."""

from typing import Any, Literal

from pydantic import AliasChoices, Field, model_validator

from qanalysis.schema.base import Record
from qanalysis.schema.params.accuracy import (
    PartialParams,
    PlanParams,
    SensitivityParams,
    TrialsParams,
)
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.common import Metric, Result
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.schema.site import Coverage

ProxyName = Literal["output-sqnr", "weight-mse", "fisher"]


class Change(Record):
    """What a plan does to the model's answers, against fp32 on the same samples.

    Attributes:
        accuracy: in % (see `Score`).
        relative: 100 (accuracy - fp32) / fp32, in %.
        change_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
        divergence: mean over samples of how far the outputs are from fp32's, as the task measures it: KL(fp32 ‖
            quantized) in nats for classes. Called `kl` in results of version 1.
        divergence_interval: 95 % interval of that mean.
        sqnr: power of the fp32 outputs over that of their change, in dB; None if nothing changed.
        samples: number of samples measured.
    """

    accuracy: float
    relative: float
    change_interval: tuple[float, float] = Field(alias="interval")
    divergence: float = Field(validation_alias=AliasChoices("divergence", "kl"))
    divergence_interval: tuple[float, float] = Field(
        validation_alias=AliasChoices("divergence_interval", "kl_interval")
    )
    sqnr: float | None
    samples: int


class SensitivityRow(Change):
    """What quantizing one site does (or leaving it out, with `mode` without).

    Attributes:
        site: exact name of the site.
        macs: multiply-accumulates of the site, for one sample.
        tie: number of its group; rows of one group cannot be told apart: the interval of each overlaps with that of
            the group's first row, in the metric that `params.rank` names.
    """

    site: str
    macs: int
    tie: int


class PartialStep(Change):
    """Accuracy with some sites left in floating point (Fig. 3, Table 6).

    Attributes:
        skipped: these sites, in the order in which they were chosen.
        int8_mac_share: share of multiply-accumulates still quantized, in %.
    """

    skipped: tuple[str, ...]
    int8_mac_share: float


class Partial(Record):
    """Partial quantization: none skipped, then one more each.

    Attributes:
        search: in the order of sensitivity, or greedy (ranked again after every skip).
        steps: measured, never added up from single sites.
        chosen: number of the first step within the target; None if there is none.
        evaluations: how many plans were measured.
    """

    search: Literal["order", "greedy"]
    steps: tuple[PartialStep, ...]
    chosen: int | None
    evaluations: int


class Proxy(Record):
    """A cheap score that other tools rank layers by, and how well its order agrees with the measured one.

    Attributes:
        name: `output-sqnr` (dB at the site's output, higher is harmless), `weight-mse` (mean squared rounding error of
            the weight, relative to its mean square) or `fisher` (½ E[(gᵀΔy)²], second order, in nats).
        values: score by site; None where the site has none (a matrix product has no weight).
        correlation_divergence: Spearman's rank correlation with the measured divergence: 1 is alike, None undefined.
        correlation_accuracy: the same with the measured loss of accuracy.
    """

    name: ProxyName
    values: dict[str, float | None]
    correlation_divergence: float | None = Field(
        validation_alias=AliasChoices("correlation_divergence", "correlation_kl")
    )
    correlation_accuracy: float | None


class SensitivityResult(Result):
    """Sensitivity of every site (section 5.1).

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all sites quantized, in %.
        rows: the most sensitive site first, in the metric that `params.rank` names.
        stopped: sites that were shown to be harmless and not measured further, with the reason.
        partial: partial quantization in that order; None with `mode` without.
        proxies: cheap scores beside the measured truth; empty if they were not asked for.
        float_sites: sites that stayed in floating point throughout, with the reason.
        sites_seconds: time of the loop over sites, recording included.
        fp32_seconds: time of one evaluation in floating point, same samples and batches.
        replayed_bytes: most memory that recorded outputs took.
    """

    analysis: Literal["sensitivity"] = "sensitivity"
    params: SensitivityParams
    coverage: Coverage
    metric: Metric
    fp32: float
    quantized: float
    rows: tuple[SensitivityRow, ...]
    stopped: dict[str, str]
    partial: Partial | None
    proxies: tuple[Proxy, ...]
    float_sites: dict[str, str]
    sites_seconds: float
    fp32_seconds: float
    replayed_bytes: int

    @model_validator(mode="before")
    @classmethod
    def _of_earlier(cls, data: Any) -> Any:
        """Reads results in which `seconds` was the loop over sites, and `total_seconds` everything."""
        if isinstance(data, dict) and "total_seconds" in data:
            loop, whole = data["seconds"], data["total_seconds"]
            rest = {name: value for name, value in data.items() if name != "total_seconds"}
            return rest | {"sites_seconds": loop, "seconds": whole}
        return data

    def saved_plan(self, name: str) -> SavedPlan:
        """The plan of the chosen step of partial quantization, or with all sites quantized where none was chosen."""
        plan = self.params.effective_plan()
        if self.partial is not None and self.partial.chosen is not None:
            plan = plan.skipping(*self.partial.steps[self.partial.chosen].skipped)
        return SavedPlan.of(name, self.model.name, self.coverage, self.params.effective_calibration, plan)


class PartialResult(Result):
    """Partial quantization in a given or measured order, or by greedy search.

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all sites quantized, in %.
        order: all sites in the order in which they were to be skipped; with greedy search the one it started from.
        partial: the steps and the choice.
        plan: the plan of the chosen step, or of the last one if none is within the target.
    """

    analysis: Literal["partial"] = "partial"
    params: PartialParams
    coverage: Coverage
    metric: Metric
    fp32: float
    quantized: float
    order: tuple[str, ...]
    partial: Partial
    plan: Plan

    def saved_plan(self, name: str) -> SavedPlan:
        """Its plan, to be kept under a name."""
        return SavedPlan.of(name, self.model.name, self.coverage, self.params.effective_calibration, self.plan)


class PlanResult(Result):
    """One plan, measured.

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        change: what the plan does to the answers.
        quantized_sites: names of the sites that ran quantized.
        float_sites: the others, with the reason.
        int8_mac_share: share of multiply-accumulates quantized, in %.
        model_bytes: predicted size of the model under the plan.
        fp32_bytes: its size in floating point.
    """

    analysis: Literal["plan"] = "plan"
    params: PlanParams
    coverage: Coverage
    metric: Metric
    fp32: float
    change: Change
    quantized_sites: tuple[str, ...]
    float_sites: dict[str, str]
    int8_mac_share: float
    model_bytes: int
    fp32_bytes: int

    def saved_plan(self, name: str) -> SavedPlan:
        """Its plan, to be kept under a name."""
        return SavedPlan.of(
            name, self.model.name, self.coverage, self.params.effective_calibration, self.params.effective_plan()
        )


class Trial(Change):
    """One plan of many that were tried.

    Attributes:
        plan: the plan.
        digest: its identity.
        int8_mac_share: share of multiply-accumulates quantized, in %.
        model_bytes: predicted size of the model under the plan.
        computed_from: first site that was computed; what lies before it was replayed. None if nothing was computed.
        milliseconds: time it took.
    """

    plan: Plan
    digest: str
    int8_mac_share: float
    model_bytes: int
    computed_from: str | None
    milliseconds: float


class TrialsResult(Result):
    """The plans that were tried.

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        fp32: accuracy in floating point, in %.
        rows: in the order in which they were asked for.
        fp32_bytes: size of the model in floating point.
    """

    analysis: Literal["trials"] = "trials"
    params: TrialsParams
    coverage: Coverage
    metric: Metric
    fp32: float
    rows: tuple[Trial, ...]
    fp32_bytes: int
