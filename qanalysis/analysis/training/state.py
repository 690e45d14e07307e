"""Training state: everything that a fine-tune needs to go on from a step as if it had never stopped."""

import io
import os
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qanalysis.schema.results.qat import QatEpoch, QatStep
from qanalysis.schema.results.trace import Trace

_FORMAT = "qanalysis-training-1"
#: What PyTorch, pickle and zip raise on a file that is not whole.
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError)


@dataclass(eq=False)
class TrainingState:
    """How far a fine-tune is. Random numbers and the order of samples follow from the seed and the step.

    Attributes:
        step: steps done.
        losses: of every step, in nats.
        step_times: seconds of every step.
        rows: reported so far.
        epochs: measured so far, the first before training.
        best: weights of the epoch to keep; None before the first.
        best_epoch: its number.
        stopped: why it ended early, if it did.
        finite: whether the weights are still of use.
        trace: ranges and weights along the way.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    step_times: list[float] = field(default_factory=list)
    rows: list[QatStep] = field(default_factory=list)
    epochs: list[QatEpoch] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None
    best_epoch: int = 0
    stopped: str | None = None
    finite: bool = True
    trace: Trace = field(default_factory=Trace)
    _tensors: dict[str, Any] = field(default_factory=dict)

    def save(
        self, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        """Writes it with the network's weights and the optimizer's memory, whole or not at all.

        Raises:
            OSError: if the disk is full.
        """
        trace = {
            name: torch.from_numpy(value.astype(np.int64) if value.dtype == np.uint32 else value)
            if isinstance(value, np.ndarray)
            else list(value)
            for name, value in asdict(self.trace).items()
        }
        content = {
            "format": _FORMAT,
            "plain": {
                name: getattr(self, name)
                for name in ("step", "losses", "step_times", "best_epoch", "stopped", "finite")
            },
            "rows": [row.model_dump() for row in self.rows],
            "epochs": [epoch.model_dump() for epoch in self.epochs],
            "best": self.best,
            "trace": trace,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        partial = path.with_name(path.name + ".part")
        try:
            with partial.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)  # on a full disk its bytes are needed to say so
            raise

    @classmethod
    def load(cls, path: Path | None) -> "TrainingState | None":
        """What `save` wrote; None if there is none, or the file is not whole."""
        if path is None or not path.is_file():
            return None
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["format"] != _FORMAT:
                return None
            trace: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value.numpy()
                for name, value in content["trace"].items()
            }
            trace["weights"] = trace["weights"].astype(np.uint32)
            return cls(
                **content["plain"],
                rows=[QatStep(**row) for row in content["rows"]],
                epochs=[QatEpoch(**epoch) for epoch in content["epochs"]],
                best=content["best"],
                trace=Trace(**trace),
                _tensors={name: content[name] for name in ("network", "optimizer", "scaler")},
            )
        except _UNREADABLE:  # torn or damaged: train from the start
            return None

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Puts weights and memory back."""
        network.load_state_dict(self._tensors["network"])
        optimizer.load_state_dict(self._tensors["optimizer"])
        scaler.load_state_dict(self._tensors["scaler"])
        self._tensors = {}
