"""Recurrent layers written out as their products, against PyTorch's own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qanalysis.nn.learned import LearnedModel
from qanalysis.nn.observe import coverage, observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.replay import Replay
from qanalysis.nn.sites import SiteMode
from qanalysis.numerics.calibrate import Max
from qanalysis.numerics.histogram import Histogram
from qanalysis.numerics.spec import Range
from qanalysis.schema.errors import UserError
from qanalysis.schema.observations import RangeTable
from qanalysis.schema.plan import Plan
from qanalysis.schema.site import TensorId

T, N, WIDTH, H = 6, 4, 5, 3  # steps, batch, inputs, hidden
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
LENGTHS = {"sorted": [6, 5, 2, 2], "unsorted": [2, 6, 1, 5], "equal": [6, 6, 6, 6]}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def expanded(model, *args, **kwargs):
    """The model's output computed through its sites, and how often each was executed."""
    calls = {}

    def count(call):
        calls[call.site] = calls.get(call.site, 0) + 1
        return call.compute()

    with SiteMode(model, count):
        return model(*args, **kwargs), calls


def check(layer, *args):
    expected = layer(*args)
    actual, calls = expanded(layer, *args)
    same(actual, expected)
    assert calls
    return calls


def same(actual, expected):
    if isinstance(expected, PackedSequence):
        assert torch.equal(actual.batch_sizes, expected.batch_sizes)
        actual, expected = actual.data, expected.data
    if isinstance(expected, tuple):
        for one, other in zip(actual, expected, strict=True):
            same(one, other)
    else:
        torch.testing.assert_close(actual, expected, **CLOSE)


def state(kind, layers, hidden=H, batch=N):
    hx = random(layers, batch, hidden)
    return (hx, random(layers, batch, H, seed=9)) if kind == "LSTM" else hx


OPTIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "bidirectional": {"bidirectional": True},
    "three layers": {"num_layers": 3},
    "all": {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
class TestLayers:
    def make(self, kind, options):
        torch.manual_seed(0)
        layer = KINDS[kind](WIDTH, H, **options)
        directions = layer.num_layers * (2 if layer.bidirectional else 1)
        return layer, state(kind, directions)

    def test_padded(self, kind, options, given):
        layer, initial = self.make(kind, options)
        x = random(N, T, WIDTH) if layer.batch_first else random(T, N, WIDTH)
        calls = check(layer, x, *([initial] if given else []))
        assert sorted(calls.values()) == sorted([1, T] * (len(calls) // 2))

    @pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
    def test_packed(self, kind, options, given, lengths):
        layer, initial = self.make(kind, options)
        packed = pack_padded_sequence(random(N, T, WIDTH), lengths, batch_first=True, enforce_sorted=False)
        check(layer, packed, *([initial] if given else []))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}], ids=str)
@pytest.mark.parametrize("packed", [False, True])
def test_a_projection_of_the_hidden_state(options, packed):
    layer = nn.LSTM(WIDTH, H, proj_size=2, **options)
    directions = layer.num_layers * (2 if layer.bidirectional else 1)
    x = random(T, N, WIDTH)
    calls = check(layer, pack_padded_sequence(x, [6, 4, 4, 1]) if packed else x, state("LSTM", directions, 2))
    assert calls["model:weight_hr_l0"] == calls["model:weight_hh_l0"] == T


def test_the_rectified_layer():
    check(nn.RNN(WIDTH, H, num_layers=2, nonlinearity="relu"), random(T, N, WIDTH))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_batch(kind):
    check(KINDS[kind](WIDTH, H), random(T, WIDTH))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch(kind):
    check(KINDS[kind](WIDTH, H, bidirectional=True), random(T, 0, WIDTH))


