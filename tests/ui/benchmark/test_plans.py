"""The choice of further plans on the benchmark page."""

from qanalysis.schema import saved_plan
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from tests.ui.visit import opened


def test_a_damaged_plan_hides_no_other(app):
    model = "sample:resnet20@none"
    for name in ("a", "c"):
        saved_plan.save(SavedPlan(name=name, model=model, sites=("conv1",), plan=Plan()))
    (saved_plan.plans_folder() / "b.json").write_text("{")
    opened(app, "5_Benchmark.py", model=model)
    assert not app.exception
    assert app.multiselect(key="bench-plans").options == ["a", "c"]
