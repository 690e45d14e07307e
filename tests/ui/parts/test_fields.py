"""What the plan in force decides is shown on every form, and cannot be set there."""

import pytest

from qanalysis.schema import saved_plan
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from tests.ui.visit import opened

PLAN = Plan(weight_bits=4, activation_bits=5, activation_scheme="affine", weight_granularity="per-tensor")


@pytest.fixture
def planned(app):
    model = "sample:resnet20@none"
    saved_plan.save(SavedPlan(name="mine", model=model, sites=("conv1",), calibration="entropy", plan=PLAN))
    app.query_params["plan"] = "mine"
    app.query_params["model"] = model
    return app


@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("1_Calibration.py", {"Bits": 5, "Scheme": "affine"}),
        (
            "2_PTQ.py",
            {
                "Bits of weights": 4,
                "Bits of activations": 5,
                "Activation scheme": "affine",
                "Weight ranges": "per-tensor",
            },
        ),
        (
            "3_Sensitivity.py",
            {
                "Bits of weights": 4,
                "Bits of activations": 5,
                "Activation scheme": "affine",
                "Calibration": "entropy",
            },
        ),
        ("4_QAT.py", {"Bits of weights": 4, "Bits of activations": 5}),
        ("5_Benchmark.py", {"Calibration": "entropy"}),
    ],
)
def test_shows_the_plan(planned, page, fields):
    opened(planned, page)
    assert not planned.exception
    found = {field.label: field for field in (*planned.slider, *planned.selectbox)}
    assert {label: found[label].value for label in fields} == fields
    assert all(found[label].disabled for label in fields)
