"""Plan: full, partial and one-at-a-time quantization as values of one type."""

import pytest
from pydantic import ValidationError

from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.plan import Override, Plan

SITES = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "fc"]


def quantized(plan):
    return [site for site in SITES if plan.quantizes(site)]


def test_everything_is_quantized_unless_said_otherwise():
    assert quantized(Plan()) == SITES


def test_skipping_adds_to_what_is_skipped():
    assert quantized(Plan().skipping("conv1").skipping("fc")) == ["layer1.0.conv1", "layer1.0.conv2"]


def test_names_match_exactly_not_by_part():
    assert quantized(Plan().skipping("conv1")) == SITES[1:]
    assert quantized(Plan().quantizing_only("conv1")) == ["conv1"]


def test_skipping_wins_over_only():
    assert quantized(Plan().quantizing_only("conv1", "fc").skipping("fc")) == ["conv1"]


def test_only_of_nothing_is_the_float_model():
    assert quantized(Plan().quantizing_only()) == []


def test_a_plan_is_not_changed_by_deriving_from_it():
    plan = Plan()
    plan.skipping("conv1")
    assert plan == Plan()
    with pytest.raises(ValidationError, match="frozen"):
        plan.weight_bits = 4


def test_defaults_are_those_the_paper_recommends():
    assert Plan().weight_spec("fc", 0) == QuantizerSpec(8, "scale", 0)
    assert Plan().activation_spec("fc") == QuantizerSpec(8, "scale", None)


@pytest.mark.parametrize(("granularity", "axis", "expected"), [("per-channel", 1, 1), ("per-tensor", 1, None)])
def test_granularity_decides_the_channel_axis(granularity, axis, expected):
    assert Plan(weight_granularity=granularity).weight_spec("fc", axis).channel_axis == expected


def test_a_weight_without_output_channels_is_quantized_per_tensor():
    assert Plan().weight_spec("fc", None) == QuantizerSpec(8, "scale", None)


@pytest.mark.parametrize(("parts", "weight", "activation"), [("both", 1, 1), ("weights", 1, 0), ("activations", 0, 1)])
def test_parts(parts, weight, activation):
    plan = Plan(parts=parts)
    assert (plan.weight_spec("fc", 0) is not None, plan.activation_spec("fc") is not None) == (weight, activation)


def test_a_skipped_site_has_no_specs():
    plan = Plan().skipping("fc")
    assert plan.weight_spec("fc", 0) is plan.activation_spec("fc") is None


def test_overrides_change_the_bits_of_one_site():
    plan = Plan(weight_bits=6, overrides={"fc": Override(weight_bits=4, activation_bits=5)})
    assert plan.weight_spec("fc", 0).bits == 4
    assert plan.activation_spec("fc").bits == 5
    assert plan.weight_spec("conv1", 0).bits == 6
    assert plan.activation_spec("conv1").bits == 8


@pytest.mark.parametrize("field", ["weight_bits", "activation_bits"])
@pytest.mark.parametrize("bits", [1, 9])
def test_bits_out_of_domain_are_refused(field, bits):
    with pytest.raises(ValidationError, match=field):
        Plan(**{field: bits})


def test_check_accepts_the_names_of_the_model():
    assert Plan(skip=frozenset(SITES), only=frozenset(SITES), overrides={"fc": Override()}).check(SITES) is None


@pytest.mark.parametrize(
    "plan",
    [
        Plan().skipping("layer1.0.conv3"),
        Plan().quantizing_only("layer1.0.conv3"),
        Plan(overrides={"layer1.0.conv3": Override()}),
    ],
    ids=["skip", "only", "overrides"],
)
def test_check_names_the_unknown_site_and_the_closest(plan):
    with pytest.raises(
        ValueError, match=r"^The model has no site named 'layer1\.0\.conv3'; names must match exactly\. Did"
    ):
        plan.check(SITES)
    with pytest.raises(ValueError, match=r"Did you mean 'layer1\.0\.conv[12]'\?$"):
        plan.check(SITES)


def test_check_gives_no_hint_where_nothing_is_close():
    with pytest.raises(ValueError, match=r"no site named 'xyz'; names must match exactly\.$"):
        Plan().skipping("xyz").check(SITES)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(weight_bits=4, weight_granularity="per-tensor", parts="weights", skip=frozenset(["a", "b"])),
        Plan(only=frozenset(["a"]), overrides={"a": Override(weight_bits=2, calibration="percentile:99.9")}),
        Plan(only=frozenset()),
    ],
    ids=["default", "skip", "only", "only nothing"],
)
def test_json_round_trip(plan, tmp_path):
    path = tmp_path / "plan.json"
    plan.save(path)
    assert Plan.load(path) == plan


class TestEditing:
    def test_toggling_twice_changes_nothing(self):
        assert Plan().toggling("fc").skip == {"fc"}
        assert Plan().toggling("fc").toggling("fc") == Plan()

    def test_restoring_leaves_other_skipped_sites(self):
        assert Plan().skipping("a", "b").restoring("a", "c").skip == {"b"}

    def test_an_override_is_set_replaced_and_taken_back(self):
        plan = Plan().overriding("a", Override(weight_bits=4)).overriding("b", Override(calibration="entropy"))
        assert set(plan.overrides) == {"a", "b"}
        assert plan.overriding("a", Override(weight_bits=8)).overrides["a"].weight_bits == 8
        assert set(plan.overriding("a", None).overrides) == {"b"}
        assert set(plan.overriding("a", Override()).overrides) == {"b"}

    def test_equal_plans_have_equal_digests_whatever_the_order_of_their_making(self):
        one = (
            Plan().skipping("a", "b").overriding("x", Override(weight_bits=4)).overriding("y", Override(weight_bits=6))
        )
        other = Plan().overriding("y", Override(weight_bits=6)).skipping("b").overriding("x", Override(weight_bits=4))
        assert other.skipping("a").digest == one.digest
        assert other.digest != one.digest

    def test_what_is_done_at_a_site_is_equal_only_if_everything_is(self):
        plan = Plan(weight_bits=4, activation_bits=4)
        assert plan.at("a") == plan.skipping("b").at("a")
        assert plan.at("a") != plan.skipping("a").at("a")
        assert plan.at("a") != plan.overriding("a", Override(calibration="entropy")).at("a")
        assert plan.at("a") != plan.overriding("a", Override(activation_bits=8)).at("a")
        skipped = plan.skipping("a")
        assert skipped.at("a") == skipped.overriding("a", Override(calibration="entropy")).at("a")
