"""One step of quantization-aware training, against a reference loop that knows nothing of it."""

import copy

import pytest
import torch
from torch.nn import functional

import qanalysis
from qanalysis.schema.errors import UserError
from tests import reference_training
from tests.analysis.fine_tunes import one_step, study

pytestmark = pytest.mark.usefixtures("few_samples_set_aside")


@pytest.mark.parametrize("calibration", ["max", "percentile:99.9"])
@pytest.mark.parametrize("batch_norm", ["trained", "frozen"])
def test_one_step_is_that_of_a_plain_reference_loop(calibration, batch_norm):
    given = study(calibration=calibration, batch_norm=batch_norm, weight_decay=0.0, label_smoothing=0.0)
    before = {key: value.clone() for key, value in given.module.state_dict().items()}
    network, inputs, labels = one_step(given)

    amaxes = {str(tensor): range_.amax for tensor, range_ in given.ranges.ranges.items()}
    plain = reference_training.quantized(copy.deepcopy(given.module), amaxes, 4).train(batch_norm == "trained")
    reference_training.train(plain, [(inputs, labels)], [given.recipe.learning_rate])

    ours, theirs = network.model.state_dict(), plain.state_dict()
    for key in before:
        if before[key].is_floating_point():
            moved = (theirs[key] - before[key]).abs().max().item()
            assert (ours[key] - theirs[key]).abs().max().item() <= 1e-3 * moved + 1e-7, key


def test_the_source_model_is_not_changed():
    given = study()
    before = {key: value.clone() for key, value in given.module.state_dict().items()}
    one_step(given)
    assert all(torch.equal(value, before[key]) for key, value in given.module.state_dict().items())


def test_skipping_every_layer_gives_exactly_the_step_of_floating_point():
    given = study(skip=tuple(site.name for site in study().setup.coverage.sites if site.name != "fc"))
    nothing = study(skip=tuple(site.name for site in given.setup.coverage.sites))
    quantized, *_ = one_step(nothing)
    plain, *_ = one_step(nothing, nothing.float_copy())
    assert all(torch.equal(value, quantized.model.state_dict()[key]) for key, value in plain.state_dict().items())
    other, *_ = one_step(given)
    assert not torch.equal(other.model.fc.weight, plain.fc.weight)


def test_a_skipped_layer_gets_exactly_its_fp32_gradient():
    """Whatever comes from the quantized layers above: its own gradient is that of the plain convolution."""
    skipped = "layer2.1.conv1"
    given = study(skip=(skipped,))
    network = given.quantized()
    layer = network.model.get_submodule(skipped)
    seen = {}
    layer.register_forward_hook(lambda m, args, out: seen.update(x=args[0].detach()))
    layer.register_full_backward_hook(lambda m, gi, go: seen.update(upstream=go[0].detach()))
    inputs, labels, _ = given.batches.of_step(0)
    functional.cross_entropy(network(inputs), labels).backward()
    weight = layer.weight.detach().clone().requires_grad_()
    functional.conv2d(seen["x"], weight, None, layer.stride, layer.padding).backward(seen["upstream"])
    assert torch.equal(layer.weight.grad, weight.grad)


def test_accumulating_gives_the_same_step_where_batch_norm_is_frozen():
    whole, *_ = one_step(study(batch_norm="frozen"))
    parts, *_ = one_step(study(batch_norm="frozen", accumulate=4))
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(value, parts.state_dict()[key], rtol=1e-4, atol=1e-6)


def test_a_batch_norm_that_one_sample_cannot_train_is_told_in_a_sentence():
    torch.manual_seed(0)
    pooled = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    ).eval()
    data = [(torch.randn(3, 8, 8), n % 4) for n in range(6)]
    given = {"model": pooled, "data": (data, data, data), "task": "classification", "steps": 1, "control": False}
    with pytest.raises(UserError, match=r"A batch norm needs two samples at least: a larger --train-batch-size"):
        qanalysis.run("qat", **given, train_batch_size=1)
    for more in ({"train_batch_size": 2}, {"train_batch_size": 1, "batch_norm": "frozen"}):
        assert len(qanalysis.run("qat", **given, **more).run.steps) == 1
