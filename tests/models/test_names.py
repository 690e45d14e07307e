import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.names import Name, with_clip, without_clip
from qanalysis.schema.errors import UserError

SOURCES = {"torchvision": "torchvision:resnet50", "checkpoint": "checkpoint:PATH?arch=torchvision:resnet18"}


def parse(text):
    return Name.parse(text, "model", SOURCES)


@pytest.mark.parametrize(
    ("text", "rest", "variant", "options"),
    [
        ("torchvision:resnet50", "resnet50", None, {}),
        ("torchvision:resnet50@IMAGENET1K_V2", "resnet50", "IMAGENET1K_V2", {}),
        ("torchvision:resnet50@none?classes=10", "resnet50", "none", {"classes": "10"}),
        ("checkpoint:/a@b/net.pt?arch=torchvision:vit_b_16", "/a@b/net.pt", None, {"arch": "torchvision:vit_b_16"}),
        ("checkpoint:net.pt?arch=a&classes=3", "net.pt", None, {"arch": "a", "classes": "3"}),
        ("checkpoint:C++/50%.pt?arch=a+b%20", "C++/50%.pt", None, {"arch": "a+b%20"}),
        ("  torchvision:resnet50 ", "resnet50", None, {}),
    ],
)
def test_parts_of_a_name(text, rest, variant, options):
    name = parse(text)
    assert (name.rest, name.variant, name.options) == (rest, variant, options)


PART = st.text("abcXYZ019_./+%: -", min_size=1).filter(lambda text: text == text.strip())


@given(PART, st.none() | PART, st.dictionaries(PART, PART, max_size=3))
def test_a_written_name_parses_to_the_same_again(rest, variant, options):
    name = Name("torchvision", rest, variant, options)
    assert parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "resnet50", "torchvision", "torchvision:", "keras:resnet50", ":resnet50"])
def test_an_unknown_source_is_answered_with_examples(text):
    with pytest.raises(ValueError, match=r"Unknown model .*; write one like torchvision:resnet50, checkpoint:PATH"):
        parse(text)


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="Unknown option 'size' of torchvision: names; choose from classes"):
        parse("torchvision:resnet50?size=3").only("classes")


@pytest.mark.parametrize("text", ["0", "-1", "ten", "1.5", "", "²"])
def test_a_count_must_be_a_whole_number_from_1_up(text):
    with pytest.raises(ValueError, match="classes of torchvision: names must be a whole number from 1 up"):
        parse(f"torchvision:resnet50?classes={text}").count("classes")


def test_a_count_that_is_not_given_is_none():
    assert parse("torchvision:resnet50").count("classes") is None
    assert parse("torchvision:resnet50?classes=12").count("classes") == 12


@pytest.mark.parametrize(
    ("name", "plain", "limit"),
    [
        ("torchvision:vit_b_16?clip=10", "torchvision:vit_b_16", 10.0),
        ("torchvision:vit_b_16@none?classes=3&clip=6.5", "torchvision:vit_b_16@none?classes=3", 6.5),
        ("checkpoint:a.pt?arch=sample:resnet20", "checkpoint:a.pt?arch=sample:resnet20", None),
    ],
)
def test_the_clip_of_a_name(name, plain, limit):
    assert without_clip(name) == (plain, limit)
    if limit is not None:
        assert with_clip(plain, limit) == name


@pytest.mark.parametrize("said", ["0", "-1", "inf", "nan", "ten", ""])
def test_a_clip_that_is_none_is_refused(said):
    with pytest.raises(UserError, match="Option clip of a model's name must be a positive number"):
        without_clip(f"sample:resnet20?clip={said}")
