"""Tracking: what was sent to TensorBoard and MLflow is read back from there."""

import pytest

from qanalysis import tracking
from tests.schema.instances import INSTANCES

QAT = INSTANCES["qat"]


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's and MLflow's own dependencies
def test_tensorboard_shows_the_curves_of_a_fine_tune(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told = tracking.send(QAT, f"tensorboard:{tmp_path}")
    (folder,) = tmp_path.iterdir()
    assert str(folder) in told
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    found = [(name, point.step, point.value) for name in events.Tags()["scalars"] for point in events.Scalars(name)]
    expected = sorted(tracking.points(QAT))
    assert [(name, step) for name, step, _ in sorted(found)] == [(name, step) for name, step, _ in expected]
    assert [value for *_, value in sorted(found)] == pytest.approx([value for *_, value in expected], rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_settings_measures_and_the_whole_result(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    tracking.send(QAT, f"mlflow:{tmp_path / 'runs'}")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    experiment = client.get_experiment_by_name("qanalysis")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["bits"] == "4"
    assert run.data.metrics["accuracy"] == QAT.qat.accuracy
    history = client.get_metric_history(run.info.run_id, "qat/accuracy")
    assert [point.value for point in history] == [epoch.accuracy for epoch in QAT.run.epochs]
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["result.json"]


@pytest.mark.parametrize("name", list(INSTANCES))
def test_every_result_can_be_sent(name):
    values = tracking.parameters(INSTANCES[name])
    assert values["analysis"] == name
    assert all(isinstance(value, float | int) for *_, value in tracking.points(INSTANCES[name]))


@pytest.mark.parametrize("target", ["", "wandb:x", "tensorboard", "mlflow:"])
def test_another_target_is_refused_before_anything_is_run(target):
    with pytest.raises(ValueError, match="tensorboard:FOLDER or mlflow:URI"):
        tracking.check(target)
