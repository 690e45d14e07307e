import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from qanalysis import data
from qanalysis.data.imagefolder import imagenet_wnids, outputs

TENCH, GOLDFISH, TOILET_TISSUE = "n01440764", "n01443537", "n15075141"


def labels_of(split):
    return torch.cat([labels for _, labels in split.batches(7)]).tolist()


def test_subfolders_are_the_classes_in_sorted_order(model, images_in, tmp_path):
    for name, count in (("dog", 6), ("cat", 6), ("ant", 4)):
        images_in(tmp_path / name, count)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert loaded.classes == ("ant", "cat", "dog")
    assert loaded.labelled
    assert (len(loaded.calibration), len(loaded.evaluation), loaded.train) == (4, 12, None)
    both = labels_of(loaded.calibration) + labels_of(loaded.evaluation)
    assert np.bincount(both).tolist() == [4, 6, 6]


def test_calibration_and_evaluation_share_no_image_and_the_seed_chooses(model, images_in, tmp_path):
    images_in(tmp_path, 20)

    def shown(split):
        return [int(split.pixels(i)[0, 0, 0]) for i in range(len(split))]

    # (mean, std) of these tests give back every pixel exactly, and image i is i in its red channel
    loaded, again, other = (data.load(f"imagefolder:{tmp_path}", model(), seed) for seed in (0, 0, 1))
    assert sorted(shown(loaded.calibration) + shown(loaded.evaluation)) == list(range(20))
    assert shown(again.calibration) == shown(loaded.calibration)
    assert shown(other.calibration) != shown(loaded.calibration)


def test_images_without_class_folders_have_no_labels(model, images_in, tmp_path):
    images_in(tmp_path, 8)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert not loaded.labelled
    assert loaded.classes == ()
    assert [labels for _, labels in loaded.evaluation.batches(3)] == [None, None]
    assert "without labels" in loaded.origin


def test_wordnet_ids_are_the_classes_of_imagenet(model, images_in, tmp_path):
    for wnid in (TENCH, GOLDFISH, TOILET_TISSUE):
        images_in(tmp_path / wnid, 4)
    loaded = data.load(f"imagefolder:{tmp_path}", model(module=nn.Linear(4, 1000)))
    assert set(labels_of(loaded.evaluation)) == {0, 1, 999}
    assert len(loaded.classes) == 1000
    assert [loaded.classes[i] for i in (0, 1, 999)] == ["tench", "goldfish", "toilet tissue"]


def test_imagenet_has_1000_sorted_ids():
    assert len(set(imagenet_wnids())) == 1000
    assert imagenet_wnids() == tuple(sorted(imagenet_wnids()))


def test_a_model_with_an_output_per_folder_has_classes_of_its_own(model, images_in, tmp_path):
    for wnid in (GOLDFISH, TOILET_TISSUE):
        images_in(tmp_path / wnid, 4)
    loaded = data.load(f"imagefolder:{tmp_path}", model(module=nn.Linear(4, 2)))
    assert loaded.classes == (GOLDFISH, TOILET_TISSUE)
    assert set(labels_of(loaded.evaluation)) == {0, 1}


def test_a_folder_that_is_no_imagenet_class_is_left_out_and_told(model, images_in, tmp_path):
    images_in(tmp_path / TENCH, 4)
    images_in(tmp_path / GOLDFISH, 4)
    images_in(tmp_path / "notes", 2)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert len(loaded.calibration) + len(loaded.evaluation) == 8
    (warning,) = loaded.warnings
    assert warning == f"Left out, as in no folder of a class: {tmp_path}/notes/000.png and 1 more."


def test_images_beside_class_folders_are_left_out_and_told(model, images_in, tmp_path):
    images_in(tmp_path / "cat", 4)
    images_in(tmp_path / "dog", 4)
    (stray,) = images_in(tmp_path, 1)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert len(loaded.calibration) + len(loaded.evaluation) == 8
    assert loaded.warnings == (f"Left out, as in no folder of a class: {stray}.",)


def test_a_single_class_folder_is_told(model, images_in, tmp_path):
    images_in(tmp_path / "holiday", 4)
    (warning,) = data.load(f"imagefolder:{tmp_path}", model()).warnings
    assert "one class folder, holiday" in warning


def test_train_and_val_are_used_if_both_are_there(model, images_in, tmp_path):
    for name in ("cat", "dog"):
        images_in(tmp_path / "train" / name, 5)
    images_in(tmp_path / "train" / "bee", 5)
    images_in(tmp_path / "val" / "dog", 3)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert loaded.classes == ("bee", "cat", "dog")
    assert (len(loaded.calibration), len(loaded.evaluation)) == (15, 3)
    assert labels_of(loaded.evaluation) == [2, 2, 2]


def test_training_images_beyond_1024_are_for_training(model, images_in, tmp_path):
    (source,) = images_in(tmp_path / "val", 1)
    (tmp_path / "train").mkdir()
    for i in range(1030):
        (tmp_path / "train" / f"{i}.png").symlink_to(source)
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert (len(loaded.calibration), len(loaded.train), len(loaded.evaluation)) == (1024, 6, 1)


