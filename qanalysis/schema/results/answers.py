"""Answers: what a model says about every evaluation sample, in floating point and quantized."""

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from qanalysis.schema.base import Record
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.accuracy import AnswersParams
from qanalysis.schema.results.common import Metric, Result


class Answers(Record):
    """Top-1 answers of one model to all samples, in the order of the data.

    Attributes:
        classes: number of the class that was answered.
        confidence: its probability (softmax), rounded to four digits.
    """

    classes: tuple[int, ...]
    confidence: tuple[float, ...]

    @model_validator(mode="after")
    def _alike(self) -> "Answers":
        if len(self.classes) != len(self.confidence):
            raise ValueError(
                f"there must be a confidence for each answer, but there are {len(self.confidence)} and "
                f"{len(self.classes)}"
            )
        return self


class ClassAccuracy(Record):
    """One class under two models.

    Attributes:
        number: of the class.
        samples: samples of the class.
        before: of them right under the first model.
        after: of them right under the second.
    """

    number: int
    samples: int
    before: int
    after: int


class Flip(Record):
    """A sample with two different answers.

    Attributes:
        sample: its number among the evaluation samples.
        truth: its class, or the first model's answer where there are no labels.
        before: answer of the first model.
        after: answer of the second.
        before_confidence: probability of that answer.
        after_confidence: likewise.
    """

    sample: int
    truth: int
    before: int
    after: int
    before_confidence: float
    after_confidence: float

    @property
    def kind(self) -> Literal["lost", "gained", "other"]:
        """Right to wrong, wrong to right, or wrong to another wrong answer."""
        if self.before == self.truth:
            return "lost"
        return "gained" if self.after == self.truth else "other"


class Box(Record):
    """One box.

    Attributes:
        corners: left, top, right, bottom in pixels of the image.
        label: number of its class.
        score: how sure the model is; 1 for a target.
    """

    corners: tuple[float, float, float, float]
    label: int
    score: float


class Said(Record):
    """What was said about a sample, as far as it can be written down: boxes, values or a text; masks are in a file."""

    boxes: tuple[Box, ...] = ()
    values: tuple[float, ...] = ()
    text: str | None = None


class ChangedSample(Record):
    """A sample on which models differ.

    Attributes:
        sample: its number among the evaluation samples.
        same: how much of the fp32 answer is kept, from 0 to 1, by calibration.
        divergence: how far outputs are from fp32's, by calibration.
        target: what is right; None without targets.
        fp32: what the floating-point model said.
        quantized: what the quantized models said, by calibration.
        size: height and width of the image; None where there is none.
    """

    sample: int
    same: dict[str, float]
    divergence: dict[str, float]
    target: Said | None
    fp32: Said
    quantized: dict[str, Said]
    size: tuple[int, int] | None = None


class AnswersResult(Result):
    """Answers in floating point and under every calibration that was asked for.

    Attributes:
        metric: accuracy, or agreement with fp32 where there are no labels.
        labels: class of every sample; None without labels, or where answers are no classes.
        fp32: answers in floating point; None where answers are no classes.
        quantized: answers by calibration; empty where answers are no classes.
        changed: samples of other tasks on which models differ, those that differ most first.
        samples: number of samples that were looked at.
        images: file name of small images of the samples that were answered differently, beside the result; None if
            they were not kept. For classes one array `images`; else `image-N`, and of masks `mask-N-fp32`,
            `mask-N-target` and `mask-N-CALIBRATION` for sample N.
        pictured: numbers of the samples in that file, in its order.
    """

    analysis: Literal["answers"] = "answers"
    params: AnswersParams
    metric: Metric
    labels: tuple[int, ...] | None = None
    fp32: Answers | None = None
    quantized: dict[str, Answers] = Field(default_factory=dict)
    changed: tuple[ChangedSample, ...] = ()
    samples: int = 0
    images: str | None = None
    pictured: tuple[int, ...] = ()

    @property
    def truth(self) -> tuple[int, ...]:
        """The labels, or the floating-point answers where there are none."""
        if self.labels is not None:
            return self.labels
        return () if self.fp32 is None else self.fp32.classes


def per_class(truth: tuple[int, ...], before: Answers, after: Answers) -> tuple[ClassAccuracy, ...]:
    """Right answers class by class, for the classes that occur, in their order.

    Raises:
        ValueError: if the answers are not of as many samples.
    """
    _check(truth, before, after)
    samples = Counter(truth)
    first = Counter(want for want, got in zip(truth, before.classes, strict=True) if want == got)
    second = Counter(want for want, got in zip(truth, after.classes, strict=True) if want == got)
    return tuple(
        ClassAccuracy(number=number, samples=samples[number], before=first[number], after=second[number])
        for number in sorted(samples)
    )


def flips(truth: tuple[int, ...], before: Answers, after: Answers) -> tuple[Flip, ...]:
    """Samples whose answers differ, right to wrong first, the surest first answers first.

    Raises:
        ValueError: if the answers are not of as many samples.
    """
    _check(truth, before, after)
    found = [
        Flip(
            sample=sample,
            truth=truth[sample],
            before=before.classes[sample],
            after=after.classes[sample],
            before_confidence=before.confidence[sample],
            after_confidence=after.confidence[sample],
        )
        for sample in range(len(truth))
        if before.classes[sample] != after.classes[sample]
    ]
    rank = {"lost": 0, "gained": 1, "other": 2}
    return tuple(sorted(found, key=lambda flip: (rank[flip.kind], -flip.before_confidence, flip.sample)))


def _check(truth: tuple[int, ...], before: Answers, after: Answers) -> None:
    counts = {len(truth), len(before.classes), len(after.classes)}
    if len(counts) > 1:
        raise UserError(f"answers must be to the same samples, but they are to {sorted(counts)} of them.")
