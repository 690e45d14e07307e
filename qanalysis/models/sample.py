"""`sample:NAME`: the networks that come with the tool, trained on CIFAR-10 or on scenes composed from it."""

from collections.abc import Callable
from typing import Any

from safetensors.torch import load_file
from torch import nn

from qanalysis.models.cifar import detector, efficientnet, mobilenet, resnet, segmenter, vit
from qanalysis.models.loaded import LoadedModel
from qanalysis.models.translation.gnmt import gnmt
from qanalysis.models.translation.pieces import SPECIAL, Pieces
from qanalysis.models.translation.transformer import transformer
from qanalysis.names import Name
from qanalysis.schema.catalog import sample_models, samples_folder
from qanalysis.schema.errors import UserError

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet20": resnet.resnet20,
    "resnet56": resnet.resnet56,
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "efficientnet": efficientnet.efficientnet,
    "efficientnet_rmsprop": efficientnet.efficientnet,
    "vit": vit.vit,
    "detector": detector.detector,
    "segmenter": segmenter.segmenter,
}
#: Networks of tokens: they are as large as their vocabularies, which are in their records.
TRANSLATORS: dict[str, Callable[[int, int], nn.Module]] = {"transformer": transformer, "gnmt": gnmt}
#: What those are for that do not classify.
TASKS = {"detector": "detection", "segmenter": "segmentation"}
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2470, 0.2435, 0.2616)


def load(name: Name) -> LoadedModel:
    """Loads a sample model; `@none` gives its architecture with random weights.

    Raises:
        UserError: if there is no such sample.
    """
    name.only()
    if name.variant not in (None, "none"):
        raise UserError(f"Sample models have one set of weights; drop @{name.variant} or write @none.")
    trained = name.variant is None
    available = sample_models() if trained else NETWORKS
    if name.rest in TRANSLATORS and name.rest in sample_models():
        return _translator(name, trained)
    if name.rest not in available or name.rest not in NETWORKS:
        choices = ", ".join(available) or f"none found in {samples_folder()}"
        raise UserError(f"Unknown sample model {name.rest!r}; choose from {choices}.")
    network = NETWORKS[name.rest]()
    origin = "architecture of a sample model with random weights"
    if trained:
        network.load_state_dict(load_file(samples_folder() / f"{name.rest}.safetensors"))
        record = sample_models()[name.rest]
        origin = f"trained on CIFAR-10, {record['test_accuracy']:.2f} % on its {record['test_images']:,} test images"
        if name.rest in TASKS:
            origin = (
                f"trained on scenes composed from CIFAR-10, {record['test_accuracy']:.2f} % {record['metric']} on "
                f"{record['test_images']:,} scenes of test images"
            )
    side = detector.SIDE if name.rest in TASKS else 32
    return LoadedModel(
        str(name),
        network,
        trained,
        origin,
        (3, side, side),
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
        architecture=name.rest,
        task=TASKS.get(name.rest, "classification"),
    )


def _translator(name: Name, trained: bool) -> LoadedModel:
    """A network that translates, with its vocabulary."""
    record: dict[str, Any] = sample_models()[name.rest]
    vocabulary = record["vocabulary"]
    pieces = Pieces(tuple(vocabulary["source"]), tuple(vocabulary["target"]))
    network = TRANSLATORS[name.rest](len(pieces.source) + len(SPECIAL), pieces.size)
    origin = "architecture of a sample model with random weights"
    if trained:
        network.load_state_dict(load_file(samples_folder() / f"{name.rest}.safetensors"))
        origin = (
            f"trained on numbers in words, German to English, {record['test_accuracy']:.2f} BLEU on "
            f"{record['test_images']:,} numbers that it has not seen"
        )
    return LoadedModel(
        str(name),
        network.eval(),
        trained,
        origin,
        architecture=name.rest,
        task="translation",
        processor=pieces,
    )
