"""Data with its three splits and what is known about it."""

from dataclasses import dataclass, replace

from qanalysis.data.split import Collate, Split


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
        task: what its targets are for, a key of `schema.tasks.TASKS`; empty where they do not say.
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
    task: str = ""

    def collated(self, collate: Collate) -> "LoadedData":
        """The same data, whose samples are put together by a task's function where they have none of their own."""
        parts = {name: getattr(self, name) for name in ("calibration", "evaluation", "train")}
        given = {name: split.collated(collate) for name, split in parts.items() if split is not None}
        return replace(self, **given)
