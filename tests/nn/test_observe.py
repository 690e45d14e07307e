"""Observation: the same counts however the data arrives, every tensor once, and nothing changed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from qanalysis.models.cifar.resnet import resnet20
from qanalysis.nn.observe import histogram, observe
from qanalysis.numerics.calibrate import Max, Percentile
from qanalysis.numerics.histogram import BINS, Histogram
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.site import TensorId
from tests import reference

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestHistogram:
    """The tensor's own counting against the array's."""

    @given(hnp.arrays(np.float32, st.integers(1, 60), elements=float32s))
    def test_equals_numpys_for_every_float(self, values):
        assert histogram(torch.from_numpy(values)) == Histogram.of(values)

    @pytest.mark.parametrize("signed", [True, False], ids=["signed", "relu"])
    @pytest.mark.parametrize("threads", [1, 3], ids="{} threads".format)
    @pytest.mark.parametrize("size", [1, 65_535, 65_536, 2**20, 2**20 + 1, 2**20 + 70_001], ids="{} values".format)
    def test_equals_numpys_for_sizes_that_are_counted_in_parts(self, size, threads, signed):
        x = random(size)
        x = x if signed else x.relu()
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            assert histogram(x) == Histogram.of(x.numpy())
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)

    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x.to(memory_format=torch.channels_last),
            lambda x: x.transpose(1, 3),
            lambda x: x[:, ::2, 1:, :],
            lambda x: x[0, 0, :1].expand(4, 7, 10),
            lambda x: x.flip(0)[..., 0],
            lambda x: x[0, 0, 0, 0],
        ],
        ids=["channels_last", "transposed", "strided", "expanded", "column", "0-d"],
    )
    def test_equals_numpys_for_any_layout(self, view):
        x = view(random(4, 6, 8, 10))
        assert histogram(x) == Histogram.of(x.numpy())

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
    def test_equals_numpys_for_other_types(self, dtype):
        x = random(10_000).mul(30).to(dtype)
        assert histogram(x) == Histogram.of(x.double().numpy())

    def test_negative_values_on_edges(self):
        seen = histogram(torch.arange(-4095.0, 4096.0))
        assert seen.width == 1
        assert seen.counts.tolist() == [0] + [1] * (2 * BINS - 1)

    def test_tiny_negative_values_beside_a_huge_one_keep_their_sign(self):
        counts = histogram(torch.tensor([-1e-30, -1e-45, 1e30, 0.0])).counts
        assert (counts[BINS - 1], counts[BINS]) == (2, 1)

    def test_the_sign_is_kept_also_where_tables_are_used_by_turns(self):
        x = torch.full((70_000,), -1e-30)
        x[0] = 1e30
        assert histogram(x) == Histogram.of(x.numpy())

    def test_all_zeros(self):
        assert histogram(torch.zeros(3, 4)) == Histogram.of(np.zeros(12))

    def test_counts_beyond_what_a_float32_can_count(self):
        ones = histogram(torch.ones(2**20))
        total = ones
        for _ in range(5):  # 2^25 equal values; float32 counts stop at 2^24
            total = total.merge(total)
        assert total.counts.max() == total.total == 2**25

    def test_the_tensor_is_not_written_to(self):
        x = random(1000)
        before = x.clone()
        histogram(x)
        assert torch.equal(x, before)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=str)
    def test_values_that_are_not_finite_are_refused_with_name_and_number(self, bad):
        x = torch.zeros(10)
        x[3:5] = bad
        with pytest.raises(ValueError, match=r"^fc1: activations must be finite, but 2 of 10 are NaN or infinite$"):
            histogram(x, "fc1")

    def test_an_empty_tensor_is_refused_with_its_name(self):
        with pytest.raises(ValueError, match=r"^fc1: a histogram needs at least one value, but the tensor is empty$"):
            histogram(torch.empty(0, 3), "fc1")


class Exact(nn.Module):
    """A network of small integers, in which float32 makes no rounding error in whatever order it adds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.fc1, self.fc2 = nn.Linear(16, 8), nn.Linear(16, 8)
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters()):
                parameter.copy_(random(*parameter.shape, seed=i).mul(2).round())

    def forward(self, x):
        x = self.conv(x).relu().flatten(1)
        return self.fc1(x) + self.fc2(x)


DATA = random(70, 2, 4, 4).mul(3).round()


def observed(data, batch_size):
    return observe(Exact().eval(), data.split(batch_size)).histograms


