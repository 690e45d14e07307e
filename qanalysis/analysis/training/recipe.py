"""Recipe: how a fine-tune is done where the user left it open (Appendix A.2, Table 10)."""

import math
from typing import Any, Literal

from qanalysis.schema.catalog import sample_models
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.results.qat import QatRecipe

#: Where the original training is unknown: Table 10's learning rate for classification, and a short schedule.
_LEARNING_RATE, _EPOCHS = 1e-3, 3
#: Of the original training, by section 6: learning rate, and schedule.
_RATE_SHARE, _SCHEDULE_SHARE = 0.01, 0.1


def recipe(params: QatParams, architecture: str, samples: int, steps: int | None = None) -> QatRecipe:
    """Fills in what is open.

    Args:
        params: what is given.
        architecture: of the model, to find the record of its training.
        samples: training samples there are.
        steps: steps, where they were found out by the clock.

    Raises:
        UserError: if there are fewer training samples than one step takes in parts.
    """
    samples = min(samples, params.train_samples)
    batch_size = min(params.train_batch_size, samples)
    if batch_size < params.accumulate:
        raise UserError(f"accumulate={params.accumulate} needs as many training samples, but there are {samples}.")
    per_epoch = max(samples // batch_size, 1)
    original: dict[str, Any] = {}
    record = sample_models().get(architecture)
    if record is not None and isinstance(record["recipe"], dict):
        original = record["recipe"]
    notes = []
    # RMSprop, too, scales every step by the gradients' own size
    adaptive = original.get("optimizer") in ("adamw", "rmsprop")
    optimizer: Literal["sgd", "adamw"] = "adamw" if adaptive else "sgd"
    if params.optimizer != "auto":
        optimizer = params.optimizer
    rate = params.learning_rate
    if rate is None and original:
        full = float(original["learning_rate"])
        rate = params.rate_share * full
        share = f"{100 * params.rate_share:g} %"
        notes.append(f"Learning rate {rate:.3g}: {share} of the {full:g} that the model was trained with.")
    elif rate is None:
        rate = _LEARNING_RATE * params.rate_share / _RATE_SHARE
        notes.append(
            f"Learning rate {rate:.3g}: the paper had {_LEARNING_RATE:g} for ImageNet (Table 10); the original is not "
            "known."
        )
    steps = steps if steps is not None else params.steps
    if steps is None and params.epochs is not None:
        steps = params.epochs * per_epoch
    elif steps is None and original:
        images = _SCHEDULE_SHARE * float(original["epochs"]) * float(original.get("train_images", 50_000))
        steps = max(round(images / samples), 1) * per_epoch
        notes.append(
            f"{steps // per_epoch} epochs of {samples:,} images: 10 % of the images that the model was trained on."
        )
    elif steps is None:
        steps = _EPOCHS * per_epoch
        notes.append(f"{_EPOCHS} epochs: the length of the original training is not known.")
    decay = params.weight_decay
    if decay is None:
        decay = float(original.get("weight_decay", 0.0))
    smoothing = params.label_smoothing
    if smoothing is None:
        smoothing = 0.0 if params.teacher else float(original.get("label_smoothing", 0.0))
    return QatRecipe(
        optimizer=optimizer,
        learning_rate=rate,
        final_learning_rate=rate * params.final_share,
        weight_decay=decay,
        label_smoothing=smoothing,
        steps=steps,
        steps_per_epoch=per_epoch,
        samples=samples,
        batch_size=batch_size,
        notes=tuple(notes),
    )


def learning_rate(recipe: QatRecipe, step: int) -> float:
    """The rate of a step (from 0): the falling half of a cosine from the initial to the final one."""
    done = step / max(recipe.steps - 1, 1)
    low, high = recipe.final_learning_rate, recipe.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
