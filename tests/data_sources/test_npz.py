import contextlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis import data
from qanalysis.data.npz import read
from tests.data_sources.conftest import pixel_batch


@pytest.fixture
def saved(tmp_path):
    """`saved(key=array, …)`: the name of an .npz with good arrays, except for those given; None leaves one out."""

    def save(**changes):
        arrays = {
            "x_train": pixel_batch(40),
            "y_train": np.arange(40) % 4,
            "x_test": pixel_batch(12, seed=1),
            "y_test": np.arange(12) % 4,
        }
        kept = {key: value for key, value in (arrays | changes).items() if value is not None}
        np.savez(tmp_path / "set.npz", **kept)
        return f"npz:{tmp_path / 'set.npz'}"

    return save


def test_calibration_is_from_the_training_and_evaluation_from_the_test_images(model, saved):
    loaded = data.load(saved(), model())
    assert (len(loaded.calibration), len(loaded.evaluation), loaded.train) == (40, 12, None)
    assert loaded.labelled
    images = {image.tobytes() for image in pixel_batch(12, seed=1)}
    assert {loaded.evaluation.pixels(i).tobytes() for i in range(12)} == images


def test_every_beginning_is_balanced(model, saved):
    loaded = data.load(saved(), model())
    for split in (loaded.calibration, loaded.evaluation):
        assert sorted(next(split.batches(4))[1].tolist()) == [0, 1, 2, 3]


def test_training_images_beyond_1024_are_for_training(model, saved):
    loaded = data.load(saved(x_train=pixel_batch(1100), y_train=np.arange(1100)), model())
    assert (len(loaded.calibration), len(loaded.train)) == (1024, 76)
    numbers = [label for split in (loaded.calibration, loaded.train) for _, y in split.batches(100) for label in y]
    assert sorted(map(int, numbers)) == list(range(1100))


def test_labels_may_be_left_out(model, saved):
    loaded = data.load(saved(y_train=None, y_test=None), model())
    assert not loaded.labelled
    assert next(loaded.evaluation.batches(3))[1] is None


def test_labels_may_be_a_column(model, saved):
    loaded = data.load(saved(y_test=np.arange(12)[:, None] % 4), model())
    assert sorted(next(loaded.evaluation.batches(12))[1].tolist()) == sorted([0, 1, 2, 3] * 3)


@pytest.mark.parametrize(
    ("options", "fields", "mean", "std", "warns"),
    [
        ("?mean=0.5,0.25,0&std=0.5,0.25,1", {}, (0.5, 0.25, 0), (0.5, 0.25, 1), False),
        ("?mean=0.5&std=0.25", {}, (0.5,) * 3, (0.25,) * 3, False),
        ("", {}, (0.5, 0.25, 0.75), (0.5, 0.25, 0.125), False),
        ("", {"mean": None}, (0,) * 3, (1,) * 3, True),
    ],
    ids=["options", "one for all channels", "the model's", "none"],
)
def test_normalisation(model, saved, options, fields, mean, std, warns):
    loaded = data.load(saved() + options, model(**fields))
    inputs, _ = next(loaded.evaluation.batches(1))
    expected = (loaded.evaluation.pixels(0) / 255 - mean) / np.array(std)
    np.testing.assert_allclose(inputs[0].permute(1, 2, 0), expected, rtol=1e-5, atol=1e-6)
    assert any("mean 0 and standard deviation 1" in warning for warning in loaded.warnings) == warns


@pytest.mark.parametrize(("takes", "gives"), [((1, 8, 8), 1), ((3, 8, 8), 3)], ids=["grey model", "colour model"])
def test_grey_images_become_what_the_model_takes(model, saved, takes, gives):
    grey = {"x_train": pixel_batch(40)[..., 0], "x_test": pixel_batch(12)[..., 0]}
    loaded = data.load(saved(**grey), model(input_shape=takes, mean=(0.5,) * gives, std=(0.5,) * gives))
    assert next(loaded.calibration.batches(2))[0].shape == (2, gives, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, r"x_test is missing \(it holds x_train, y_test, y_train\)"),
        ({"x_train": pixel_batch(40) / 255}, r"x_train must be uint8 images .* but is float64 \(40, 8, 8, 3\)"),
        ({"x_train": pixel_batch(40).reshape(40, -1)}, r"x_train must be .* but is uint8 \(40, 192\)"),
        ({"x_train": pixel_batch(40).transpose(0, 3, 1, 2)}, r"looks like \(N, C, H, W\)"),
        ({"x_test": pixel_batch(12, side=9)}, r"must have one shape, but are \(8, 8, 3\) and \(9, 9, 3\)"),
        ({"x_test": pixel_batch(0), "y_test": None}, "x_test holds no images"),
        ({"y_test": np.arange(11)}, "y_test must have a label for each image, but has 11 for 12 images"),
        ({"y_train": np.arange(40) / 4}, r"y_train must be class numbers \(N,\), but is float64 \(40,\)"),
        ({"y_train": np.eye(40, dtype=int)}, r"y_train must be class numbers \(N,\), but is int64 \(40, 40\)"),
        ({"y_test": np.arange(12) - 1}, "y_test must be class numbers from 0 up, but holds -1"),
    ],
    ids=["missing", "float", "flat", "nchw", "two shapes", "empty", "length", "float labels", "one-hot", "negative"],
)
def test_arrays_that_do_not_fit_are_one_sentence(model, saved, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        data.load(saved(**changes), model())
    assert "\n" not in str(error.value)


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_objects_in_an_array_are_refused(model, saved, tmp_path):
    name = saved(x_train=np.array([Payload(tmp_path / "created")], object))
    with pytest.raises(ValueError, match="holds pickled objects, which are not loaded"):
        data.load(name, model())
    assert not (tmp_path / "created").exists()


def test_a_pickle_instead_of_an_npz_is_refused(model, tmp_path):
    (tmp_path / "set.npz").write_bytes(pickle.dumps(Payload(tmp_path / "created")))
    with pytest.raises(ValueError, match=r"corrupt or not an \.npz file"):
        data.load(f"npz:{tmp_path / 'set.npz'}", model())
    assert not (tmp_path / "created").exists()


def test_a_single_array_is_refused(model, tmp_path):
    np.save(tmp_path / "x.npy", pixel_batch(3))
    with pytest.raises(ValueError, match="is a single array; save several with names"):
        data.load(f"npz:{tmp_path / 'x.npy'}", model())


@pytest.mark.parametrize("compressed", [False, True])
@given(cut=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 10**6))
@settings(max_examples=40)
def test_whatever_is_broken_is_one_sentence(tmp_path_factory, compressed, cut, flip):
    path = tmp_path_factory.mktemp("npz") / "set.npz"
    (np.savez_compressed if compressed else np.savez)(path, x_train=pixel_batch(2), x_test=pixel_batch(2))
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 0xFF
    path.write_bytes(content[: int(cut * len(content))] if flip % 2 else content)
    arrays = {}
    with contextlib.suppress(ValueError):  # any other exception would be a traceback for the user
        arrays = read(path)
    # if it could be read, the byte was in no array: a time stamp, say
    assert all((array == pixel_batch(2)).all() for array in arrays.values())
