"""Plans made by hand: edits of the table, undo, and what the URL remembers."""

from types import SimpleNamespace

import pytest

from qanalysis.schema.plan import Override, Plan
from qanalysis.ui.sensitivity import drafts as module
from qanalysis.ui.sensitivity.drafts import Drafts, drafts, edited

SITES = ["conv1", "layer1.0.conv1", "fc"]


@pytest.fixture
def streamlit(monkeypatch):
    """The two mappings of Streamlit that drafts use."""

    fake = SimpleNamespace(session_state={}, query_params={})
    monkeypatch.setattr(module, "st", fake)
    return fake


def test_undo_and_redo_go_through_what_was_made(streamlit):
    made = Drafts([Plan()])
    made.make(made.plan.skipping("fc"))
    made.make(made.plan.skipping("conv1"))
    made.undo()
    assert made.plan.skip == {"fc"}
    made.undo()
    made.undo()
    assert made.plan == Plan()
    made.redo()
    assert made.plan.skip == {"fc"}


def test_a_new_plan_after_an_undo_forgets_what_was_undone(streamlit):
    made = Drafts([Plan()])
    made.make(Plan().skipping("fc"))
    made.undo()
    made.make(Plan().skipping("conv1"))
    made.redo()
    assert made.plan.skip == {"conv1"}
    assert len(made.history) == 2


def test_the_same_plan_again_is_no_step(streamlit):
    made = Drafts([Plan()])
    made.make(Plan())
    assert made.at == 0


def test_the_table_is_made_anew_only_for_changes_that_it_did_not_make(streamlit):
    made = Drafts([Plan()])
    made.make(Plan().skipping("fc"), in_table=True)
    assert (made.version, made.shown) == (0, Plan())
    made.make(Plan().skipping("fc", "conv1"))
    assert (made.version, made.shown) == (1, made.plan)


def test_edits_are_applied_to_the_plan_that_the_table_showed():
    edits = {0: {"float": True}, 2: {"weight bits": "4", "calibration": "entropy"}}
    plan = edited(Plan(), SITES, edits)
    assert plan.skip == {"conv1"}
    assert plan.overrides == {"fc": Override(weight_bits=4, calibration="entropy")}
    back = edited(plan, SITES, {0: {"float": False}, 2: {"weight bits": "plan", "calibration": "plan"}})
    assert back == Plan()


def test_an_edit_keeps_the_other_settings_of_its_layer():
    plan = Plan().overriding("fc", Override(weight_bits=4))
    assert edited(plan, SITES, {2: {"activation bits": "6"}}).overrides["fc"] == Override(
        weight_bits=4, activation_bits=6
    )


def test_the_choice_is_in_the_url_and_found_there_again(streamlit):
    made = drafts("a", Plan(), SITES)
    made.make(made.plan.skipping("fc", "conv1"))
    assert streamlit.query_params == {"float": "conv1,fc"}
    streamlit.session_state.clear()
    assert drafts("a", Plan(), SITES).plan.skip == {"conv1", "fc"}
    made.undo()
    assert streamlit.query_params == {}


def test_names_in_the_url_that_the_model_does_not_have_are_ignored(streamlit):
    streamlit.query_params["float"] = "conv1,nothing"
    found = drafts("a", Plan(), SITES)
    assert found.plan.skip == {"conv1"}
    found.undo()
    assert found.plan == Plan()


def test_another_analysis_has_drafts_of_its_own(streamlit):
    drafts("a", Plan(), SITES).make(Plan().skipping("fc"))
    streamlit.query_params.clear()
    assert drafts("b", Plan(), SITES).plan == Plan()
    assert drafts("a", Plan(), SITES).plan.skip == {"fc"}
