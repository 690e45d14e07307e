import pytest

from qanalysis import data
from qanalysis.schema.catalog import DATA_SOURCES


def test_every_source_in_the_catalog_can_be_loaded():
    assert set(data.SOURCES) == set(DATA_SOURCES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", "Unknown data 'cifar10'; write one like sample:cifar10"),
        ("folder:/tmp", "Unknown data 'folder:/tmp'"),
        ("sample:", "Unknown data 'sample:'"),
        ("sample:mnist", "Unknown sample data 'mnist'; choose from cifar10"),
        ("sample:cifar10@small", "Data has no @ variants.*drop @small"),
        ("sample:cifar10?size=3", "Unknown option 'size' of sample: names; choose from mean, std"),
        ("sample:cifar10?mean=0.5", "mean and std together"),
        ("sample:cifar10?mean=a&std=1", "1 or 3 numbers separated by commas, but got mean=a"),
        ("sample:cifar10?mean=0,0&std=1", "1 or 3 numbers.*mean=0,0"),
        ("sample:cifar10?mean=nan&std=1", "mean=nan"),
        ("sample:cifar10?mean=0&std=1,0,1", "positive numbers.*std=1,0,1"),
        ("torchvision:MNIST", "Unknown torchvision data 'MNIST'; choose from CIFAR10, CIFAR100"),
        ("torchvision:CIFAR10?split=test", "Unknown option 'split'"),
        ("imagefolder:/no/such/folder", "There is no folder /no/such/folder"),
        ("npz:/no/such/file.npz", "There is no file /no/such/file.npz"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(model, name, message):
    with pytest.raises(ValueError, match=message) as error:
        data.load(name, model())
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_channels_that_the_model_does_not_take_are_refused(model):
    with pytest.raises(ValueError, match="takes 1 channels, but the images of sample:cifar10 have 3"):
        data.load("sample:cifar10", model(mean=(0.5,), std=(0.5,), input_shape=(1, 28, 28)))