class TestObserve:
    @pytest.mark.parametrize("batch_size", [1, 7, 64, 70])
    def test_the_batch_size_does_not_matter(self, batch_size):
        assert observed(DATA, batch_size) == observed(DATA, 35)

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_does_not_matter(self, seed):
        order = torch.randperm(len(DATA), generator=torch.Generator().manual_seed(seed))
        assert observed(DATA[order], 7) == observed(DATA, 7)

    def test_the_first_input_of_a_real_network_does_not_depend_on_the_batch_size(self):
        data, model = random(66, 3, 8, 8), resnet20().eval()
        seen = [observe(model, data.split(size)).histograms[TensorId("conv1", "input")] for size in (1, 7, 64)]
        assert seen[0] == seen[1] == seen[2] == Histogram.of(data.numpy())

    def test_every_value_is_seen_once(self):
        seen = observe(Exact().eval(), DATA.split(16))
        assert seen.samples == 70
        assert {str(tensor): h.total for tensor, h in seen.histograms.items()} == {
            "conv": 70 * 2 * 16,
            "fc1": 70 * 16,
            "fc2": 70 * 16,
        }

    def test_the_model_runs_once_per_batch(self):
        model, calls = Exact().eval(), []
        model.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
        observe(model, DATA.split(32))
        assert calls == [32, 32, 6]

    def test_an_iterator_of_batches_is_enough(self):
        assert observe(Exact().eval(), iter(DATA.split(32))).samples == 70

    def test_ranges_are_those_of_the_tensors_themselves(self):
        model, inputs = Exact().eval(), []
        model.fc1.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach().clone()))
        seen = observe(model, DATA.split(16)).histograms[TensorId("fc1", "input")]
        values = torch.cat(inputs).numpy()
        assert Max()(seen, QuantizerSpec()).alpha == np.abs(values).max()
        for percent in (50, 99, 99.9):
            exact = reference.percentile(values, percent)
            assert exact <= Percentile(percent)(seen, QuantizerSpec()).alpha <= exact + 0.002 * np.abs(values).max()

    def test_both_operands_of_a_product_are_seen(self):
        class Product(nn.Module):
            def forward(self, x):
                return x @ (2 * x.mT)

        x = random(3, 4, 5)
        seen = observe(Product(), [x]).histograms
        assert seen[TensorId("model:matmul_0", "left")] == Histogram.of(x.numpy())
        assert seen[TensorId("model:matmul_0", "right")] == Histogram.of(2 * x.numpy())

    def test_weights_are_not_observed(self):
        assert {tensor.role for tensor in observed(DATA, 70)} == {"input"}

    def test_a_module_that_is_called_twice_has_one_histogram_of_both_inputs(self):
        shared = nn.Linear(2, 2, bias=False)
        shared.weight.data.copy_(torch.eye(2) * 3)
        seen = observe(nn.Sequential(shared, shared).eval(), [torch.tensor([[1.0, -2.0]])]).histograms
        assert seen == {TensorId("0", "input"): Histogram.of(np.array([1.0, -2.0, 3.0, -6.0]))}

    def test_progress_tells_the_samples_so_far(self):
        told = []
        observe(Exact().eval(), DATA.split(32), told.append)
        assert told == [32, 64, 70]

    def test_no_data_is_refused(self):
        with pytest.raises(ValueError, match=r"^calibration needs at least one sample, but got none$"):
            observe(Exact().eval(), [])

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
    def test_an_activation_that_is_not_finite_names_its_site(self, bad):
        model = Exact().eval()
        model.conv.bias.data[0] = bad
        with pytest.raises(ValueError, match=r"^fc1: activations must be finite"):
            observe(model, [DATA[:2]])

    def test_nothing_of_the_model_changes(self):
        model = resnet20().train(False)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        observe(model, [random(2, 3, 8, 8)])
        after = model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not model.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())

    def test_works_in_inference_mode(self):
        with torch.inference_mode():
            inside = observe(Exact().eval(), DATA.split(16)).histograms
        assert inside == observed(DATA, 16)


class TestATensorThatFeedsTwoSites:
    class Two(nn.Module):
        def __init__(self, between):
            super().__init__()
            self.a, self.b, self.between = nn.Linear(4, 4), nn.Linear(4, 4), between

        def forward(self, x):
            x = x + 1
            first = self.a(x)
            return first + self.b(self.between(x))

    def seen(self, between):
        x = random(5, 4)
        found = observe(self.Two(between).eval(), [x]).histograms
        return x + 1, found[TensorId("a", "input")], found[TensorId("b", "input")]

    def test_unchanged(self):
        x, a, b = self.seen(lambda x: x)
        assert a == b == Histogram.of(x.numpy())

    @pytest.mark.parametrize(
        "change",
        [lambda x: x.relu_(), lambda x: x.mul_(3), lambda x: x.view(-1).neg_().view_as(x)],
        ids=["relu_", "mul_", "view"],
    )
    def test_changed_in_place_between_them(self, change):
        x, a, b = self.seen(change)
        assert a == Histogram.of(x.numpy())
        assert b == Histogram.of(change(x.clone()).numpy())

    def test_a_new_tensor_at_the_address_of_an_old_one(self):
        class Chain(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(20))

            def forward(self, x):
                for layer in self.layers:
                    x = layer(x)  # the input is freed, and its memory used for a later one
                return x

        model, inputs = Chain().eval(), []
        for layer in model.layers:
            layer.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach().numpy().copy()))
        found = observe(model, [random(8, 64)]).histograms
        assert list(found.values()) == [Histogram.of(x) for x in inputs]
