"""Training: the loop of a fine-tune, which can be killed at any step and goes on with the same result."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qanalysis.analysis.measure.progress import Report
from qanalysis.analysis.training.batches import Batches
from qanalysis.analysis.training.memory import out_of_memory, what_fits
from qanalysis.analysis.training.optimizer import optimizer_for, train_mode
from qanalysis.analysis.training.processes import ALONE, Processes
from qanalysis.analysis.training.recipe import learning_rate
from qanalysis.analysis.training.state import TrainingState
from qanalysis.kernels.quantize import NotFiniteError
from qanalysis.nn.learned import LearnedModel
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.structure import Inputs, count, leaves, part, parts, shapes
from qanalysis.nn.weight_grid import weight_grid
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.results.qat import Phase, QatEpoch, QatRecipe, QatRun, QatStep, kept
from qanalysis.schema.results.trace import BINS_PER_CODE, CODES

#: Rows that a run reports at the most, and seconds of work that a kill may cost.
_ROWS, _KEEP_EVERY = 400, 5.0
#: Steps whose mean loss is watched, and how many times the first of them means that training diverges.
_WINDOW, _DIVERGED = 20, 2.0
#: Steps at the start that are not timed: allocators and kernels warm up.
_WARM_UP = 3


@dataclass(frozen=True, eq=False)
class Training:
    """What one fine-tune is given.

    Attributes:
        phase: of the quantized network, or of the control.
        params: the parameters.
        recipe: the same with everything filled in.
        batches: what is trained on.
        measure: accuracies of the network as it is, by epoch and step.
        report: told of progress and of every row.
        state: file in which a killed run is kept; None keeps nothing.
        trace: file of ranges and weights, for whoever watches; None keeps nothing.
        stop_asked: whether somebody wants it to end early.
        teacher: network whose outputs are learned in place of the targets; None where targets are.
        processes: this process among those that train together.
    """

    phase: Phase
    params: QatParams
    recipe: QatRecipe
    batches: Batches
    measure: Callable[[nn.Module, int, int], QatEpoch]
    report: Report
    state: Path | None = None
    trace: Path | None = None
    stop_asked: Callable[[], bool] = lambda: False
    teacher: nn.Module | None = None
    processes: Processes = ALONE


def finetune(network: nn.Module, training: Training) -> QatRun:
    """Trains a network in place, and leaves it in evaluation mode with the weights of the epoch to keep.

    Every batch, augmentation and random number follows from the seed and the number of the step, so that a run that
    was killed and resumed gives the very weights of an unbroken one.

    Raises:
        UserError: if the loss is not finite or grows before an epoch was done, labels are out of range, or a step
            does not fit into memory (with the number of samples that does).
    """
    device = training.batches.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return Loop(network, training).to_the_end()


class Loop:
    """One fine-tune on its way: the network, its optimizer and the state that is kept."""

    def __init__(self, network: nn.Module, training: Training) -> None:
        self.network, self.training = network, training
        self.device = training.batches.device
        self.optimizer = optimizer_for(network, training.params, training.recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=training.params.autocast == "fp16")
        self.state = TrainingState.load(training.state) or TrainingState()
        if self.state.epochs:
            self.state.restore(network, self.optimizer, self.scaler)
        self.parallel = training.processes.parallel(network)
        self._every = max(1, math.ceil(training.recipe.steps / _ROWS))
        self._kept_at = time.monotonic()
        self._began, self._since = time.perf_counter(), self.state.step

    def to_the_end(self) -> QatRun:
        """Trains, from where the state says."""
        training, state = self.training, self.state
        told: list[QatStep | QatEpoch] = [*state.epochs, *state.rows]
        for row in sorted(told, key=lambda row: row.step):
            self._tell(row)
        if not state.epochs:
            self._measure()
        self._train()
        if state.stopped is not None and state.finite and state.epochs[-1].step < state.step:
            self._measure()
        if state.stopped is not None and not state.finite and state.best is None:
            raise UserError(state.stopped)
        self._keep()
        if state.best is not None:
            self.network.load_state_dict(state.best)
        self.network.eval()
        return QatRun(
            phase=training.phase,
            steps=tuple(state.rows),
            epochs=tuple(state.epochs),
            best_epoch=state.best_epoch,
            step_seconds=median_seconds(state.step_times),
            stopped=state.stopped,
        )

    def _train(self) -> None:
        training, state, recipe = self.training, self.state, self.training.recipe
        if state.step >= recipe.steps or state.stopped is not None:
            return
        train_mode(self.network, training.params.batch_norm)
        with training.batches.from_step(state.step) as ready:
            while state.step < recipe.steps and state.stopped is None:
                if training.processes.agreed(training.stop_asked()):
                    state.stopped = f"It was stopped after {state.step} of {recipe.steps} steps, as asked."
                    break
                self.step(*next(ready))
                if state.stopped is None and (state.step % recipe.steps_per_epoch == 0 or state.step == recipe.steps):
                    self._measure()
                    self._stop_early()
                    train_mode(self.network, training.params.batch_norm)
                elif time.monotonic() - self._kept_at > _KEEP_EVERY:
                    self._keep()

    def step(self, inputs: Inputs, targets: Any, total: int) -> None:
        """One step of the optimizer on this process's part of a batch of `total` samples."""
        state, recipe = self.state, self.training.recipe
        rate = learning_rate(recipe, state.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate if group["follows"] else rate / recipe.learning_rate * group["initial_lr"]
        torch.manual_seed(self.training.params.seed * 1_000_003 + state.step)
        start = time.perf_counter()
        try:
            loss = self.training.processes.mean(self._gradients(inputs, targets, total))
            self.scaler.step(self.optimizer)
        except NotFiniteError:
            loss = math.nan  # the last step made weights that cannot be quantized
        except UserError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
            if not out_of_memory(error):
                raise UserError(_fails_in_training(inputs, error)) from error
            few = lambda fits: self._loss(self.network, part(inputs, slice(0, fits)), part(targets, slice(0, fits)))  # noqa: E731
            parts_of = self.training.params.accumulate
            raise UserError(what_fits(self.network, count(inputs), self.device, parts_of, few)) from None
        self.scaler.update()
        if isinstance(self.network, LearnedModel):
            self.network.keep_positive()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        state.step_times.append(time.perf_counter() - start)
        state.step += 1
        state.losses.append(loss)
        self._watch(loss)
        if state.stopped is None and (state.step % self._every == 0 or state.step == recipe.steps):
            self._note(rate)
        if self.training.processes.first:
            self.training.report("progress", stage=stage(self.training.phase), done=state.step, total=recipe.steps)

    def _gradients(self, inputs: Inputs, targets: Any, total: int) -> float:
        """Gradients of the batch's mean loss, in as many parts as `accumulate` says; returns that of this process."""
        params = self.training.params
        kind = torch.float16 if params.autocast == "fp16" else torch.bfloat16
        self.optimizer.zero_grad(set_to_none=True)
        sums = 0.0
        size = math.ceil(count(inputs) / params.accumulate)
        pieces = parts(inputs, size)
        wanted = [None] * len(pieces) if targets is None else parts(targets, size)
        for number, (x, y) in enumerate(zip(pieces, wanted, strict=True)):
            waits = number < len(pieces) - 1 and self.training.processes.count > 1
            with self.parallel.no_sync() if waits else nullcontext():  # type: ignore[operator]
                with torch.autocast(self.device.type, kind, enabled=params.autocast != "none"):
                    loss = self._loss(self.parallel, x, y)
                scaled = self.scaler.scale(loss * self.training.processes.count / total)
                scaled.backward()
            sums += float(loss.detach())
        return sums / count(inputs)

    def _loss(self, network: nn.Module, inputs: Inputs, targets: Any) -> torch.Tensor:
        """The task's loss, summed over samples."""
        training = self.training
        smoothing = training.recipe.label_smoothing
        return training.batches.task.loss(network, inputs, targets, training.teacher, smoothing)

    def _watch(self, loss: float) -> None:
        """Ends a run whose loss is not finite or rises for good."""
        state, chance = self.state, self.training.batches.task.chance()
        first, last = (float(np.mean(losses)) for losses in (state.losses[:_WINDOW], state.losses[-_WINDOW:]))
        if not math.isfinite(loss):
            what = "NaN" if math.isnan(loss) else "infinite"
            self._diverged(f"The loss became {what} in step {state.step}")
        elif len(state.losses) >= 2 * _WINDOW and last > max(_DIVERGED * first, chance):
            self._diverged(f"The loss rose from {first:.2f} to {last:.2f} by step {state.step}")

    def _diverged(self, what: str) -> None:
        """Ends the run: its weights are of no use any more, but those kept from an epoch may be."""
        state = self.state
        rate = learning_rate(self.training.recipe, state.step - 1)
        rest = "use a lower learning rate"
        if state.best is not None:
            rest = f"the network after epoch {state.best_epoch} is kept"
        state.finite = False
        state.stopped = f"{what}, at learning rate {rate:.3g}; {rest}."

    def _note(self, rate: float) -> None:
        state, recipe = self.state, self.training.recipe
        row = QatStep(
            step=state.step,
            epoch=state.step / recipe.steps_per_epoch,
            loss=float(np.mean(state.losses[-self._every :])),
            learning_rate=rate,
            images_per_second=(state.step - self._since)
            * recipe.batch_size
            / max(time.perf_counter() - self._began, 1e-9),
        )
        self._began, self._since = time.perf_counter(), state.step
        state.rows.append(row)
        self._note_ranges()
        self._tell(row)

    def _note_ranges(self) -> None:
        if isinstance(self.network, LearnedModel):
            trace = replace(self.state.trace, tensors=tuple(map(str, self.network.tensors)))
            self.state.trace = trace.with_ranges(self.state.step, self.network.values())

    def _measure(self) -> None:
        """Measures the network, and keeps its weights if this is the epoch to keep so far."""
        state, training = self.state, self.training
        epoch = math.ceil(state.step / training.recipe.steps_per_epoch)
        self.network.eval()
        measured = training.processes.agreed(self._measured(epoch) if training.processes.first else None)
        if measured is None:
            self._diverged(f"The network gave NaN or infinity after step {state.step}")
            return
        state.epochs.append(measured)
        if epoch > 0 and kept(state.epochs) == len(state.epochs) - 1:
            state.best = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            state.best_epoch = epoch
        if isinstance(self.network, QuantizedModel):
            grid = weight_grid(self.network, BINS_PER_CODE, CODES)
            if grid:
                state.trace = state.trace.with_weights(epoch, grid)
        if epoch == 0:
            self._note_ranges()
        self._tell(measured)
        self._keep()
        self._began, self._since = time.perf_counter(), state.step

    def _measured(self, epoch: int) -> QatEpoch | None:
        """Accuracies as the network is now; None if training has made it useless."""
        try:
            return self.training.measure(self.network, epoch, self.state.step)
        except NotFiniteError:
            if not self.state.step:
                raise
            return None

    def _stop_early(self) -> None:
        state, patience = self.state, self.training.params.patience
        scores = [epoch.validation_accuracy for epoch in state.epochs[1:] if epoch.validation_accuracy is not None]
        if not scores:  # no labels: nobody knows which epoch is better
            return
        waited = len(scores) - 1 - scores.index(max(scores))
        if patience and waited >= patience and state.step < self.training.recipe.steps:
            state.stopped = f"No better epoch came in {waited} epochs after epoch {len(scores) - waited}."

    def _keep(self) -> None:
        if not self.training.processes.first:
            return
        self._kept_at = time.monotonic()
        if self.training.state is not None:
            self.state.save(self.training.state, self.network, self.optimizer, self.scaler)
        if self.training.trace is not None:
            self.state.trace.save(self.training.trace)

    def _tell(self, row: QatStep | QatEpoch) -> None:
        if self.training.processes.first:
            of = "step" if isinstance(row, QatStep) else "epoch"
            self.training.report("row", phase=self.training.phase, of=of, **row.model_dump())


def _fails_in_training(inputs: Inputs, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    said = f"The network fails in training mode on inputs of {_shape_of(inputs)}: {reason}."
    if "more than 1 value per channel" in reason:  # a batch norm behind a pooling to 1 × 1
        said += " A batch norm needs two samples at least: a larger --train-batch-size, or --batch-norm frozen."
    return said


def _shape_of(inputs: Inputs) -> str:
    return f"shape {shapes(inputs)}" if len(leaves(inputs)) == 1 else f"shapes {shapes(inputs)}"


def stage(phase: Phase) -> str:
    """What a phase is called in progress bars."""
    return "training" if phase == "qat" else "training in fp32"


def median_seconds(times: list[float]) -> float:
    """Median time of a step, without the first few."""
    timed = times[_WARM_UP:] or times
    return float(np.median(timed)) if timed else 0.0
