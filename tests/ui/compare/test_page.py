"""The comparison page in Streamlit's test harness, on results made by hand."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import qanalysis.ui.main
from qanalysis.insight.headline import answers_params, headline
from qanalysis.jobs import queue
from qanalysis.jobs.store import RESULT, Store
from qanalysis.schema.params.accuracy import PtqParams
from qanalysis.schema.results.answers import Answers, AnswersResult
from tests.figures import factories
from tests.ui.visit import opened

PAGE = "8_Compare.py"
TRUTH = (0, 1, 1)


@pytest.fixture
def app(store):
    return AppTest.from_file(qanalysis.ui.main.__file__, default_timeout=60)


def finished(store: Store, result) -> str:
    job_id = store.create(result.analysis, result.params)
    result.save(store.folder(job_id) / RESULT)
    queue.end(store, job_id, "finished", headline=headline(result).line)
    return job_id


@pytest.fixture
def ptq(store) -> list[str]:
    """Two runs of PTQ, at 8 and 4 bits."""
    runs = [
        factories.ptq(accuracies=accuracies).model_copy(
            update={"params": PtqParams(bits=bits), "ranges": {"max": {"stem": bits / 2}}, "best": "max"}
        )
        for bits, accuracies in ((8, (75.9,)), (4, (60.0,)))
    ]
    return [finished(store, run) for run in runs]


def answered(store: Store, job_id: str, *classes: int) -> str:
    """The answers of a run, with a picture of the last sample."""
    result = store.result(store.job(job_id))
    answers = AnswersResult(
        **factories.COMMON,
        params=answers_params(result),
        metric="accuracy",
        labels=TRUTH,
        fp32=Answers(classes=TRUTH, confidence=(0.9, 0.9, 0.6)),
        quantized={"max": Answers(classes=classes, confidence=(0.5,) * len(classes))},
        images="images.npz",
        pictured=(2,),
    )
    found = finished(store, answers)
    np.savez_compressed(store.folder(found) / "images.npz", images=np.zeros((1, 32, 32, 3), np.uint8))
    return found


def words(app: AppTest) -> str:
    parts = [*app.markdown, *app.info, *app.warning, *app.caption, *app.success]
    return "\n".join(str(part.value) for part in parts)


def test_an_empty_page_says_where_to_start(app):
    opened(app, PAGE)
    assert not app.exception
    assert "Nothing has been measured yet" in app.info[0].value


def test_the_two_newest_runs_are_compared_the_older_one_first(app, ptq):
    opened(app, PAGE)
    assert not app.exception
    assert app.multiselect(key="compared-runs").value == ptq
    numbers, differing = (frame.value for frame in app.dataframe)
    assert list(numbers["run"]) == ["A · ptq resnet20, 8/8 bits", "B · ptq resnet20, 4/4 bits"]
    assert list(numbers["accuracy %"]) == [75.9, 60.0]
    assert list(differing["setting"]) == ["weight bits", "activation bits"]
    assert app.query_params["runs"] == ",".join(ptq)


def test_the_address_chooses_the_runs_and_one_is_not_enough(app, ptq):
    opened(app, PAGE)
    app.multiselect(key="compared-runs").set_value(ptq[:1]).run()
    assert "at least two" in words(app)
    assert not app.exception


def test_answers_are_asked_for_with_one_button(app, ptq, store):
    opened(app, PAGE)
    app.button(key="start-answers").click().run()
    assert not app.exception
    jobs = [job for job in store.jobs() if job.analysis == "answers"]
    assert [job.params.bits for job in jobs] == [4, 8]
    assert len(app.get("progress")) == 2


def test_images_that_changed_are_shown_with_both_answers(app, ptq, store):
    answered(store, ptq[0], 0, 1, 1)
    answered(store, ptq[1], 0, 1, 0)
    opened(app, PAGE)
    assert not app.exception
    assert "same answer to all 3 samples" in words(app)
    app.selectbox(key="answers-after").select("B · ptq resnet20, 4/4 bits").run()
    assert not app.exception
    (gallery,) = [body for block in app.get("html") if "<figure>" in (body := block.proto.body)]
    assert "<b>class 1</b><br>class 1 60 % →<br>class 0 50 %" in gallery
    assert gallery.count("<figure>") == gallery.count("data:image/png") == 1
    assert "alt='Image 2, class 1'" in gallery


def test_answers_to_other_images_are_not_compared(app, ptq, store):
    answered(store, ptq[0], 0, 1, 1)
    other = store.result(store.job(answered(store, ptq[1], 0, 1, 0)))
    short = other.model_copy(
        update={
            "labels": TRUTH[:2],
            "fp32": Answers(classes=TRUTH[:2], confidence=(0.9, 0.9)),
            "quantized": {"max": Answers(classes=(0, 0), confidence=(0.9, 0.9))},
        }
    )
    short.save(store.folder(store.latest("answers", short.params).id) / RESULT)
    opened(app, PAGE)
    app.selectbox(key="answers-after").select("B · ptq resnet20, 4/4 bits").run()
    assert not app.exception
    assert "same samples" in words(app)


def test_a_result_that_is_gone_is_a_sentence(app, ptq, store):
    (store.folder(ptq[0]) / RESULT).unlink()
    opened(app, PAGE)
    assert not app.exception
    assert "is gone" in words(app)
    assert "at least two" in words(app)


def test_a_failed_question_can_be_asked_again(app, ptq, store):
    result = store.result(store.job(ptq[0]))
    job = store.create("answers", answers_params(result))
    queue.end(store, job, "failed", error="Out of memory.")
    opened(app, PAGE)
    assert not app.exception
    assert "Out of memory." in app.error[0].value
    assert app.button(key=f"retry-{job}")