@pytest.mark.parametrize("kind", KINDS)
def test_no_time_step_is_refused_as_pytorch_does(kind):
    layer = KINDS[kind](WIDTH, H)
    with pytest.raises(RuntimeError, match="larger than 0"):
        layer(random(0, N, WIDTH))
    with pytest.raises(RuntimeError, match="larger than 0"):
        expanded(layer, random(0, N, WIDTH))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_between_layers_draws_the_same_mask(kind, packed):
    layer = KINDS[kind](WIDTH, 16, num_layers=3, dropout=0.5, bidirectional=True)
    x = pack_padded_sequence(random(T, N, WIDTH), [6, 4, 4, 1]) if packed else random(T, N, WIDTH)
    torch.manual_seed(1)
    expected = layer(x)
    torch.manual_seed(1)
    same(expanded(layer, x)[0], expected)
    torch.manual_seed(2)
    other = layer(x)[0]
    drawn, first = (other.data, expected[0].data) if packed else (other, expected[0])
    assert not torch.allclose(drawn, first)  # the mask matters
    layer.eval()
    check(layer, x)


def test_a_function_called_by_keywords():
    layer = nn.GRU(WIDTH, H, batch_first=True)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(layer.parameters())

        def forward(self, x):
            options = {"num_layers": 1, "dropout": 0.0, "train": False, "bidirectional": False, "batch_first": True}
            hx = x.new_zeros(1, len(x), H)
            return torch.gru(input=x, hx=hx, params=list(self.weights), has_biases=True, **options)[0]

    x = random(N, T, WIDTH)
    actual, calls = expanded(Functional(), x)
    torch.testing.assert_close(actual, layer(x)[0], **CLOSE)
    assert calls == {"weights:0": 1, "weights:1": T}


CELLS = {
    "LSTMCell": (nn.LSTMCell, {}),
    "GRUCell": (nn.GRUCell, {}),
    "RNNCell": (nn.RNNCell, {}),
    "rectified RNNCell": (nn.RNNCell, {"nonlinearity": "relu"}),
}


