"""Plans with a name: kept, found, refused where they do not fit."""

import pytest
from pydantic import ValidationError

from qanalysis import cli
from qanalysis.schema import saved_plan
from qanalysis.schema.params.accuracy import PlanParams, PtqParams
from qanalysis.schema.plan import Override, Plan
from qanalysis.schema.saved_plan import SavedPlan

SITES = ("conv1", "layer1.0.conv1", "fc")
PLAN = Plan(weight_bits=4, skip=frozenset({"fc"}), overrides={"conv1": Override(activation_bits=6)})


def plan(**changes: object) -> SavedPlan:
    return SavedPlan(
        **{"name": "mine", "model": "sample:n", "sites": SITES, "calibration": "max", "plan": PLAN, **changes}
    )


def test_a_plan_is_found_again_by_name_and_by_file(tmp_path):
    path = saved_plan.save(plan())
    assert saved_plan.find("mine") == plan()
    assert saved_plan.find(str(path)) == plan()
    assert saved_plan.saved() == ("mine",)
    saved_plan.delete("mine")
    assert saved_plan.saved() == ()


def test_parameters_take_the_plan_itself_so_that_a_later_change_of_the_file_does_not_matter():
    saved_plan.save(plan())
    params = PlanParams(plan="mine", skip=("conv1",))
    saved_plan.delete("mine")
    assert params.effective_plan() == PLAN.skipping("conv1")
    assert params.effective_calibration == "max"
    assert PlanParams.model_validate_json(params.model_dump_json()) == params


def test_an_unknown_name_lists_the_nearest():
    saved_plan.save(plan(name="first try"))
    with pytest.raises(ValidationError, match=r"no plan 'first tri', neither saved nor a file\. Near to it: first try"):
        PtqParams(plan="first tri")


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"name": "x"}')
    with pytest.raises(ValueError, match="is not a SavedPlan: model"):
        saved_plan.find(str(path))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "a\nb"])
def test_names_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(ValidationError, match="letters, digits"):
        plan(name=name)


def test_a_plan_fits_the_model_with_its_sites():
    plan().check(list(SITES))


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (
            ["conv1", "layer1.0.conv2", "fc"],
            r"1 of its sites are not .*, first 'layer1.0.conv1' \(the nearest",
        ),
        (["conv1", "layer1.0.conv1", "fc", "fc2"], "1 of this model's sites are not in it, first 'fc2'"),
        (["head"], "3 of its sites .* and 1 of this model's"),
    ],
)
def test_a_plan_of_another_model_is_refused_with_the_difference(sites, message):
    with pytest.raises(ValueError, match=message):
        plan().check(sites)


def test_a_plan_whose_own_sites_are_wrong_is_refused():
    with pytest.raises(ValueError, match=r"skips or sets 'fc1', which is none of its 3 sites"):
        plan(plan=Plan(skip=frozenset({"fc1"})))


class TestCommand:
    def test_save_from_a_file_list_and_delete(self, tmp_path, capsys):
        plan().save(tmp_path / "p.json")
        assert cli.main(["plans", "save", "other", str(tmp_path / "p.json")]) == 0
        assert cli.main(["plans", "list"]) == 0
        assert "1 of 3" in capsys.readouterr().out
        assert cli.main(["plans", "show", "other"]) == 0
        assert SavedPlan.model_validate_json(capsys.readouterr().out) == plan(name="other")
        assert cli.main(["plans", "delete", "other"]) == 0
        assert cli.main(["plans", "delete", "other"]) == 1
        assert "There is no saved plan 'other'" in capsys.readouterr().err

    def test_a_result_without_a_plan_is_refused(self, tmp_path, capsys):
        (tmp_path / "r.json").write_text('{"analysis": "ptq"}')
        assert cli.main(["plans", "save", "x", str(tmp_path / "r.json")]) == 1
        assert "PtqResult" in capsys.readouterr().err
        (tmp_path / "broken.json").write_text("{")
        assert cli.main(["plans", "save", "x", str(tmp_path / "broken.json")]) == 1
        assert "is not JSON" in capsys.readouterr().err
