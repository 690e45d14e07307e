"""Plans that integer kernels compute, and the sentence about those that they do not."""

import pytest

from qanalysis.schema.executable import refusal
from qanalysis.schema.plan import Override, Plan

SITES = ("conv1", "fc")


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan().skipping("fc"),
        Plan(weight_granularity="per-tensor"),
        Plan(weight_bits=4, activation_bits=4).skipping(*SITES),
        Plan(overrides={"fc": Override(weight_bits=4)}).skipping("fc"),
    ],
    ids=["all", "partial", "per-tensor", "nothing left in 4 bits", "the 4-bit site is skipped"],
)
def test_what_is_left_in_integers_is_what_counts(plan):
    assert refusal(plan, SITES) == ""


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan(activation_bits=4), "activations of site 'conv1' have 4 bits"),
        (Plan(overrides={"fc": Override(weight_bits=6)}), "weights of site 'fc' have 6 bits"),
        (Plan(activation_scheme="affine"), "activations of site 'conv1' have a zero point"),
        (Plan(weight_scheme="affine"), "weights of site 'conv1' have a zero point"),
        (Plan(parts="weights"), "quantizes weights only"),
    ],
)
def test_what_no_engine_computes_is_named_with_its_site(plan, sentence):
    assert sentence in refusal(plan, SITES)
