"""Recall: the comparisons of one batch, read from the checkpoint where a run before this one made them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison


@dataclass(frozen=True, eq=False)
class Recalled:
    """Comparisons of one batch by the name of what was compared, and what making them took.

    Attributes:
        comparisons: by name.
        kept_bytes: memory of recorded outputs.
        seconds: time it took, when it was measured.
    """

    comparisons: dict[str, Comparison]
    kept_bytes: int
    seconds: float


def recall(checkpoint: Checkpoint, key: str, measure: Callable[[], tuple[dict[str, Comparison], int]]) -> Recalled:
    """What is kept under the key, or what `measure` gives now, which is then kept.

    Args:
        checkpoint: where it is kept.
        key: of this batch.
        measure: makes the comparisons, all of the same samples, and tells the memory of its recorded outputs.
    """
    kept = checkpoint.get(key)
    if kept is not None:
        rows = {name: kept[name] for name in Comparison.__dataclass_fields__}
        comparisons = {
            str(what): Comparison(**{name: values[row] for name, values in rows.items()})
            for row, what in enumerate(kept["what"])
        }
        return Recalled(comparisons, int(kept["kept_bytes"]), float(kept["seconds"]))
    start = time.perf_counter()
    comparisons, kept_bytes = measure()
    recalled = Recalled(comparisons, kept_bytes, time.perf_counter() - start)
    stacked = {
        name: np.stack([getattr(one, name) for one in comparisons.values()]) for name in Comparison.__dataclass_fields__
    }
    checkpoint.put(
        key,
        what=np.array(list(comparisons)),
        kept_bytes=np.array(kept_bytes),
        seconds=np.array(recalled.seconds),
        **stacked,
    )
    return recalled
