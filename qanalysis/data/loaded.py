"""Data with its three splits and what is known about it."""

from dataclasses import dataclass

from qanalysis.data.split import Split


@dataclass(frozen=True, eq=False)
class LoadedData:
    """Data by name.

    Attributes:
        name: the name it was loaded by.
        origin: one sentence about where the samples come from.
        calibration: samples from which ranges are calibrated (Section 5 of the paper); none of them is in `evaluation`.
        evaluation: samples on which accuracy is measured.
        train: samples for fine-tuning; None where there are none.
        labelled: whether `evaluation` has labels; if not, the metric is fidelity to the fp32 model.
        classes: names of the classes by index; empty where unknown.
        warnings: sentences for the user, e.g. that a normalisation was assumed.
        images: whether samples are pictures, which stay what they are when they are mirrored and shifted.
        labels: number of classes as the labels have it, one more than the largest; None where it is not known.
    """

    name: str
    origin: str
    calibration: Split
    evaluation: Split
    train: Split | None
    labelled: bool
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    images: bool = False
    labels: int | None = None
