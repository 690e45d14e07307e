"""The workflow on the home page: what its boxes say of a model, from nothing known to the end; and the tour."""

import pytest

from qanalysis.insight.workflow.steps import Ending, Known, Step, deploy, follow
from qanalysis.jobs.adoption import adopt, found
from qanalysis.jobs.store import Store
from qanalysis.schema.params.workflow import WorkflowParams
from qanalysis.schema.results.common import Result
from qanalysis.schema.results.workflow import Stage
from qanalysis.ui.home.nodes import nodes
from qanalysis.ui.home.state import Standing, standing
from tests.schema.instances import INSTANCES
from tests.ui.visit import opened, until_done

LOSES = INSTANCES["ptq"].rows[0].relative  # -0.82 %


def at(results: dict[Stage, Result], refused: dict[Stage, str] | None = None, **settings: object) -> Standing:
    """Where a model stands of which so much is known."""
    params = WorkflowParams(**settings)
    known = Known(results=results, refused=refused or {})
    step: Step | Ending | None = follow(params, known)
    ending = step if isinstance(step, Ending) else None
    if ending is not None:
        step = deploy(params, known, ending.best)
    return Standing(params, known, step if isinstance(step, Step) else None, ending)


def states(standing_: Standing) -> dict[str, str]:
    return {node.key: node.state for node in nodes(standing_)}


def answers(standing_: Standing) -> dict[str, str]:
    return {node.key: node.answer for node in nodes(standing_) if node.question}


BASELINE = {"baseline": INSTANCES["evaluate"]}
PTQ = {**BASELINE, "ptq": INSTANCES["ptq"]}


def test_nothing_is_known_at_first():
    assert states(at({})) == {
        "baseline": "next", "ptq": "waiting", "partial": "waiting", "qat": "waiting", "deploy": "waiting",
    }  # fmt: skip


def test_ptq_that_is_enough_leaves_the_rest_out():
    given = at(PTQ, target=1.0)
    assert states(given) == {
        "baseline": "done", "ptq": "done", "partial": "not needed", "qat": "not needed", "deploy": "next",
    }  # fmt: skip
    assert answers(given) == {"ptq": "yes"}
    ptq = nodes(given)[1]
    assert ptq.value == f"{INSTANCES['ptq'].rows[0].accuracy:.2f} %"
    assert f"{LOSES:+.2f} % relative" in ptq.lines


def test_ptq_that_is_not_enough_leads_to_partial_quantization():
    given = at(PTQ, target=0.5)
    assert states(given)["partial"] == "next"
    assert answers(given)["ptq"] == "no"
    assert given.step.analysis == "sensitivity"
    assert given.step.params.calibration == INSTANCES["ptq"].best


def test_without_layers_to_skip_qat_comes_next():
    given = at(PTQ, target=0.5, most_skipped=0)
    assert states(given)["partial"] == "not needed"
    assert states(given)["qat"] == "next"


def test_what_was_refused_says_why_and_the_best_is_taken():
    reasons: dict[Stage, str] = {"sensitivity": "no time", "qat": "no training samples"}
    given = at(PTQ, reasons, target=0.5)
    assert given.ending.end == "none"
    assert given.ending.best.way == "ptq"
    qat = next(node for node in nodes(given) if node.key == "qat")
    assert (qat.state, qat.lines) == ("refused", ("no training samples",))
    assert "no training samples" in given.ending.reason


def test_bits_that_no_engine_multiplies_are_not_deployed():
    given = at(PTQ, target=1.0, bits=4)
    assert given.step is None
    assert states(given)["deploy"] == "refused"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path))
    return Store(tmp_path)


def test_a_stage_becomes_a_job_that_its_page_finds(store, tmp_path):
    folder = tmp_path / "stage"
    (folder / "measured").mkdir(parents=True)
    result = INSTANCES["ptq"]
    result.save(folder / "result.json")
    (folder / "extra.bin").write_bytes(b"1")
    job_id = adopt(store, "ptq", result.params, folder, 12.0, note="stage of workflow-1")
    job = store.latest("ptq", result.params)
    assert (job.id, job.state, job.note) == (job_id, "finished", "stage of workflow-1")
    assert job.seconds == pytest.approx(12.0, abs=0.1)
    assert store.result(job) == result
    assert found(store, "ptq", result.params) == store.folder(job_id)
    assert set(store.files(job_id)) == {"extra.bin", "result.json"}
    store.delete(job_id)
    assert (folder / "extra.bin").read_bytes() == b"1"


def test_the_chart_follows_the_results_in_the_store(store, tmp_path):
    params = WorkflowParams(target=1.0)
    empty = standing(store, params)
    assert empty.step.stage == "baseline"
    for count, result in enumerate((INSTANCES["evaluate"], INSTANCES["ptq"])):
        step = standing(store, params).step
        folder = tmp_path / f"stage{count}"
        folder.mkdir()
        result.save(folder / "result.json")
        adopt(store, step.analysis, step.params, folder, 1.0)
    given = standing(store, params)
    assert given.ending.end == "ptq"
    assert given.step.stage == "benchmark"
    assert set(given.jobs) == {"baseline", "ptq"}


def test_a_first_visitor_is_offered_the_tour_and_can_leave(app):
    opened(app, "0_Home.py", model="sample:resnet20@none")
    app.button(key="tour-start").click().run()
    assert any("1 of 4" in text.value for text in app.markdown)
    app.button(key="tour-end").click().run()
    assert not any(button.key in ("tour-start", "tour-end") for button in app.button)
    assert not app.exception


def test_home_offers_to_run_everything(app):
    opened(app, "0_Home.py", model="sample:resnet20@none")
    assert not app.exception
    until_done(app)
    assert any(heading.value == "The workflow" for heading in app.header)
