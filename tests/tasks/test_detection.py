"""Detection: raw heads, second stages at the same boxes, cutting at the heads, and what is refused."""

import pytest
import torch
import torchvision.models.detection as zoo

from qanalysis.nn.observe import coverage, observe
from qanalysis.nn.sites import Call, SiteMode
from qanalysis.schema.errors import UserError
from qanalysis.tasks.detection import Detected, Detection

SMALL = {"weights": None, "weights_backbone": None, "num_classes": 4, "min_size": 96, "max_size": 96}


def made(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if name == "ssdlite320_mobilenet_v3_large":
        return zoo.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4).eval()
    few = {"box_detections_per_img": 4, "rpn_post_nms_top_n_test": 40} if "rcnn" in name else {}
    return getattr(zoo, name)(**SMALL, **few).eval()


ONE_STAGE = ("retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssdlite320_mobilenet_v3_large")
TWO_STAGES = ("fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")


@pytest.fixture(scope="module", params=(*ONE_STAGE, *TWO_STAGES))
def detector(request):
    return made(request.param)


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, 80, 96, generator=generator) for _ in range(2)]


def alike(one: list[dict], other: list[dict], tolerance: float = 1e-4) -> bool:
    return all(
        a.keys() == b.keys()
        and all(a[key].shape == b[key].shape and torch.allclose(a[key], b[key], atol=tolerance) for key in a)
        for a, b in zip(one, other, strict=True)
    )


@torch.no_grad()
def test_what_is_compared_changes_nothing_of_what_is_returned(detector, images):
    raw = Detection(4).measured(detector, images)
    assert alike(raw.images, detector(images))
    assert raw.heads
    assert all(len(head) == 2 for head in raw.heads)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in detector.modules())


def test_calibration_sees_what_the_whole_network_shows_it(detector, images):
    task = Detection(4)
    whole, heads = (observe(detector, [images], call=call) for call in (task.call, task.visit))
    assert whole.histograms.keys() == heads.histograms.keys()
    assert all(heads.histograms[key].amax == seen.amax for key, seen in whole.histograms.items())


@torch.no_grad()
def test_every_site_shows_in_the_raw_heads(detector, images):
    """A site whose output is changed changes a head, in whichever stage it is."""
    task = Detection(4)
    task.prepare(detector)
    reference = task.outputs(task.measured(detector, images))
    sites = [site.name for site in coverage(detector, images, task.call).sites]
    for site in (sites[0], sites[len(sites) // 2], *(name for name in sites if "predictor" in name), sites[-1]):

        def changed(call: Call, site: str = site) -> torch.Tensor:
            output = call.compute()
            return output * 1.5 + 0.5 if call.site == site else output

        with SiteMode(detector, changed):
            given = task.outputs(task.measured(detector, images))
        assert float(task.divergence(given, reference).max()) > 0, site


@torch.no_grad()
def test_from_the_raw_heads_come_the_same_boxes(detector, images):
    """What a file would hold, and the rest after it, is the whole."""
    task = Detection(4)
    cut = task.cut(detector, images)
    outputs = cut.call(detector, cut.inputs(detector, images))
    assert alike(cut.finish(detector, outputs, images).images, detector(images))
    assert "forward" not in vars(detector.backbone)


@torch.no_grad()
def test_other_heads_give_other_boxes(images):
    detector = made("retinanet_resnet50_fpn")
    task = Detection(4)
    cut = task.cut(detector, images)
    outputs = {name: -value for name, value in cut.call(detector, cut.inputs(detector, images)).items()}
    assert not alike(cut.finish(detector, outputs, images).images, detector(images))


def test_the_loss_is_the_detector_s_own(images):
    detector = made("retinanet_resnet50_fpn").train()
    targets = [{"boxes": torch.tensor([[5.0, 5, 60, 60]]), "labels": torch.tensor([1])} for _ in images]
    crowd = {"boxes": torch.tensor([[5.0, 5, 60, 60], [0, 0, 9, 9]]), "labels": torch.tensor([1, 2])}
    with_crowd = [crowd | {"iscrowd": torch.tensor([False, True])} for _ in images]
    expected = sum(float(value.detach()) for value in detector(images, targets).values())
    assert float(Detection(4).loss(detector, images, targets, None).detach()) == pytest.approx(2 * expected, rel=1e-4)
    assert float(Detection(4).loss(detector, images, with_crowd, None).detach()) == pytest.approx(
        2 * expected, rel=1e-4
    )
    with pytest.raises(UserError, match="leave the teacher out"):
        Detection(4).loss(detector, images, targets, detector)


def test_classes_that_the_model_has_not_are_refused():
    task = Detection(91, "coco:here")
    task.prepare(made("retinanet_resnet50_fpn"))
    raw = Detected([{}], ())
    with pytest.raises(UserError, match=r"coco:here has 91 classes .* but the model has 4"):
        task.check(raw, [{}], 1)
    task.check(raw, None, 1)


def test_the_same_boxes_are_the_same_and_a_lost_one_is_half():
    task = Detection(4)
    two = {"boxes": torch.tensor([[0.0, 0, 9, 9], [20, 20, 40, 40]]), "labels": torch.tensor([1, 2])}
    two["scores"] = torch.tensor([0.9, 0.8])
    one = {key: value[:1] for key, value in two.items()}
    assert task.same([two], [two]).tolist() == [1.0]
    assert task.same([one], [two]).tolist() == pytest.approx([2 / 3])
    assert task.same([two | {"labels": torch.tensor([1, 3])}], [two]).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (torch.zeros(2, dtype=torch.int64), "dictionary with boxes and labels"),
        ([{"boxes": torch.zeros(1, 4)}], "dictionary with boxes and labels"),
        ([{"boxes": torch.zeros(2, 4), "labels": torch.zeros(1)}], "boxes .K, 4. and labels .K,."),
        ([{"boxes": torch.zeros(2, 5), "labels": torch.zeros(2)}], "boxes .K, 4."),
    ],
)
def test_other_targets_are_refused(targets, says):
    with pytest.raises(UserError, match=says):
        Detection(4, "coco:here").check_targets(targets)