@pytest.mark.parametrize(("kind", "options"), CELLS.values(), ids=CELLS.keys())
class TestCells:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_equal_pytorch(self, kind, options, bias):
        cell = kind(WIDTH, H, bias=bias, **options)
        hidden = random(N, H)
        given = (hidden, random(N, H, seed=1)) if kind is nn.LSTMCell else hidden
        assert check(cell, random(N, WIDTH)) == {"model:weight_ih": 1, "model:weight_hh": 1}
        check(cell, random(N, WIDTH), given)
        check(cell, random(WIDTH))

    def test_a_loop_is_one_site_for_each_weight(self, kind, options):
        class Loop(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = kind(WIDTH, H, **options)

            def forward(self, x):
                state = None
                for step in x.unbind(1):
                    state = self.cell(step, state)
                return state

        calls = check(Loop(), random(N, T, WIDTH))
        assert calls == {"cell:weight_ih": T, "cell:weight_hh": T}


class Tagger(nn.Module):
    """Packed sequences through a bidirectional network of two layers, then a tag for each step."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.embed = nn.Embedding(20, WIDTH)
        self.encoder = kind(WIDTH, H, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * H, 7)

    def forward(self, words):
        lengths = (words > 0).sum(1)
        packed = pack_padded_sequence(self.embed(words), lengths, batch_first=True, enforce_sorted=False)
        rows, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=words.shape[1])
        return self.head(rows)


def words(seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(1, 20, (N, T), generator=generator)
    for row, length in enumerate([3, 6, 1, 5]):
        found[row, length:] = 0
    return found


class TestSites:
    def test_names_kinds_and_shapes(self):
        sites = coverage(Tagger().eval(), words()).sites
        assert [site.name for site in sites] == [
            *(f"encoder:weight_{w}_l0{d}" for d in ("", "_reverse") for w in ("ih", "hh")),
            *(f"encoder:weight_{w}_l1{d}" for d in ("", "_reverse") for w in ("ih", "hh")),
            "head",
        ]
        assert {site.kind for site in sites} == {"linear"}
        assert sites[0].weight_shape == (4 * H, WIDTH)

    @pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
    def test_multiply_accumulates_of_all_time_steps_count(self, kind, gates):
        found = coverage(kind(WIDTH, H), random(T, N, WIDTH))
        per_sample = {site.name: site.macs for site in found.sites}
        # PyTorch's layers count the first axis, time, as samples unless the batch is first
        assert per_sample == {"model:weight_ih_l0": N * gates * H * WIDTH, "model:weight_hh_l0": N * gates * H * H}
        found = coverage(kind(WIDTH, H, batch_first=True), random(N, T, WIDTH))
        assert found.macs == T * gates * H * (WIDTH + H)
        assert found.not_covered == ()

    def test_packed_steps_count_what_they_compute(self):
        found = {site.name: site.macs for site in coverage(Tagger().eval(), words()).sites}
        steps = 3 + 6 + 1 + 5
        assert found["encoder:weight_ih_l0"] == steps * 4 * H * WIDTH // N
        assert found["encoder:weight_hh_l1_reverse"] == steps * 4 * H * H // N

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_histogram_over_all_time_steps(self, kind):
        layer = KINDS[kind](WIDTH, H, batch_first=True).eval()
        x, initial = random(N, T, WIDTH), state(kind, 1)
        outputs = layer(x, initial)[0].detach()
        first = initial[0] if kind == "LSTM" else initial
        hidden = torch.cat([first.transpose(0, 1), outputs[:, :-1]], 1)  # what each step starts from

        seen = observe(layer, [(x, initial)], call=lambda model, given: model(*given)).histograms
        histogram = seen[TensorId("model:weight_hh_l0", "input")]
        assert isinstance(histogram, Histogram)
        assert histogram.total == hidden.numel()
        assert histogram.maximum == pytest.approx(float(hidden.max()), rel=1e-6)
        assert histogram.minimum == pytest.approx(float(hidden.min()), rel=1e-6)
        assert seen[TensorId("model:weight_ih_l0", "input")].total == x.numel()

    def test_values_that_are_not_finite_are_told_of_where_they_arise(self):
        class Loop(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell, self.head = nn.RNNCell(WIDTH, H, nonlinearity="relu"), nn.Linear(H, 3)

            def forward(self, x):
                state = None
                for step in x.unbind(1):
                    state = self.cell(step, state)
                return self.head(state.repeat(4000, 1))

        x = random(N, T, WIDTH)
        x[0, 3, 0] = float("nan")
        with pytest.raises(UserError, match=r"^cell:weight_ih: activations must be finite, but 1 of"):
            observe(Loop().eval(), [x])

    @pytest.mark.parametrize("limit", [0, 40])
    def test_how_many_steps_are_counted_at_once_changes_nothing(self, limit, monkeypatch):
        model, batches = Tagger().eval(), [words(), words(1)]
        expected = observe(model, batches).histograms
        monkeypatch.setattr("qanalysis.nn.observe._SMALL" if limit == 0 else "qanalysis.nn.observe._AT_ONCE", limit)
        actual = observe(model, batches).histograms
        assert actual.keys() == expected.keys()
        for tensor, histogram in expected.items():
            assert actual[tensor].minimum == histogram.minimum
            assert actual[tensor].exponent == histogram.exponent
            assert (actual[tensor].counts == histogram.counts).all()

    def test_a_derived_weight_is_one_site_too(self):
        class Derived(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.LSTM(WIDTH, H)

            def forward(self, x):
                weights = [weight * 2 for weight in self.layer.parameters()]
                zeros = x.new_zeros(1, x.shape[1], H)
                return torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, False, False, False)[0]

        assert check(Derived(), random(T, N, WIDTH)) == {"model:linear_0": 1, "model:linear_1": T}

    def test_a_parametrized_cell(self):
        cell = parametrizations.weight_norm(nn.GRUCell(WIDTH, H), "weight_hh")
        calls = check(cell, random(N, WIDTH))
        assert list(calls.values()) == [1, 1]

    def test_a_copy_keeps_its_names(self):
        model = Tagger().eval()
        twin = copy.deepcopy(model)
        assert coverage(twin, words()) == coverage(model, words())


class Quantize:
    """A hand-written LSTM that rounds the operands of both products (Eq. 6-8), as an oracle."""

    def __init__(self, amax, bits=8):
        self.amax, self.top = amax, 2 ** (bits - 1) - 1

    def rounded(self, x, amax):
        return (x * (self.top / amax)).round().clamp(-self.top, self.top) / (self.top / amax)

    def __call__(self, layer, x):
        w_ih, w_hh, b_ih, b_hh = (parameter.detach().double() for parameter in layer.parameters())
        w_ih, w_hh = (self.rounded(w, w.abs().amax(1, keepdim=True)) for w in (w_ih, w_hh))
        h = c = torch.zeros(x.shape[1], H, dtype=torch.float64)
        outputs = []
        for step in x.double():
            gates = self.rounded(step, self.amax[0]) @ w_ih.T + b_ih + self.rounded(h, self.amax[1]) @ w_hh.T + b_hh
            i, f, g, o = (gates[:, k * H : (k + 1) * H] for k in range(4))
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)


class TestQuantized:
    @pytest.mark.parametrize("bits", [4, 8])
    def test_equals_a_loop_by_hand(self, bits):
        torch.manual_seed(0)
        layer, x = nn.LSTM(WIDTH, H).eval(), random(T, N, WIDTH)
        seen = observe(layer, [x])
        ranges = seen.ranges(Max())
        amax = [ranges.ranges[TensorId(f"model:weight_{w}_l0", "input")].amax for w in ("ih", "hh")]
        plan = Plan(weight_bits=bits, activation_bits=bits)
        with torch.no_grad():
            actual = QuantizedModel(layer, plan, ranges)(x)[0].double()
        torch.testing.assert_close(actual, Quantize(amax, bits)(layer, x), rtol=1e-5, atol=1e-5)

    def test_gradients_are_pytorchs_where_nothing_is_quantized(self):
        model, x = Tagger(), words()
        ranges = observe(model.eval(), [x]).ranges(Max())
        names = [site.name for site in coverage(model, x).sites]
        expected = self.gradients(model, model, x)
        actual = self.gradients(QuantizedModel(model, Plan().skipping(*names), ranges), model, x)
        for name, gradient in expected.items():
            torch.testing.assert_close(actual[name], gradient, rtol=1e-5, atol=1e-6, msg=name)

    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    @pytest.mark.parametrize("packed", [False, True])
    def test_gradients_against_finite_differences(self, kind, packed):
        layer = kind(2, 2, num_layers=2, bidirectional=True).double()
        x = random(3, 2, 2).double().requires_grad_()

        def run(x, *parameters):
            rows = pack_padded_sequence(x, [3, 1]) if packed else x
            output = torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (rows,))[0]
            return output.data if packed else output

        names = [name for name, _ in layer.named_parameters()]
        with SiteMode(layer, lambda call: call.compute()):
            assert torch.autograd.gradcheck(run, (x, *layer.parameters()))

    def test_the_straight_through_gradient_of_quantized_training(self):
        """That of a plain network whose weights and inputs are the rounded ones, as nothing is clipped (Eq. 13)."""
        torch.manual_seed(0)
        layer, x = nn.LSTM(WIDTH, H), random(T, N, WIDTH)
        ranges = observe(layer.eval(), [x]).ranges(Max())
        plan = Plan(parts="weights", weight_bits=4)
        expected_layer = copy.deepcopy(layer)
        with torch.no_grad():
            for name in ("weight_ih_l0", "weight_hh_l0"):
                weight = getattr(expected_layer, name)
                weight.copy_(Quantize(None, 4).rounded(weight, weight.abs().amax(1, keepdim=True)))
        expected = self.gradients(expected_layer, expected_layer, x)
        actual = self.gradients(QuantizedModel(layer, plan, ranges), layer, x)
        for name, gradient in expected.items():
            torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-6, msg=name)

    def test_two_training_steps_see_the_new_weights(self):
        layer, x = nn.LSTM(WIDTH, H), random(T, N, WIDTH)
        model = QuantizedModel(layer, Plan(), observe(layer.eval(), [x]).ranges(Max()))
        before = self.gradients(model, layer, x)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(0.5)
        after = self.gradients(model, layer, x)
        fresh = self.gradients(QuantizedModel(layer, Plan(), model.ranges), layer, x)
        assert all(torch.equal(after[name], fresh[name]) for name in fresh)
        assert not torch.equal(before["weight_hh_l0"], after["weight_hh_l0"])

    def test_a_learned_range_gets_the_gradient_of_clipping(self):
        """PACT (section 5.3), against PyTorch's gradient of clipping the inputs of its own layer."""
        torch.manual_seed(0)
        layer, x = nn.RNN(WIDTH, H), random(T, N, WIDTH)
        calibrated = observe(layer.eval(), [x]).ranges(Max())
        tensor = TensorId("model:weight_ih_l0", "input")
        narrow = {**calibrated.ranges, tensor: Range(-0.5, 0.5)}
        plan = Plan(parts="activations").quantizing_only("model:weight_ih_l0")
        model = LearnedModel(layer, plan, RangeTable("max", narrow))
        (alpha,) = model.alphas

        wanted = random(T, N, H)
        (model(x)[0] * wanted).sum().backward()
        end = torch.tensor(0.5, requires_grad=True)
        (layer(torch.maximum(torch.minimum(x, end), -end))[0] * wanted).sum().backward()
        assert float(alpha.grad) == pytest.approx(float(end.grad), rel=0.01)

    def gradients(self, model, owner, x):
        owner.zero_grad()
        output = model(x)
        output = output if isinstance(output, torch.Tensor) else output[0]
        (output * random(*output.shape)).sum().backward()
        return {name: parameter.grad.clone() for name, parameter in owner.named_parameters()}


class Translator(nn.Module):
    """An encoder and a decoder of cells with attention, in the manner of GNMT."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 2 * H)
        self.encoder = nn.LSTM(2 * H, H, bidirectional=True, batch_first=True)
        self.second = nn.LSTM(2 * H, 2 * H, batch_first=True)
        self.cell = nn.LSTMCell(4 * H, 2 * H)
        self.head = nn.Linear(4 * H, 20)

    def forward(self, words):
        memory, _ = self.encoder(self.embed(words))
        memory = memory + self.second(memory)[0]
        context, state, scores = memory.mean(1), None, []
        for word in self.embed(words).unbind(1):
            state = self.cell(torch.cat([word, context], -1), state)
            weights = (memory @ state[0].unsqueeze(-1)).softmax(1)
            context = (weights * memory).sum(1)
            scores.append(self.head(torch.cat([state[0], context], -1)))
        return torch.stack(scores, 1)


@pytest.mark.parametrize("make", [Tagger, lambda: Tagger(nn.GRU), Translator], ids=["LSTM", "GRU", "translator"])
class TestReplay:
    def case(self, make):
        torch.manual_seed(0)
        model, batch = make().eval(), words()
        return model, batch, observe(model, [batch]).ranges(Max())

    def test_every_site_is_that_of_the_naive_loop(self, make):
        model, batch, ranges = self.case(make)
        replay = Replay(model)
        recorded = replay.record(batch)
        torch.testing.assert_close(recorded, model(batch), **CLOSE)
        for site in replay.sites:
            one = QuantizedModel(model, Plan(weight_bits=4, activation_bits=4).quantizing_only(site), ranges)
            with torch.no_grad():
                whole = one(batch)
            assert torch.equal(replay.from_site(batch, site, one.compute), whole), site
            assert not torch.equal(whole, recorded), site

    def test_all_but_one_is_replayed_from_the_quantized_forward(self, make):
        model, batch, ranges = self.case(make)
        plan = Plan(weight_bits=4, activation_bits=4)
        replay = Replay(model)
        replay.record(batch, QuantizedModel(model, plan, ranges).compute)
        for site in replay.sites:
            without = QuantizedModel(model, plan.skipping(site), ranges)
            with torch.no_grad():
                assert torch.equal(replay.from_site(batch, site, without.compute), without(batch)), site


def test_a_layer_before_the_site_is_not_run_again():
    model, batch = Tagger().eval(), words()
    replay = Replay(model)
    replay.record(batch)
    met = []

    def note(call):
        met.append(call.site)
        return call.compute()

    replay.from_site(batch, "head", note)
    assert met == ["head"]
