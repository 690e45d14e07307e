"""Quantization-aware training: a short fine-tune with fake quantization, and what it gains (sections 5.2, 5.3)."""

import copy
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qanalysis import setup as setups
from qanalysis.analysis.measure.checkpoint import Checkpoint
from qanalysis.analysis.measure.comparison import Comparison, change
from qanalysis.analysis.measure.evaluation import Answering, compared
from qanalysis.analysis.measure.ground import Ground, calibrated, magnitudes
from qanalysis.analysis.measure.progress import Report, silent, staged
from qanalysis.analysis.measure.score import score
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
from qanalysis.setup import Setup
from qanalysis.tasks.task import Statistics

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
        qat = study.change(QuantizedModel(trained.model, study.plan, ranges))
        if folder is not None:
            save(folder / CHECKPOINT, trained.model, study.described(ranges))
    notes = _training_only(trained.unreached)
    return study.result(run_, control, qat, ranges, time.perf_counter() - start, notes)


@dataclass(frozen=True, eq=False)
class _Study(Ground):
    """Everything that is known before training; its ranges are those of the calibration that training starts from."""

    params: QatParams
    reference: Answering
    statistics: Statistics
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
            teacher=self.module if _taught(self.params, self.setup) else None,
        )

    def stop_asked(self) -> bool:
        """Whether somebody wants the job to end early and keep what it has."""
        return self.folder is not None and requests.stop_asked(self.folder)

    def tell(self) -> None:
        """Tells what is known before training, for whoever watches."""
        self.report(
            "table",
            fp32=self.setup.task.accuracy_of(self.statistics),
            ptq=self.ptq.accuracy,
            calibration=self.ranges.calibration,
            recipe=self.recipe.model_dump(),
            ranges_before=magnitudes(self.ranges),
        )

    def compared(self, network: nn.Module) -> Comparison:
        """Its answers on the evaluation samples, against those of the floating-point model."""
        return compared(self.reference, {"": network}, silent, "")[""]

    def change(self, network: nn.Module) -> Change:
        """The same, summed up."""
        return Change(**change(self.setup.task, self.compared(network)))

    def measured(self, network: nn.Module, epoch: int, step: int) -> QatEpoch:
        """Accuracy on the evaluation samples, and on those set aside."""
        statistics = self.compared(network).statistics
        loss = aside_score = None
        if self.setup.labelled:
            aside = Answering(self.setup, network, len(self.setup.data.calibration), self.setup.data.calibration)
            seen = [batch.reference for batch in aside.batches()]
            aside_score = score(self.setup.task, np.concatenate([one.statistics for one in seen]))
            loss = self.setup.task.validation_loss((one.answers, one.targets) for one in seen)
        return QatEpoch(
            epoch=epoch,
            step=step,
            validation_accuracy=None if aside_score is None else aside_score.accuracy,
            validation_error=None if aside_score is None else aside_score.standard_error,
            validation_loss=loss if loss is not None and math.isfinite(loss) else None,
            accuracy=self.setup.task.accuracy_of(statistics),
        )

    def control(self) -> tuple[QatRun | None, Change | None, float]:
        """The same fine-tune in floating point, unless it is not wanted or the job is to end early; its step time."""
        network = self.float_copy()
        if self.params.control and not self.processes.agreed(self.stop_asked()):
            run_ = finetune(network, self.training("fp32"))
            return run_, self.change(network), run_.step_seconds
        return None, None, timed(network, self.training("fp32"))

    def described(self, ranges: RangeTable) -> TrainedQuantization:
        """What the checkpoint says of itself."""
        before = self.setup.model.trained_quantization
        return TrainedQuantization(
            architecture=architecture(self.setup.model),
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
        cards = self.setup.cards(*notes)
        cards["warnings"] = (*cards["warnings"], *(run_.stopped,) * (run_.stopped is not None))
        return QatResult(
            **cards,
            params=self.params,
            coverage=self.coverage,
            metric=self.setup.metric,
            fp32=score(self.setup.task, self.statistics),
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
    setup = setups.load(params.model_copy(update={"device": processes.device(params.device)}))
    plan = params.checked_plan(setup.coverage)
    if setup.data.train is None or len(setup.data.train) == 0:
        raise UserError(f"{setup.data.name} has no training samples: fine-tuning needs some (see the names of data).")
    if params.autocast == "fp16" and setup.device.type != "cuda":
        raise UserError("autocast fp16 needs a GPU; choose bf16 or none on the CPU.")
    given = recipe(params, setup.model.architecture, len(setup.data.train))
    augmented = params.augment and setup.data.images and setup.task.augmentable
    if params.augment and not setup.data.images:
        note = "The samples are not known to be images: they are not flipped or shifted."
        given = given.model_copy(update={"notes": (*given.notes, note)})
    elif params.augment and not augmented:
        note = f"Images of the task {setup.task.name} are not flipped or shifted: their targets would have to be, too."
        given = given.model_copy(update={"notes": (*given.notes, note)})
    batches = Batches(
        split=setup.data.train,
        recipe=given,
        augmented=augmented,
        seed=params.seed,
        task=setup.task,
        device=setup.device,
        processes=group,
        labelled=not _taught(params, setup),
    )
    batches.of_step(0)  # refuses bad labels before anything takes long
    names = PAPER_CALIBRATIONS if params.effective_calibration == BEST else (params.effective_calibration,)
    report = staged(report, _work(params, given, setup, names))
    ground = calibrated(setup, plan, names, params.calibration_samples, report, fold=params.batch_norm == "folded")
    reference = Answering(setup, ground.module, params.evaluation_samples)
    models = {name: QuantizedModel(ground.module, plan, table) for name, table in ground.tables.items()}
    comparisons = compared(reference, models, report, "evaluation", checkpoint)
    changes = {name: Change(**change(setup.task, comparison)) for name, comparison in comparisons.items()}
    best = max(changes, key=lambda name: (changes[name].accuracy, -changes[name].divergence))
    study = _Study(
        **replace(ground, tables={best: ground.tables[best]}).values(),
        params=params,
        reference=reference,
        statistics=comparisons[best].reference_statistics,
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
    train = study.setup.data.train
    assert train is not None
    given = recipe(study.params, study.setup.model.architecture, len(train), steps)
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


def _work(params: QatParams, given: QatRecipe, setup: Setup, names: tuple[str, ...]) -> dict[str, float]:
    """The stages in forward passes; a step goes backward, too, which costs two more."""
    evaluation = min(params.evaluation_samples, len(setup.data.evaluation))
    epochs = math.ceil(given.steps / given.steps_per_epoch)
    measuring = (epochs + 1) * (evaluation + len(setup.data.calibration))
    steps = 3.0 * given.steps * given.batch_size + measuring
    work = {
        "calibration": 1.5 * min(params.calibration_samples, len(setup.data.calibration)),
        "evaluation": (1 + 1.5 * len(names)) * evaluation,
    }
    return work | {stage("qat"): 1.2 * steps} | ({stage("fp32"): steps} if params.control else {})


def _taught(params: QatParams, setup: Setup) -> bool:
    """Whether the fp32 model is learned from: where that is wanted, or there is nothing else to learn from."""
    return params.teacher or not setup.task.learns
