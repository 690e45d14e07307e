"""The workflow ends where the paper's chart does, and a killed run ends as an unbroken one."""

import pytest

from qanalysis.analysis import qat, workflow
from qanalysis.schema.errors import UserError
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.workflow import WorkflowResult

SMALL = {
    "model": "sample:resnet20",
    "calibration_samples": 64,
    "evaluation_samples": 96,
    "sensitivity_samples": 64,
    "batch_size": 32,
    "calibrations": ("max", "percentile:99.99"),
    "deploy": False,
    "minutes": 0.0,
}
MEASURED = {"fp32", "recommendation", "metric"}


class KilledError(Exception):
    pass


class Reports:
    """Keeps what is reported, and ends the run in one stage."""

    def __init__(self, stage: str = "", percent: int = 0) -> None:
        self.until = (stage, percent)
        self.stages: list[str] = []
        self.notes: dict[str, str] = {}

    def __call__(self, kind: str, **body: object) -> None:
        if kind == "row":
            self.notes[body["stage"]] = body["state"]
        if kind == "progress":
            self.stages.append(body["stage"])
            if body["stage"] == self.until[0] and body["done"] >= self.until[1]:
                raise KilledError


def states(result: WorkflowResult) -> dict[str, str]:
    return {note.stage: note.state for note in result.stages}


def run(folder=None, report=None, **settings) -> WorkflowResult:
    return workflow.run(WorkflowParams(**SMALL | settings), report or Reports(), folder)


@pytest.fixture(scope="module")
def enough():
    """8 bits: PTQ is within the target."""
    return run()


def test_ptq_that_is_enough_ends_it(enough):
    given = enough.recommendation
    assert given.end == "ptq"
    assert given.best.plan.calibration == enough.ptq.best
    assert given.best.accuracy == max(row.accuracy for row in enough.ptq.rows)
    assert enough.sensitivity is enough.partial is enough.qat is None
    assert states(enough)["qat"] == "not needed"
    assert "nothing more is needed" in given.reason


def test_partial_quantization_is_tried_where_ptq_loses_too_much():
    result = run(bits=4, target=4.0, most_skipped=8, least_int8=30.0)
    given = result.recommendation
    assert given.end == "partial"
    assert given.best.relative >= -4.0
    assert given.best.skipped == result.partial.partial.steps[len(given.best.skipped)].skipped
    assert given.best.samples == 96
    assert set(given.best.skipped) == given.best.plan.plan.skip
    assert result.qat is None


def test_qat_is_tried_where_too_much_would_be_left_in_floating_point(tmp_path, monkeypatch):
    whole = qat.run

    def short(params, report, folder):
        few = {"train_samples": 64, "train_batch_size": 32}
        return whole(params.model_copy(update=few), report, folder)

    monkeypatch.setattr(qat, "run", short)
    result = run(tmp_path, bits=4, target=0.0, calibrations=("max",), most_skipped=1, least_int8=100.0, epochs=1)
    given = result.recommendation
    assert states(result)["qat"] == "done"
    assert "keeps 100 % of the work in integers" in given.reason
    assert result.qat.calibration == "max"
    trained = given.best.model.startswith("checkpoint:")
    assert trained == (given.best.way == "qat") == (result.qat.qat.relative > result.ptq.rows[0].relative)
    assert given.best.relative == max(result.qat.qat.relative, result.ptq.rows[0].relative)


def test_where_nothing_suffices_the_best_is_named(monkeypatch, tmp_path):
    def refused(params, report, folder):
        raise UserError("There are no training samples.")

    monkeypatch.setattr(qat, "run", refused)
    result = run(tmp_path, bits=3, target=0.0, most_skipped=1)
    given = result.recommendation
    assert given.end == "none"
    assert given.best.way == "partial"
    assert "There are no training samples." in given.reason
    assert states(result)["qat"] == "refused"


def test_nothing_new_is_begun_when_the_time_is_up():
    result = run(bits=4, target=0.0, minutes=1e-6)
    assert result.recommendation.end == "none"
    assert result.recommendation.best.way == "ptq"
    assert states(result)["sensitivity"] == states(result)["qat"] == "refused"
    assert "minutes were used up" in result.recommendation.reason


KILLED = {"bits": 4, "target": 4.0, "most_skipped": 8, "least_int8": 30.0}


@pytest.fixture(scope="module")
def unbroken():
    return run(**KILLED)


@pytest.mark.parametrize(("stage", "percent"), [("ptq", 40), ("sensitivity", 50), ("partial", 50)])
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(stage, percent, tmp_path, unbroken):
    with pytest.raises(KilledError):
        run(tmp_path, Reports(stage, percent), **KILLED)
    reports = Reports()
    resumed = run(tmp_path, reports, **KILLED)
    assert resumed.model_dump(include=MEASURED) == unbroken.model_dump(include=MEASURED)
    assert resumed.sensitivity.rows == unbroken.sensitivity.rows
    done = ("baseline", "ptq", "sensitivity", "partial")
    assert not set(done[: done.index(stage)]) & set(reports.stages)  # stages before it are read


def test_the_time_of_training_is_found_out_once(monkeypatch, tmp_path):
    given = []

    def killed(params, report, folder):
        given.append(params.minutes)
        raise KilledError

    monkeypatch.setattr(qat, "run", killed)
    settings = {"bits": 4, "target": 0.0, "most_skipped": 0, "minutes": 3.0, "calibrations": ("max",)}
    for _ in range(2):
        with pytest.raises(KilledError):
            run(tmp_path, **settings)
    assert given[0] == given[1]
    assert 0.2 < given[0] < 3.0


def test_results_of_single_runs_are_taken_over(tmp_path, enough):
    class Shelf(Reports):
        """Has the baseline, and takes the rest."""

        kept: list[str] = []  # noqa: RUF012

        def found(self, analysis, params):
            enough.baseline.save(tmp_path / "result.json")
            return tmp_path if analysis == "evaluate" else None

        def keep(self, analysis, params, folder, seconds):
            self.kept.append(analysis)
            return folder

    reports = Shelf()
    (tmp_path / "job").mkdir()
    result = run(tmp_path / "job", reports)
    assert states(result)["baseline"] == "known"
    assert reports.kept == ["ptq"]
    assert result.recommendation.best.accuracy == enough.recommendation.best.accuracy


def test_a_model_that_is_not_there_fails_at_once():
    with pytest.raises(ValueError, match="Unknown sample model"):
        run(model="sample:nothing")
