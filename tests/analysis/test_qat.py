"""Quantization-aware training: the control, resuming, stopping, checkpoints, several processes."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import qanalysis
from qanalysis.analysis import qat
from qanalysis.analysis.measure.progress import silent
from qanalysis.analysis.training import loop as training
from qanalysis.analysis.training.loop import Loop
from qanalysis.analysis.training.recipe import learning_rate, recipe
from qanalysis.schema import requests
from qanalysis.schema.catalog import sample_models
from qanalysis.schema.observations import Observations
from qanalysis.schema.params.qat import QatParams
from qanalysis.schema.results.qat import kept
from qanalysis.schema.results.trace import Trace
from qanalysis.schema.trained import read
from tests.analysis.fine_tunes import SMALL, epochs, npz, study

pytestmark = pytest.mark.usefixtures("few_samples_set_aside")


class KilledError(Exception):
    pass


def killed_at(stage, done):
    def report(kind, **body):
        if kind == "progress" and (body["stage"], body["done"]) == (stage, done):
            raise KilledError

    return report


def weights(folder):
    return load_file(folder / qat.CHECKPOINT)


@pytest.mark.parametrize("ranges", ["fixed", "learned"])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, monkeypatch, ranges):
    monkeypatch.setattr(training, "_KEEP_EVERY", 0.0)
    params = QatParams(**{**SMALL, "ranges": ranges, "control": True})
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = qat.run(params, silent, tmp_path / "whole")
    for stage, done in (("training", 2), ("training", 4), ("training in fp32", 1)):
        with pytest.raises(KilledError):
            qat.run(params, killed_at(stage, done), tmp_path / "broken")
    resumed = qat.run(params, silent, tmp_path / "broken")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(one[key], other[key]) for key in one)
    alike = {"fp32", "ptq", "qat", "fp32_control", "epochs", "ranges", "recipe"}
    assert resumed.model_dump(include=alike) == whole.model_dump(include=alike)
    assert [row.loss for row in resumed.run.steps] == [row.loss for row in whole.run.steps]
    traces = [Trace.load(tmp_path / name / qat.TRACE) for name in ("whole", "broken")]
    assert np.array_equal(traces[0].ranges, traces[1].ranges)
    assert np.array_equal(traces[0].weights, traces[1].weights)


def test_a_resumed_run_tells_its_rows_again(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_KEEP_EVERY", 0.0)
    params = QatParams(**SMALL)
    with pytest.raises(KilledError):
        qat.run(params, killed_at("training", 4), tmp_path)
    rows = []
    qat.run(params, lambda kind, **body: rows.append(body) if kind == "row" else None, tmp_path)
    assert [row["step"] for row in rows if row["of"] == "step"] == [1, 2, 3, 4, 5]
    assert [row["epoch"] for row in rows if row["of"] == "epoch"] == [0, 1, 2]


def test_learned_ranges_move_and_fixed_ones_do_not(tmp_path):
    for ranges in ("fixed", "learned"):
        params = {**SMALL, "ranges": ranges, "calibration": "percentile:99", "range_weight_decay": 0.5}
        result = qat.run(QatParams(**params), silent, tmp_path)
        moved = [result.ranges[key] != before for key, before in result.ranges_before.items()]
        assert all(moved) if ranges == "learned" else not any(moved)
    trace = Trace.load(tmp_path / qat.TRACE)
    assert trace.ranges.shape == (6, len(result.ranges))
    assert trace.ranges[0].tolist() == pytest.approx(list(result.ranges_before.values()))
    best = next(epoch.step for epoch in result.epochs if epoch.epoch == result.run.best_epoch)
    assert trace.ranges[trace.steps.tolist().index(best)].tolist() == pytest.approx(list(result.ranges.values()))
    assert trace.weights.sum(2)[0].tolist() == [
        load_file(tmp_path / qat.CHECKPOINT)[f"{site}.weight"].numel() for site in trace.sites
    ]


@pytest.mark.parametrize("batch_norm", ["trained", "folded"])
def test_the_checkpoint_is_a_model_for_every_command(tmp_path, batch_norm):
    params = {**SMALL, "ranges": "learned", "batch_norm": batch_norm}
    result = qat.run(QatParams(**params), silent, tmp_path)
    name = f"checkpoint:{tmp_path / qat.CHECKPOINT}"
    shared = {"model": name, "calibration_samples": 32, "evaluation_samples": 64, "bits": 4}
    ptq = qanalysis.run("ptq", calibrations=("trained", "max"), **shared)
    assert ptq.rows[0].calibration == "trained"
    assert ptq.rows[0].accuracy == result.qat.accuracy
    assert ptq.ranges["trained"] == pytest.approx(result.ranges)
    sensitivity = qanalysis.run("sensitivity", calibration="trained", proxies=False, most_skipped=1, **shared)
    assert sensitivity.quantized == result.qat.accuracy
    again = qat.run(QatParams(**{**SMALL, "model": name, "calibration": "trained", "steps": 1}), silent, tmp_path)
    assert again.ptq.accuracy == result.qat.accuracy


def test_trained_ranges_are_kept_with_the_histograms(tmp_path):
    qat.run(QatParams(**SMALL), silent, tmp_path)
    qanalysis.run(
        "calibrate", model=f"checkpoint:{tmp_path / qat.CHECKPOINT}", calibrations=("trained",), calibration_samples=8,
        folder=tmp_path,
    )  # fmt: skip
    loaded = Observations.load(tmp_path / "observations.npz")
    described = read(tmp_path / qat.CHECKPOINT)
    assert loaded.trained.ranges == described.table().ranges


def test_only_a_fine_tuned_model_has_trained_ranges():
    with pytest.raises(ValueError, match="'trained' is for models that were fine-tuned"):
        qanalysis.run("ptq", calibrations=("trained",), calibration_samples=8, evaluation_samples=8)


def test_stopping_keeps_what_there_is(tmp_path):
    def report(kind, **body):
        if kind == "progress" and (body["stage"], body["done"]) == ("training", 2):
            requests.ask_to_stop(tmp_path)

    result = qat.run(QatParams(**{**SMALL, "control": True}), report, tmp_path)
    assert result.run.stopped == "It was stopped after 2 of 5 steps, as asked."
    assert result.run.stopped in result.warnings
    assert [epoch.step for epoch in result.epochs] == [0, 2]
    assert (result.control, result.fp32_control) == (None, None)
    assert result.fp32_step_seconds > 0
    assert (tmp_path / qat.CHECKPOINT).is_file()


def test_the_control_is_the_same_fine_tune_in_floating_point():
    result = qat.run(QatParams(**{**SMALL, "control": True}))
    assert result.control.phase == "fp32"
    assert [row.step for row in result.control.steps] == [row.step for row in result.run.steps]
    assert [row.learning_rate for row in result.control.steps] == [row.learning_rate for row in result.run.steps]
    assert result.control.epochs[0].accuracy == result.fp32.accuracy
    assert result.epochs[0].accuracy == result.ptq.accuracy
    assert result.control.steps[0].loss < result.run.steps[0].loss


def test_best_is_the_calibration_that_loses_least():
    result = qat.run(QatParams(**{**SMALL, "calibration": "best", "steps": 1}))
    assert len(result.calibrations) == 6
    assert result.ptq.accuracy == max(row.accuracy for row in result.calibrations)
    assert result.calibration in {row.calibration for row in result.calibrations if row.accuracy == result.ptq.accuracy}


def test_a_loss_that_is_not_finite_ends_the_run_with_the_reason():
    with pytest.raises(ValueError, match=r"The loss became (NaN|infinite) in step \d+, at learning rate .*lower"):
        qat.run(QatParams(**{**SMALL, "learning_rate": 1e30}))


def test_diverging_after_an_epoch_keeps_the_best(tmp_path):
    params = {**SMALL, "train_samples": 16, "steps": 60, "evaluation_samples": 8, "batch_norm": "frozen"}
    result = qat.run(QatParams(**params, learning_rate=1e4), silent, tmp_path)
    assert re.search(r"at learning rate .*; the network after epoch \d+ is kept", result.run.stopped)
    assert result.run.steps[-1].step < 60
    assert all(bool(torch.isfinite(value).all()) for value in weights(tmp_path).values())


def test_a_loss_that_rises_for_good_is_divergence():
    given = study()
    loop = Loop(given.quantized(), given.training("qat"))
    loop.state.step, loop.state.losses = 40, [1.0] * 20 + [1.9] * 20
    loop._watch(1.9)
    assert loop.state.stopped is None
    loop.state.losses = [1.0] * 20 + [5.0] * 20
    loop._watch(5.0)
    assert loop.state.stopped.startswith("The loss rose from 1.00 to 5.00 by step 40, at learning rate")


def test_patience_ends_a_run_that_gets_no_better():
    params = {**SMALL, "learning_rate": 1e-9, "train_samples": 16, "steps": 8, "patience": 2, "batch_norm": "frozen"}
    result = qat.run(QatParams(**params))
    assert result.run.stopped == "No better epoch came in 2 epochs after epoch 1."
    assert result.run.epochs[-1].epoch == 3


def test_patience_knows_nothing_without_labels():
    given = study(patience=1)
    loop = Loop(given.quantized(), given.training("qat"))
    loop.state.epochs = epochs(None, None, None, None)
    loop._stop_early()
    assert loop.state.stopped is None


def test_minutes_become_steps():
    result = qat.run(QatParams(**{**SMALL, "steps": None, "minutes": 0.01}))
    assert 1 <= result.recipe.steps < 60
    assert result.run.steps[-1].step == result.recipe.steps


def test_a_teacher_needs_no_labels_and_its_own_network_has_nothing_to_learn(tmp_path):
    """In floating point the control starts where its teacher stands: at the entropy of its answers."""
    data = npz(tmp_path, y_train=None)
    params = {**SMALL, "data": data, "teacher": True, "control": True, "batch_norm": "frozen", "augment": False}
    result = qat.run(QatParams(**params))
    given = study(**{name: params[name] for name in ("data", "teacher", "augment")})
    inputs, *_ = given.batches.of_step(0)
    with torch.no_grad():
        answers = given.module(inputs).softmax(1)
    entropy = -(answers * answers.log()).sum(1).mean().item()
    assert result.control.steps[0].loss == pytest.approx(entropy, rel=1e-4)
    assert result.control.epochs[-1].accuracy == result.fp32.accuracy
    assert result.run.steps[0].loss > entropy


def test_bf16_autocast_starts_close_to_float32():
    losses = [
        qat.run(QatParams(**{**SMALL, "autocast": autocast, "steps": 1, "bits": 8})).run.steps[0].loss
        for autocast in ("none", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_the_recipe_is_the_papers_where_the_original_training_is_known():
    given = recipe(QatParams(), "resnet20", 8000)
    original = sample_models()["resnet20"]["recipe"]
    assert given.learning_rate == pytest.approx(0.01 * original["learning_rate"])
    assert given.steps * 128 / 50_000 == pytest.approx(0.1 * original["epochs"], rel=0.1)
    assert given.final_learning_rate == pytest.approx(0.01 * given.learning_rate)
    assert given.steps_per_epoch == 8000 // 128
    rates = [learning_rate(given, step) for step in range(given.steps)]
    assert rates[0] == given.learning_rate
    assert rates[-1] == pytest.approx(given.final_learning_rate)
    assert rates == sorted(rates, reverse=True)
    bolder = recipe(QatParams(rate_share=0.1), "resnet20", 8000)
    assert bolder.learning_rate == pytest.approx(10 * given.learning_rate)
    assert bolder.notes[0].startswith("Learning rate 0.01: 10 % of the 0.1")
    middle = (given.learning_rate + given.final_learning_rate) / 2
    assert learning_rate(given, (given.steps - 1) // 2) == pytest.approx(middle, rel=0.01)


def test_an_unknown_original_gets_the_papers_learning_rate_and_says_so():
    given = recipe(QatParams(), "resnet50", 500)
    assert (given.optimizer, given.learning_rate) == ("sgd", 1e-3)
    assert recipe(QatParams(rate_share=0.1), "resnet50", 500).learning_rate == pytest.approx(1e-2)
    assert all("not known" in note for note in given.notes)


def test_two_processes_give_the_weights_of_one(tmp_path):
    """The same command under torchrun: every batch is shared, gradients are averaged."""
    arguments = [
        "qat", "--calibration", "max", "--bits", "4", "--calibration-samples", "16", "--evaluation-samples", "16",
        "--train-samples", "64", "--train-batch-size", "16", "--steps", "2", "--no-control", "--batch-norm", "frozen",
        "--quiet",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "QANALYSIS_HOME": str(tmp_path / "home")}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qanalysis"]
    for name, command in (("one", [sys.executable, "-m", "qanalysis"]), ("two", launch)):
        done = subprocess.run(
            [*command, *arguments, "--keep", str(tmp_path / name), "--json", str(tmp_path / f"{name}.json")],
            env=environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-3, atol=1e-6)
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")]
    assert results[0]["qat"]["accuracy"] == results[1]["qat"]["accuracy"]
    assert results[0]["run"]["steps"][-1]["loss"] == pytest.approx(results[1]["run"]["steps"][-1]["loss"], rel=1e-4)


def test_progress_reaches_the_whole(tmp_path):
    shares = []

    def report(kind, **body):
        if kind == "progress":
            shares.append(body["share"])

    qat.run(QatParams(**{**SMALL, "control": True}), report, tmp_path)
    assert shares == sorted(shares)
    assert math.isclose(shares[-1], 1.0, abs_tol=1e-3)


@pytest.mark.parametrize(
    ("accuracies", "place"),
    [((95, 80, 90), 2), ((99, 90.0, 89.6), 2), ((50, 90.0, 88.9), 1), ((50, 90, 89.6, 80), 2), ((50, 60), 1)],
    ids=["the start is not chosen", "within two errors the later", "else the better", "not the last", "only one"],
)
def test_the_latest_epoch_that_is_not_surely_worse_is_kept(accuracies, place):
    assert kept(epochs(*accuracies)) == place


def test_without_labels_the_last_epoch_is_kept():
    assert kept(epochs(None, None, None)) == 2
