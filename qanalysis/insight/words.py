"""Words of sentences that the program makes."""

from qanalysis.schema.tasks import Words


def counted(number: int, noun: str) -> str:
    """A number with what it counts: `1 layer`, `2 layers`, `1,024 layers`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def divergence_label(words: Words) -> str:
    """The task's divergence as the head of a column or axis: `KL divergence (nats)`."""
    return f"{words.divergence} ({words.divergence_unit})" if words.divergence_unit else words.divergence


def divergence_column(words: Words) -> str:
    """The same where there is little room: `KL, nats`."""
    short = "KL" if "KL" in words.divergence else "NMSE" if "NMSE" in words.divergence else words.divergence
    return f"{short}, {words.divergence_unit}" if words.divergence_unit else short


def metric_noun(metric: str) -> str:
    """What an accuracy is called within a sentence: `accuracy`, `agreement with fp32`, `mIoU`."""
    return "agreement with fp32" if metric == "agreement" else metric


def metric_axis(metric: str) -> str:
    """What an axis of accuracies is called: `top-1 accuracy (%)`, `mIoU (%)`."""
    return f"{'top-1 ' if metric in ('accuracy', 'agreement') else ''}{metric_noun(metric)} (%)"


def calibration_label(name: str) -> str:
    """What a reader sees for a calibration's name: `max`, `entropy`, `99.99 %`, `MSE`, `±10`, `custom`."""
    kind, _, number = name.partition(":")
    if kind == "percentile":
        return f"{number} %"
    if kind == "fixed":
        return f"±{number}"
    return "MSE" if name == "mse" else name


def calibration_named(label: str) -> str:
    """The calibration's name that `calibration_label` shows as this; anything else as it is."""
    text = label.strip()
    if text == "MSE":
        return "mse"
    if text.startswith("±"):
        return f"fixed:{text[1:]}"
    return f"percentile:{text.removesuffix('%').strip()}" if text.endswith("%") else text
