"""Tasks by name: what each of them is called in words, and where its code is; the one table of them."""

from dataclasses import dataclass

from qanalysis.schema.base import Record


class Words(Record):
    """What the numbers of a task are called.

    Attributes:
        metric: of its accuracy in %, higher is better (Table 2's "Metric"), e.g. `mIoU`.
        agreement: what the metric is called where fp32's answers stand in for targets that are not there.
        samples: what is counted, in the plural.
        sample: one of them.
        divergence: how far outputs are from fp32's, per sample.
        divergence_unit: of the divergence; empty where it is a ratio.
        answer: what a model says about a sample, in the singular.
    """

    metric: str
    agreement: str = "agreement with fp32"
    samples: str = "samples"
    sample: str = "sample"
    divergence: str = "NMSE"
    divergence_unit: str = ""
    answer: str = "output"

    def said(self, labelled: bool) -> str:
        """The metric's name, with or without targets to measure it by."""
        return self.metric if labelled else self.agreement


@dataclass(frozen=True)
class TaskEntry:
    """One line of the table.

    Attributes:
        words: what its numbers are called.
        where: `module:class` of its code.
        summary: what it measures, in a sentence.
    """

    words: Words
    where: str
    summary: str


TASKS: dict[str, TaskEntry] = {
    "classification": TaskEntry(
        Words(
            metric="accuracy",
            agreement="agreement",
            samples="images",
            sample="image",
            divergence="KL divergence",
            divergence_unit="nats",
            answer="class",
        ),
        "qanalysis.tasks.classification:Classification",
        "one class a sample; top-1 accuracy",
    ),
    "segmentation": TaskEntry(
        Words(
            metric="mIoU",
            agreement="mIoU with fp32",
            samples="images",
            sample="image",
            divergence="pixel KL divergence",
            divergence_unit="nats",
            answer="mask",
        ),
        "qanalysis.tasks.segmentation:Segmentation",
        "a class for every pixel; mean intersection over union",
    ),
    "detection": TaskEntry(
        Words(
            metric="mAP",
            agreement="mAP with fp32",
            samples="images",
            sample="image",
            divergence="NMSE of the raw heads",
            answer="boxes",
        ),
        "qanalysis.tasks.detection:Detection",
        "boxes with classes; COCO's mean average precision",
    ),
    "translation": TaskEntry(
        Words(
            metric="BLEU",
            agreement="BLEU with fp32",
            samples="sentences",
            sample="sentence",
            divergence="token KL divergence",
            divergence_unit="nats",
            answer="translation",
        ),
        "qanalysis.tasks.translation:Translation",
        "a sentence for a sentence, decoded token by token; BLEU",
    ),
    "regression": TaskEntry(
        Words(metric="1 - NMSE", agreement="1 - NMSE to fp32", answer="value"),
        "qanalysis.tasks.regression:Regression",
        "numbers; 1 minus the squared error over the squared targets",
    ),
    "embedding": TaskEntry(
        Words(metric="cosine similarity", agreement="cosine similarity to fp32", answer="vector"),
        "qanalysis.tasks.embedding:Embedding",
        "a vector a sample; its cosine to the target, or to fp32's",
    ),
    "fidelity": TaskEntry(
        Words(metric="fidelity", agreement="fidelity"),
        "qanalysis.tasks.fidelity:Fidelity",
        "outputs of any shape against fp32's; 1 minus the normalised squared error, no targets needed",
    ),
}
#: What a task's name may be, besides the names in the table.
AUTO, CODE = "auto", "python:"


def known(name: str) -> bool:
    """Whether it can be the name of a task."""
    return (
        name == AUTO or name in TASKS or name.startswith("given:") or (name.startswith(CODE) and name.count(":") == 2)
    )
