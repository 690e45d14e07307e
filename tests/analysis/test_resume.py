"""A PTQ run that was killed goes on from what it measured, and ends as if nothing had happened."""

import pytest
from PIL import Image

import qanalysis
from qanalysis.analysis import ptq
from qanalysis.analysis.measure import checkpoint, evaluation
from qanalysis.schema.params.accuracy import PtqParams

PARAMS = PtqParams(
    model="sample:resnet20@none", calibrations=("max", "entropy"), calibration_samples=16, evaluation_samples=96,
    batch_size=16,
)  # fmt: skip
MEASURED = {"fp32", "rows", "ranges", "best", "sites", "float_sites", "data", "warnings"}


class KilledError(Exception):
    pass


class Reports:
    """Keeps what is reported, and ends the run at one point of one stage."""

    def __init__(self, stage: str = "", done: int = 0) -> None:
        self.until = (stage, done)
        self.progress: list[tuple[str, int]] = []
        self.rows: list[str] = []

    def __call__(self, kind: str, **body: object) -> None:
        if kind == "row":
            self.rows.append(body["calibration"])
        elif kind == "progress":
            self.progress.append((body["stage"], body["done"]))
            if self.progress[-1] == self.until:
                raise KilledError


@pytest.fixture(scope="module")
def unbroken():
    return qanalysis.run("ptq", **PARAMS.model_dump())


@pytest.mark.parametrize("done", [16, 48, 96])
def test_a_killed_run_goes_on(tmp_path, unbroken, monkeypatch, done):
    with pytest.raises(KilledError):
        ptq.run(PARAMS, Reports("evaluation", done), tmp_path)
    measured = []
    real = evaluation.measured
    monkeypatch.setattr(evaluation, "measured", lambda *args: measured.append(1) or real(*args))
    reports = Reports()
    result = ptq.run(PARAMS, reports, tmp_path)
    assert result.model_dump(include=MEASURED) == unbroken.model_dump(include=MEASURED)
    assert len(measured) == 3 * (96 - done) // 16  # fp32 and two calibrations, of the batches that were not known
    assert reports.rows == ["max", "entropy"]
    assert "calibration" not in [stage for stage, _ in reports.progress]


def test_the_share_of_all_stages_grows(tmp_path):
    shares = []
    with pytest.raises(KilledError):
        ptq.run(PARAMS, Reports("evaluation", 48), tmp_path)

    def report(kind, **body):
        if kind == "progress":
            shares.append(body["share"])

    ptq.run(PARAMS, report, tmp_path)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_torn_part_is_measured_again(tmp_path, unbroken):
    ptq.run(PARAMS, folder=tmp_path)
    for file in (tmp_path / "measured").iterdir():
        if file.name.startswith("evaluation") or file.name == "observations.npz":
            file.write_bytes(file.read_bytes()[:-20])
    result = ptq.run(PARAMS, folder=tmp_path)
    assert result.model_dump(include=MEASURED) == unbroken.model_dump(include=MEASURED)


def test_other_parameters_in_the_same_folder_start_anew(tmp_path, unbroken):
    ptq.run(PARAMS.model_copy(update={"bits": 4}), folder=tmp_path)
    result = ptq.run(PARAMS, folder=tmp_path)
    assert result.rows == unbroken.rows


def test_samples_that_cannot_be_read_are_named_by_a_run_that_goes_on(tmp_path):
    for split in ("train", "val"):
        folder = tmp_path / split / "a"
        folder.mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(folder / f"{number}.png")
        (folder / "9.png").write_bytes(b"broken")
    params = PARAMS.model_copy(update={"data": f"imagefolder:{tmp_path}", "calibrations": ("max",)})
    with pytest.raises(KilledError):
        ptq.run(params, Reports("evaluation", 4), tmp_path)
    resumed = ptq.run(params, folder=tmp_path)
    assert resumed.data.warnings
    assert resumed.data.warnings == ptq.run(params).data.warnings


def test_a_finished_run_leaves_what_it_measured_to_its_caller(tmp_path):
    ptq.run(PARAMS, folder=tmp_path)
    assert list((tmp_path / "measured").glob("*.npz"))
    checkpoint.remove(tmp_path)
    assert not (tmp_path / "measured").exists()
