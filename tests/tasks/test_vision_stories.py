"""What a newcomer types: folders and names of torchvision, without a line of Python; and families beyond images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import qanalysis
from qanalysis import models
from qanalysis.cli import main
from qanalysis.nn.observe import coverage
from qanalysis.schema.errors import UserError


@pytest.fixture
def coco(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for number in range(8):
        pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
        boxes.append({"id": number + 1, "image_id": number, "category_id": 17, "bbox": [10, 10, 30, 20], "iscrowd": 0})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 17, "name": "cat"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path


FEW = ["--calibration-samples", "2", "--evaluation-samples", "4", "--batch-size", "2"]


def test_a_detector_and_a_folder_of_coco_images_need_no_python(coco, capsys):
    name = "torchvision:ssdlite320_mobilenet_v3_large@none"
    path = coco / "ptq.json"
    assert (
        main(["ptq", "--model", name, "--data", f"coco:{coco}", *FEW, "--calibrations", "max", "--json", str(path)])
        == 0
    )
    assert "mAP %" in capsys.readouterr().out
    result = json.loads(path.read_text())
    assert (result["task"], result["metric"], result["version"]) == ("detection", "mAP", 2)
    assert {"AP50", "AP75"} <= set(result["rows"][0]["details"])
    assert "cat" in result["data"]["classes"]


def test_a_segmenter_and_a_folder_of_masks_need_no_python(tmp_path, capsys):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (number, 9, 9)).save(tmp_path / "images" / f"{number}.png")
        Image.new("L", (64, 64), number % 3).save(tmp_path / "masks" / f"{number}.png")
    name = "torchvision:lraspp_mobilenet_v3_large@none"
    assert main(["evaluate", "--model", name, "--data", f"masks:{tmp_path}", "--evaluation-samples", "2"]) == 0
    assert "mIoU" in capsys.readouterr().out


def test_targets_of_another_task_say_which_would_fit():
    with pytest.raises(UserError, match=r"cannot be run as the task detection does it; .* classification"):
        qanalysis.run("evaluate", model="sample:resnet20", data="sample:scenes")
    with pytest.raises(UserError, match="task detection would fit"):
        qanalysis.run("evaluate", model="sample:detector", data="sample:cifar10")


class Clips(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, position: int):
        return torch.rand(3, 4, 32, 32, generator=torch.Generator().manual_seed(position)), position


def test_video_has_five_dimensions():
    model = "torchvision:r3d_18@none?classes=5"
    result = qanalysis.run("ptq", model=model, data=(Clips(), Clips()), calibrations=("max",), batch_size=2)
    assert (result.task, len(result.sites)) == ("classification", 21)
    assert any(site["kind"] == "convolution" for site in result.sites)


def test_quantizable_networks_come_in_floating_point():
    loaded = models.load("torchvision:quantized_mobilenet_v2@none")
    assert len(coverage(loaded.module, torch.zeros(1, 3, 64, 64)).sites) == 53
    with pytest.raises(UserError, match="no model named 'quantised_resnet'"):
        models.load("torchvision:quantised_resnet@none")


@pytest.mark.parametrize("name", ["detector", "segmenter"])
@torch.no_grad()
def test_work_is_as_much_as_pytorch_counts(name):
    loaded = models.load(f"sample:{name}@none")
    image = torch.rand(1, 3, 128, 128)
    inputs = list(image) if name == "detector" else image
    found = coverage(loaded.module, inputs)
    with FlopCounterMode(display=False) as counter:
        loaded.module(inputs)
    assert 2 * found.macs == counter.get_total_flops()
    hooked = []
    for path, module in loaded.module.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda *_, path=path: hooked.append(path))
    loaded.module(inputs)
    assert {site.name for site in found.sites} == set(hooked)
