"""Quantization-aware training: a short fine-tune with fake quantization, and what it gains (sections 5.2, 5.3)."""

import copy
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qanalysis import task as tasks
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import change, compare
from qanalysis.analysis.measure.ground import Ground, calibrated, magnitudes
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.measure.score import Outputs, answers, score
from qanalysis.analysis.training import processes
from qanalysis.analysis.training.batches import Batches
from qanalysis.analysis.training.checkpoint import architecture, save
from qanalysis.analysis.training.loop import Loop, Training, finetune, median_seconds, stage
from qanalysis.analysis.training.optimizer import train_mode
from qanalysis.analysis.training.processes import Processes
from qanalysis.analysis.training.recipe import recipe
from qanalysis.nn.learned import LearnedModel
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS
from qanalysis.schema import requests
from qanalysis.schema.digest import digest
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable, ends
from qanalysis.schema.params.qat import BEST, QatParams
from qanalysis.schema.results.qat import CalibrationScore, Phase, QatEpoch, QatRecipe, QatResult, QatRun
from qanalysis.schema.results.sensitivity import Change
from qanalysis.schema.trained import TrainedQuantization
from qanalysis.task import Task

CHECKPOINT = "qat.safetensors"
TRACE = "trace.npz"
#: Steps that are timed to find out how many fit into a time, or what one costs in floating point.
_TIMED = 8


def run(params: QatParams, report: Report = silent, folder: Path | None = None) -> QatResult:
    """Calibrates, fine-tunes under the plan, and fine-tunes in floating point as a control.

    With a folder, a killed run goes on from there, and the trained network is kept in it as `qat.safetensors`. Under
    `torchrun` all its processes share every batch; only the first one's report and files are used.

    Raises:
        UserError: with one sentence: bad names, files or data; no training samples or labels; a plan of another
            model; a loss that is not finite; memory that does not suffice.
    """
    start = time.perf_counter()
    with processes.joined() as group:
        report = report if group.first else silent
        folder = folder if group.first else None
        if folder is not None:
            requests.forget_stop(folder)
        checkpoint = Checkpoint(folder, digest("qat", params))
        study = _prepared(params, report, checkpoint, folder, group)
        study.tell()
        trained = study.quantized()
        run_ = finetune(trained, study.training("qat"))
        ranges = trained.table("trained") if isinstance(trained, LearnedModel) else study.ranges
        control = study.control()
        qat = study.change(study.answers(QuantizedModel(trained.model, study.plan, ranges)))
        if folder is not None:
            save(folder / CHECKPOINT, trained.model, study.described(ranges))
    notes = _training_only(trained.unreached)
    return study.result(run_, control, qat, ranges, time.perf_counter() - start, notes)


