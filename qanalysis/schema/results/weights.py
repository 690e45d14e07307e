"""The weight-only study (Table 3)."""

from typing import Literal

from pydantic import Field

from qanalysis.schema.base import Record
from qanalysis.schema.params.accuracy import WeightsParams
from qanalysis.schema.results.common import Metric, Result


class ChannelStatistics(Record):
    """Extent of each output channel of one weight, in its own unit.

    Attributes:
        site: its site.
        amax: largest magnitude of each channel.
        folded_amax: the same after batch-norm folding; None where nothing was folded.
    """

    site: str
    amax: tuple[float, ...]
    folded_amax: tuple[float, ...] | None = None


class WeightsRow(Record):
    """Accuracy with weights alone quantized.

    Attributes:
        granularity: per-channel or per-tensor.
        folded: whether batch norm was folded first.
        accuracy: in %.
        relative: 100 (accuracy - fp32) / fp32, in %.
        standard_error: in points.
        accuracy_interval: 95 % interval of the accuracy.
        change_interval: 95 % interval of accuracy - fp32 in points, paired on the same samples.
    """

    granularity: str
    folded: bool
    accuracy: float
    relative: float
    standard_error: float
    accuracy_interval: tuple[float, float] = Field(alias="interval")
    change_interval: tuple[float, float] = Field(alias="difference_interval")


class WeightsResult(Result):
    """The weight-only study (Table 3).

    Attributes:
        fp32: accuracy in floating point, in %.
        rows: granularity × folding; two rows where the model has no batch norm to fold.
        channels: extents of every weight's channels.
        folded_pairs: number of batch norms folded.
    """

    analysis: Literal["weights"] = "weights"
    params: WeightsParams
    metric: Metric
    fp32: float
    rows: tuple[WeightsRow, ...]
    channels: tuple[ChannelStatistics, ...]
    folded_pairs: int
