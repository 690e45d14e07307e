"""A plan made by hand in numbers: layers that have no range count as floating point whatever the plan says."""

from streamlit.testing.v1 import AppTest

from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import Trial
from qanalysis.ui.sensitivity.trial import Pinned, pin_table


def trial(*skip: str) -> Trial:
    return Trial(
        accuracy=90.0,
        relative=-1.0,
        samples=100,
        interval=(-2.0, 0.0),
        divergence=0.1,
        divergence_interval=(0.0, 0.2),
        sqnr=20.0,
        plan=Plan().skipping(*skip),
        digest="d",
        int8_mac_share=90.0,
        model_bytes=1000,
        computed_from=None,
        milliseconds=1.0,
    )


def test_the_layers_in_integers_are_those_that_neither_plan_nor_range_leaves_out():
    def page():
        from qanalysis.ui.sensitivity.trial import numbers

        numbers(None, 91.0, 89.0, 4000, 22, frozenset({"conv1", "dead"}))

    app = AppTest.from_function(page).run()
    assert {metric.label: metric.delta for metric in app.metric}["Work in integers"] == "20 of 22 layers"


def test_pinned_plans_count_them_too_and_no_layer_twice():
    pinned = [Pinned("a", trial()), Pinned("b", trial("conv1")), Pinned("c", trial("conv1", "dead"))]
    assert list(pin_table(pinned, 22, frozenset({"dead"}))["float layers"]) == [1, 2, 2]