@dataclass(frozen=True, eq=False)
class _Study(Ground):
    """Everything that is known before training; its ranges are those of the calibration that training starts from."""

    params: QatParams
    reference: Outputs
    ptq: Change
    calibrations: tuple[CalibrationScore, ...]
    recipe: QatRecipe
    batches: Batches
    report: Report
    checkpoint: Checkpoint
    folder: Path | None
    processes: Processes

    def quantized(self) -> QuantizedModel:
        """A copy of the network under the plan, to be trained."""
        kind = LearnedModel if self.params.ranges == "learned" else QuantizedModel
        return kind(self.float_copy(), self.plan, self.ranges)

    def float_copy(self) -> nn.Module:
        """A copy of the network, to be trained as it is."""
        network: nn.Module = copy.deepcopy(self.module).requires_grad_()
        return network

    def training(self, phase: Phase) -> Training:
        """What the fine-tune of a phase is given."""
        folder = self.folder
        return Training(
            phase=phase,
            params=self.params,
            recipe=self.recipe,
            batches=self.batches,
            measure=self.measured,
            report=self.report,
            state=self.processes.agreed(self.checkpoint.file(f"{phase}.pt")),  # all read it, the first writes
            trace=folder / TRACE if folder is not None and phase == "qat" else None,
            stop_asked=self.stop_asked,
            processes=self.processes,
            teacher=self.module if self.params.teacher else None,
        )

    def stop_asked(self) -> bool:
        """Whether somebody wants the job to end early and keep what it has."""
        return self.folder is not None and requests.stop_asked(self.folder)

    def tell(self) -> None:
        """Tells what is known before training, for whoever watches."""
        self.report(
            "table",
            fp32=score(self.reference.hits(self.reference)).accuracy,
            ptq=self.ptq.accuracy,
            calibration=self.ranges.calibration,
            recipe=self.recipe.model_dump(),
            ranges_before=magnitudes(self.ranges),
        )

    def answers(self, network: nn.Module) -> Outputs:
        """Its answers on the evaluation samples."""
        return answers(self.task, network, self.params.evaluation_samples, silent, "")

    def change(self, given: Outputs) -> Change:
        """The answers against those of the floating-point model."""
        return _change(self.task, given, self.reference)

    def measured(self, network: nn.Module, epoch: int, step: int) -> QatEpoch:
        """Accuracy on the evaluation samples, and on those set aside."""
        hits = self.answers(network).hits(self.reference)
        split = self.task.data.calibration
        aside = answers(self.task, network, len(split), silent, "", split=split)
        loss = aside_score = None
        if aside.labels is not None:
            aside_score = score(aside.hits(aside))
            given, labels = torch.from_numpy(aside.logits), torch.from_numpy(aside.labels)
            loss = float(nn.functional.cross_entropy(given, labels))
        return QatEpoch(
            epoch=epoch,
            step=step,
            validation_accuracy=None if aside_score is None else aside_score.accuracy,
            validation_error=None if aside_score is None else aside_score.standard_error,
            validation_loss=loss if loss is not None and math.isfinite(loss) else None,
            accuracy=100 * float(hits.mean()),
        )

    def control(self) -> tuple[QatRun | None, Change | None, float]:
        """The same fine-tune in floating point, unless it is not wanted or the job is to end early; its step time."""
        network = self.float_copy()
        if self.params.control and not self.processes.agreed(self.stop_asked()):
            run_ = finetune(network, self.training("fp32"))
            return run_, self.change(self.answers(network)), run_.step_seconds
        return None, None, timed(network, self.training("fp32"))

    def described(self, ranges: RangeTable) -> TrainedQuantization:
        """What the checkpoint says of itself."""
        before = self.task.model.trained_quantization
        return TrainedQuantization(
            architecture=architecture(self.task.model),
            folded=self.params.batch_norm == "folded" or (before is not None and before.folded),
            plan=self.plan,
            calibration=self.ranges.calibration,
            learned=self.params.ranges == "learned",
            ranges=ends(ranges),
            sites=tuple(site.name for site in self.coverage.sites),
        )

    def result(
        self,
        run_: QatRun,
        control: tuple[QatRun | None, Change | None, float],
        qat: Change,
        ranges: RangeTable,
        seconds: float,
        notes: tuple[str, ...],
    ) -> QatResult:
        """The result."""
        cards = self.task.cards(*notes)
        cards["warnings"] = (*cards["warnings"], *(run_.stopped,) * (run_.stopped is not None))
        return QatResult(
            **cards,
            params=self.params,
            coverage=self.coverage,
            metric=self.task.metric,
            fp32=score(self.reference.hits(self.reference)),
            calibration=self.ranges.calibration,
            ptq=self.ptq,
            qat=qat,
            fp32_control=control[1],
            calibrations=self.calibrations,
            epochs=run_.epochs,
            run=run_,
            control=control[0],
            recipe=self.recipe,
            step_seconds=run_.step_seconds,
            fp32_step_seconds=control[2],
            plan=self.plan,
            sites=self.quantized_sites(),
            float_sites=self.float_sites(),
            ranges_before=magnitudes(self.ranges),
            ranges=magnitudes(ranges),
            bounds_before=ends(self.ranges),
            bounds=ends(ranges),
            checkpoint=CHECKPOINT if self.folder is not None else None,
            trace=TRACE if self.folder is not None else None,
            seconds=seconds,
        )


def _training_only(sites: set[str]) -> tuple[str, ...]:
    """What to tell of sites that only training executes, such as those of auxiliary heads."""
    if not sites:
        return ()
    first, more = min(sites), f" and {len(sites) - 1} more" if len(sites) > 1 else ""
    return (f"{first}{more} are executed in training only: they stay in floating point, and the loss leaves them out.",)


