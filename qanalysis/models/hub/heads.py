"""Heads: what a Hugging Face network is for, from its configuration or the name's option `task`."""

from dataclasses import dataclass
from typing import Any

from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS


@dataclass(frozen=True)
class Head:
    """One kind of head.

    Attributes:
        auto: transformers' class that builds any network with it.
        endings: of the names of classes that have it.
        tasks: what it is measured as, the first of these names that is a task here; fidelity if none is.
    """

    auto: str
    endings: tuple[str, ...]
    tasks: tuple[str, ...] = ()


#: By the name that option `task` takes.
HEADS: dict[str, Head] = {
    "question-answering": Head(
        "AutoModelForQuestionAnswering", ("ForQuestionAnswering", "ForQuestionAnsweringSimple"), ("question-answering",)
    ),
    "text-classification": Head(
        "AutoModelForSequenceClassification",
        ("ForSequenceClassification",),
        ("text-classification", "classification"),
    ),
    "token-classification": Head("AutoModelForTokenClassification", ("ForTokenClassification",)),
    "fill-mask": Head("AutoModelForMaskedLM", ("ForMaskedLM",)),
    "translation": Head("AutoModelForSeq2SeqLM", ("ForConditionalGeneration", "MTModel"), ("translation",)),
    "language-modeling": Head("AutoModelForCausalLM", ("ForCausalLM", "LMHeadModel"), ("language-modeling",)),
    "speech": Head("AutoModelForCTC", ("ForCTC",), ("speech",)),
    "audio-classification": Head("AutoModelForAudioClassification", ("ForAudioClassification",), ("classification",)),
    "classification": Head("AutoModelForImageClassification", ("ForImageClassification",), ("classification",)),
    "segmentation": Head("AutoModelForSemanticSegmentation", ("ForSemanticSegmentation",), ("segmentation",)),
    "detection": Head("AutoModelForObjectDetection", ("ForObjectDetection",)),
    "embedding": Head("AutoModel", ("Model",)),
}


def chosen(said: dict[str, Any], asked: str | None, name: str) -> tuple[str, Head, str | None]:
    """The head's name, the head, and the class that the configuration names; None where the option asks otherwise.

    Args:
        said: the configuration.
        asked: option `task`.
        name: of the model, for errors.

    Raises:
        UserError: for an unknown option, or a configuration that names no known head.
    """
    if asked is not None:
        if asked not in HEADS:
            raise UserError(f"Unknown task {asked[:80]!r} of {name}; choose from {', '.join(HEADS)}.")
        return asked, HEADS[asked], None
    architectures = said.get("architectures") or ()
    first = str(architectures[0]) if isinstance(architectures, list | tuple) and architectures else ""
    for key, head in HEADS.items():
        if first.endswith(head.endings):
            return key, head, first
    what = f"is {first}, which is none that is known here" if first else "does not say what its head is"
    raise UserError(f"{name} {what}; say it: ?task={' or ?task='.join(list(HEADS)[:3])}, … ({', '.join(HEADS)}).")


def measured_as(head: Head) -> str:
    """The task that a head is measured as."""
    return next((task for task in head.tasks if task in TASKS), "fidelity")