def test_calibration_images_can_be_in_another_folder(model, images_in, tmp_path):
    images_in(tmp_path / "a+b", 3)
    images_in(tmp_path / "test" / "cat", 2)
    images_in(tmp_path / "test" / "dog", 2)
    loaded = data.load(f"imagefolder:{tmp_path}/test?calibration={tmp_path}/a+b", model())
    assert (len(loaded.calibration), len(loaded.evaluation)) == (3, 4)
    assert next(loaded.calibration.batches(3))[1] is None
    assert sorted(labels_of(loaded.evaluation)) == [0, 0, 1, 1]


def test_the_models_own_transform_is_used(model, images_in, tmp_path):
    images_in(tmp_path, 4)
    loaded = data.load(f"imagefolder:{tmp_path}", model(transform=lambda image: torch.full((1, 2, 2), image.width)))
    inputs, _ = next(loaded.evaluation.batches(1))
    assert inputs.tolist() == [[[[8.0, 8.0], [8.0, 8.0]]]]


def test_images_are_else_cropped_to_the_models_input(model, tmp_path):
    """Of a 32×16 image, resized to 18×9 (8 / 0.875, rounded), the middle 8×8 is left: grey between black edges."""
    image = Image.new("RGB", (32, 16))
    image.paste((100, 100, 100), (6, 0, 26, 16))
    for i in range(2):
        image.save(tmp_path / f"{i}.png")
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert next(loaded.evaluation.batches(1))[0].shape == (1, 3, 8, 8)
    assert (loaded.evaluation.pixels(0) == 100).all()


def test_an_image_that_has_the_size_is_fed_as_it_is(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for i in range(2):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    inputs, _ = next(data.load(f"imagefolder:{tmp_path}", model()).evaluation.batches(1))
    expected = (pixels / 255 - (0.5, 0.25, 0.75)) / (0.5, 0.25, 0.125)
    np.testing.assert_allclose(inputs[0].permute(1, 2, 0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_kind_of_image_becomes_rgb(model, tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    for i in range(2):
        Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / f"{i}{suffix}")
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert (loaded.evaluation.pixels(0) == 255).all()


def test_a_grey_model_gets_grey_images(model, images_in, tmp_path):
    images_in(tmp_path, 2)
    loaded = data.load(f"imagefolder:{tmp_path}", model(input_shape=(1, 8, 8), mean=(0.5,), std=(0.5,)))
    assert next(loaded.evaluation.batches(1))[0].shape == (1, 1, 8, 8)


def test_an_unknown_normalisation_and_size_are_told(model, images_in, tmp_path):
    images_in(tmp_path, 2)
    loaded = data.load(f"imagefolder:{tmp_path}", model(mean=None, std=None, input_shape=None))
    assert ["ImageNet's mean" in warning for warning in loaded.warnings] == [True, False]
    assert "224×224" in loaded.warnings[1]
    assert next(loaded.evaluation.batches(1))[0].shape == (1, 3, 224, 224)


def test_mean_and_std_are_options(model, images_in, tmp_path):
    images_in(tmp_path, 2)
    loaded = data.load(f"imagefolder:{tmp_path}?mean=0&std=1", model(mean=None, std=None))
    assert loaded.warnings == ()
    inputs, _ = next(loaded.evaluation.batches(1))
    assert inputs[0].permute(1, 2, 0).numpy() == pytest.approx(loaded.evaluation.pixels(0) / 255)


def test_a_truncated_jpeg_is_left_out_counted_and_named(model, images_in, tmp_path):
    paths = images_in(tmp_path / "val", 4, size=(64, 64), suffix=".jpg")
    images_in(tmp_path / "train", 1)
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[: len(content) // 2])
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert sum(len(inputs) for inputs, _ in loaded.evaluation.batches(2)) == 3
    (sentence,) = loaded.evaluation.skipped
    assert sentence.startswith(f"1 of 4 samples could not be read and is left out: {paths[2]} (")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0"])
def test_if_no_image_can_be_read_a_sentence_names_the_first(model, tmp_path, content):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"The only sample cannot be read.*\.png"):
        next(data.load(f"imagefolder:{tmp_path}", model()).calibration.batches(1))


def test_hidden_and_other_files_are_passed_over(model, images_in, tmp_path):
    images_in(tmp_path, 4)
    (tmp_path / "README.txt").write_text("notes")
    (tmp_path / "._000.png").write_bytes(b"resource fork")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "a.png").write_bytes(b"")
    loaded = data.load(f"imagefolder:{tmp_path}", model())
    assert len(loaded.calibration) + len(loaded.evaluation) == 4


@pytest.mark.parametrize("files", [[], ["notes.txt"], ["cat/notes.txt"]], ids=["empty", "a text", "a text in a class"])
def test_a_folder_without_images_is_one_sentence(model, tmp_path, files):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    with pytest.raises(ValueError, match=f"{tmp_path} has no images; they must end in .jpg"):
        data.load(f"imagefolder:{tmp_path}", model())


def test_one_image_is_too_few(model, images_in, tmp_path):
    images_in(tmp_path, 1)
    with pytest.raises(ValueError, match="holds one image; at least two"):
        data.load(f"imagefolder:{tmp_path}", model())


def test_a_missing_calibration_folder_is_one_sentence(model, images_in, tmp_path):
    images_in(tmp_path, 2)
    with pytest.raises(ValueError, match="There is no folder /no/such"):
        data.load(f"imagefolder:{tmp_path}?calibration=/no/such", model())


def test_outputs_are_those_of_the_last_linear_layer():
    assert outputs(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.ReLU())) == 3
    assert outputs(nn.Conv2d(3, 10, 1)) is None