def _prepared(
    params: QatParams, report: Report, checkpoint: Checkpoint, folder: Path | None, group: Processes
) -> _Study:
    task = tasks.load(params.model_copy(update={"device": processes.device(params.device)}))
    plan = params.checked_plan(task.coverage)
    if task.data.train is None or len(task.data.train) == 0:
        raise UserError(f"{task.data.name} has no training samples: fine-tuning needs some (see the names of data).")
    if params.autocast == "fp16" and task.device.type != "cuda":
        raise UserError("autocast fp16 needs a GPU; choose bf16 or none on the CPU.")
    given = recipe(params, task.model.architecture, len(task.data.train))
    if params.augment and not task.data.images:
        note = "The samples are not known to be images: they are not flipped or shifted."
        given = given.model_copy(update={"notes": (*given.notes, note)})
    batches = Batches(
        split=task.data.train,
        recipe=given,
        augmented=params.augment and task.data.images,
        seed=params.seed,
        classes=_classes(task),
        device=task.device,
        processes=group,
        labelled=not params.teacher,
    )
    batches.of_step(0)  # refuses bad labels before anything takes long
    names = PAPER_CALIBRATIONS if params.effective_calibration == BEST else (params.effective_calibration,)
    report = staged(report, _work(params, given, task, names))
    ground = calibrated(task, plan, names, params.calibration_samples, report, fold=params.batch_norm == "folded")
    measure = partial(answers, task, samples=params.evaluation_samples, report=report, checkpoint=checkpoint)
    reference = measure(ground.module, stage="fp32")
    changes = {
        name: _change(task, measure(QuantizedModel(ground.module, plan, table), stage=name), reference)
        for name, table in ground.tables.items()
    }
    best = max(changes, key=lambda name: (changes[name].accuracy, -changes[name].kl))
    study = _Study(
        **replace(ground, tables={best: ground.tables[best]}).values(),
        params=params,
        reference=reference,
        ptq=changes[best],
        calibrations=tuple(
            CalibrationScore(calibration=name, accuracy=one.accuracy, relative=one.relative)
            for name, one in changes.items()
        ),
        recipe=given,
        batches=batches,
        report=report,
        checkpoint=checkpoint,
        folder=folder,
        processes=group,
    )
    return study if params.minutes is None else _fitted(study, params.minutes)


def _fitted(study: _Study, minutes: float) -> _Study:
    """The study with as many steps as fit into a time; found out once, so that a resumed run has the same."""
    kept = study.processes.agreed(study.checkpoint.get("steps"))
    if kept is None:
        seconds = timed(study.quantized(), study.training("qat"))
        if study.params.control:
            seconds += timed(study.float_copy(), study.training("fp32"))
        kept = {"steps": np.array(max(1, int(60 * minutes / seconds)))}
        study.checkpoint.put("steps", **kept)
    steps = study.processes.agreed(int(kept["steps"]))
    assert study.task.data.train is not None
    given = recipe(study.params, study.task.model.architecture, len(study.task.data.train), steps)
    return replace(study, recipe=given, batches=replace(study.batches, recipe=given))


def timed(network: nn.Module, training: Training) -> float:
    """Median seconds of a step, from a few on a network that is thrown away afterwards."""
    trial = replace(training, report=silent, state=None, trace=None)
    loop = Loop(network, trial)
    train_mode(network, trial.params.batch_norm)
    with torch.random.fork_rng(devices=[]):
        for step in range(_TIMED):
            loop.step(*trial.batches.of_step(step))
    return median_seconds(loop.state.step_times)


def _work(params: QatParams, given: QatRecipe, task: Task, names: tuple[str, ...]) -> dict[str, float]:
    """The stages in forward passes; a step goes backward, too, which costs two more."""
    evaluation = min(params.evaluation_samples, len(task.data.evaluation))
    epochs = math.ceil(given.steps / given.steps_per_epoch)
    measuring = (epochs + 1) * (evaluation + len(task.data.calibration))
    steps = 3.0 * given.steps * given.batch_size + measuring
    work = {"calibration": 1.5 * min(params.calibration_samples, len(task.data.calibration)), "fp32": evaluation}
    work |= dict.fromkeys(names, 1.5 * evaluation)
    return work | {stage("qat"): 1.2 * steps} | ({stage("fp32"): steps} if params.control else {})


def _change(task: Task, given: Outputs, reference: Outputs) -> Change:
    labels = None if reference.labels is None else torch.from_numpy(reference.labels)
    compared = compare(torch.from_numpy(given.logits), torch.from_numpy(reference.logits), labels)
    return Change(**change(compared))


@torch.no_grad()
def _classes(task: Task) -> int:
    return int(tasks.logits(task.model.module(task.example())).shape[1])
