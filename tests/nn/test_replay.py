"""Replay gives what a full forward gives, to the bit, and leaves the model as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qanalysis.models.cifar import efficientnet, mobilenet, resnet, vit
from qanalysis.nn.observe import observe
from qanalysis.nn.quantized import QuantizedModel
from qanalysis.nn.replay import Replay
from qanalysis.nn.sites import Call
from qanalysis.numerics.calibrate import Max
from qanalysis.schema.plan import Plan


class InPlace(nn.Module):
    """Changes tensors in place that modules returned, and that are used again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv3 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x)
        self.act(y)  # the return value is not used: y itself has changed
        z = self.conv2(y)
        z += y
        z = self.conv3(z).mul_(0.5) + y
        return self.fc(z.mean((2, 3)))


class Shared(nn.Module):
    """One layer executed twice, and functional sites."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)[:, :8]
        x = F.relu(self.layer(x))
        x = F.relu(self.layer(x) @ self.weight)
        return self.out(x)


class Borrowing(nn.Module):
    """A module that calls a part of another one, which is named after the other."""

    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = Mix()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    class Borrower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor, part: nn.Module) -> torch.Tensor:
            return self.fc(part(x))

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.owner, self.borrower = self.Owner(), self.Borrower()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.owner(self.first(x.flatten(1)[:, :8]))
        return self.borrower(x, self.owner.mix)


class Mix(nn.Module):
    """A product of two activations, which only the module on the stack gives a name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ x.mT).softmax(-1) @ x


NETWORKS = {
    "resnet20": resnet.resnet20,
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "efficientnet": efficientnet.efficientnet,
    "vit": vit.vit,
    "in place": InPlace,
    "shared": Shared,
    "borrowing": Borrowing,
}


@pytest.fixture(params=NETWORKS)
def case(request):
    torch.manual_seed(0)
    model = NETWORKS[request.param]().eval()
    batch = torch.randn(2, 3, 32, 32)
    return model, batch, observe(model, [batch]).ranges(Max())


def quantized(model, ranges, site, bits=4):
    return QuantizedModel(model, Plan(weight_bits=bits, activation_bits=bits).quantizing_only(site), ranges)


def test_every_site_is_that_of_the_naive_loop(case):
    model, batch, ranges = case
    replay = Replay(model)
    recorded = replay.record(batch)
    with torch.no_grad():
        assert torch.equal(recorded, model(batch))
        for site in replay.sites[:: max(1, len(replay.sites) // 12)]:
            one = quantized(model, ranges, site)
            assert torch.equal(replay.from_site(batch, site, one.compute), one(batch)), site


def test_all_but_one_is_replayed_from_the_quantized_forward(case):
    model, batch, ranges = case
    plan = Plan(weight_bits=4, activation_bits=4)
    replay = Replay(model)
    replay.record(batch, QuantizedModel(model, plan, ranges).compute)
    site = replay.sites[len(replay.sites) // 2]
    without = QuantizedModel(model, plan.skipping(site), ranges)
    with torch.no_grad():
        assert torch.equal(replay.from_site(batch, site, without.compute), without(batch))


@pytest.mark.parametrize("limit", [0, 300_000])
def test_a_memory_limit_changes_nothing_but_memory(limit):
    torch.manual_seed(0)
    model, batch = resnet.resnet20().eval(), torch.randn(2, 3, 32, 32)
    ranges = observe(model, [batch]).ranges(Max())
    replay = Replay(model, limit)
    replay.record(batch)
    assert replay.kept_bytes <= limit
    site = "layer3.1.conv1"
    one = quantized(model, ranges, site)
    with torch.no_grad():
        assert torch.equal(replay.from_site(batch, site, one.compute), one(batch))


def test_what_lies_before_the_site_is_not_computed():
    torch.manual_seed(0)
    model, batch = resnet.resnet20().eval(), torch.randn(2, 3, 32, 32)
    replay = Replay(model)
    replay.record(batch)
    computed: list[str] = []

    def handler(call: Call) -> torch.Tensor:
        computed.append(call.site)
        return call.compute()

    replay.from_site(batch, "layer3.2.conv2", handler)
    assert computed == ["layer3.2.conv2", "fc"]


def test_the_model_is_left_as_it_was_also_after_an_error():
    model, batch = resnet.resnet20().eval(), torch.randn(1, 3, 32, 32)
    replay = Replay(model)
    replay.record(batch)

    def fails(call: Call) -> torch.Tensor:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        replay.from_site(batch, "layer2.0.conv1", fails)
    for module in model.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_names_at_a_replay_are_those_of_the_record(case):
    model, batch, _ = case
    replay = Replay(model)
    replay.record(batch)
    for index, site in enumerate(replay.sites):
        computed: list[str] = []

        def handler(call: Call, computed: list[str] = computed) -> torch.Tensor:
            computed.append(call.site)
            return call.compute()

        replay.from_site(batch, site, handler)
        assert set(replay.sites[index:]) <= set(computed) <= set(replay.sites)


def test_several_sites_are_replayed_from_the_earliest():
    torch.manual_seed(0)
    model, batch = resnet.resnet20().eval(), torch.randn(2, 3, 32, 32)
    ranges = observe(model, [batch]).ranges(Max())
    replay = Replay(model)
    replay.record(batch)
    sites = ("layer3.0.conv2", "layer2.1.conv1", "fc")
    assert replay.earliest(sites) == "layer2.1.conv1"
    several = QuantizedModel(model, Plan(weight_bits=4, activation_bits=4).quantizing_only(*sites), ranges)
    with torch.no_grad():
        assert torch.equal(replay.from_site(batch, replay.earliest(sites), several.compute), several(batch))


def test_the_earliest_of_none_is_refused():
    with pytest.raises(ValueError, match="the earliest of no sites"):
        Replay(resnet.resnet20().eval()).earliest([])


class Branching(nn.Module):
    """Takes one of two ways, as the batch says."""

    def __init__(self):
        super().__init__()
        self.first, self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        hidden = self.first(x)
        return self.left(hidden) if x.sum() > 0 else self.right(hidden)


def test_a_site_that_the_batch_did_not_reach_changes_nothing():
    model, batch = Branching().eval(), torch.ones(2, 4)
    replay = Replay(model)
    recorded = replay.record(batch)
    assert torch.equal(replay.from_site(batch, "right", lambda call: call.compute() * 2), recorded)
    assert torch.equal(replay.from_site(batch, "left", lambda call: call.compute() * 2), recorded * 2)
    assert replay.earliest(["right", "left"]) == "left"
