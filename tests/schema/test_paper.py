"""The paper's numbers: recomputed where they can be, and each erratum shown from the numbers themselves."""

import math
from collections import Counter

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from qanalysis.numerics.calibrate import PAPER_CALIBRATIONS, parse
from qanalysis.schema.paper import TABLES, paper, paper_row
from tests import reference

PAPER = paper()
ROWS = [
    pytest.param(number, row, id=f"{number}-{row.network}") for number in TABLES for row in PAPER.tables[number].rows
]


def rows(number):
    return {row.network: row for row in PAPER.tables[number].rows}


def value(number, network, column):
    table = PAPER.tables[number]
    return table.row(network).accuracies[table.columns.index(column)]


def best(number, network):
    """Columns with the highest accuracy of a row."""
    table = PAPER.tables[number]
    accuracies = table.row(network).accuracies
    return {column for column, a in zip(table.columns, accuracies, strict=True) if a == max(accuracies)}


@pytest.mark.parametrize(("number", "row"), ROWS)
def test_a_row_has_a_number_for_every_column(number, row):
    assert len(row.accuracies) == len(PAPER.tables[number].columns)
    assert all(0 < accuracy < 100 for accuracy in (row.fp32, *row.accuracies))


@pytest.mark.parametrize(("number", "row"), ROWS)
def test_fp32_is_that_of_table_2(number, row):
    assert row.fp32 == rows("2")[row.network].fp32


@pytest.mark.parametrize(("number", "row"), [case for case in ROWS if case.values[1].printed_relative])
def test_the_printed_relative_change_is_the_one_of_the_accuracies(number, row):
    """They are printed with two digits, computed from accuracies with two digits."""
    assert len(row.printed_relative) == len(row.accuracies)
    for printed, accuracy in zip(row.printed_relative, row.accuracies, strict=True):
        assert printed == pytest.approx(100 * (accuracy - row.fp32) / row.fp32, abs=0.00501)


def test_relative_is_printed_in_tables_4_and_7_only():
    assert {number for number in TABLES for row in PAPER.tables[number].rows if row.printed_relative} == {"4", "7"}


def test_sizes():
    assert {number: len(PAPER.tables[number].rows) for number in ("2", *TABLES)} == {
        **dict.fromkeys(("2", "4", "5", "7", "11"), 19),
        **{"3": 5, "6": 5, "8": 7, "12": 1},
    }


@pytest.mark.parametrize("number", ["5", "11", "12"])
def test_columns_are_the_calibrations(number):
    assert PAPER.tables[number].columns[:6] == PAPER_CALIBRATIONS
    assert all(str(parse(name)) == name for name in PAPER.tables[number].columns[:6])


@pytest.mark.parametrize("network", list(rows("3")))
def test_table_4_has_the_per_channel_weights_of_table_3(network):
    assert value("4", network, "int8 weights") == value("3", network, "per-channel")


@pytest.mark.parametrize("network", list(rows("7")))
def test_table_7_has_the_best_of_table_5_and_the_same_calibration_of_table_11(network):
    row = rows("7")[network]
    assert row.calibration in best("5", network)
    assert row.accuracies[0] == value("5", network, row.calibration)
    assert row.accuracies[1] == value("11", network, row.calibration)


@pytest.mark.parametrize("network", list(rows("8")))
def test_table_8_has_the_fixed_ranges_of_table_11(network):
    row = rows("8")[network]
    assert row.accuracies[0] == value("11", network, "max")
    assert row.accuracies[2] == value("11", network, rows("7")[network].calibration)


def test_table_12_has_the_row_of_table_5():
    assert rows("12")["BERT Large"].accuracies[:6] == rows("5")["BERT Large"].accuracies


@pytest.mark.parametrize("network", list(rows("11")))
def test_table_11_marks_the_best(network):
    assert set(rows("11")[network].bold) == best("11", network)


@pytest.mark.parametrize("network", [network for network in rows("5") if network != "FCN"])
def test_table_5_marks_the_best(network):
    assert set(rows("5")[network].bold) == best("5", network)


class TestClaims:
    def stated(self, name):
        return PAPER.claim(name).value

    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("gelu-minimum", lambda x: x / 2 * (1 + scipy.special.erf(x / math.sqrt(2)))),
            ("swish-minimum", lambda x: x * scipy.special.expit(x)),
        ],
    )
    def test_smallest_value(self, name, function):
        found = scipy.optimize.minimize_scalar(function, bounds=(-3, 0), method="bounded")
        assert self.stated(name) == pytest.approx(found.fun, abs=6e-5)

    @pytest.mark.parametrize("end", [50, 10])
    def test_negative_codes_of_gelu(self, end):
        x = np.linspace(-8, 0, 100_001)
        codes = reference.quantize(x / 2 * (1 + scipy.special.erf(x / math.sqrt(2))), -end, end)
        assert len(set(codes[codes < 0])) == self.stated(f"gelu-codes-{end}")

    def test_gelu10_against_the_best_calibration(self):
        *before, clipped = rows("12")["BERT Large"].accuracies
        assert clipped - max(before) == pytest.approx(self.stated("gelu10-gain"))

    def test_partial_quantization_of_efficientnet(self):
        row = rows("6")["EfficientNet b0"]
        assert row.relative()[1] == pytest.approx(self.stated("efficientnet-b0-partial"), abs=0.005)
        assert row.layers - row.skipped == self.stated("efficientnet-b0-rest")

    def test_fine_tuning_in_fp32_lost_less_than_qat(self):
        fp32, tuned = rows("7")["EfficientNet b3"].fp32, self.stated("efficientnet-b3-fine-tuned")
        assert value("7", "EfficientNet b3", "QAT") < tuned < fp32

    def test_qat_is_within_one_percent_everywhere(self):
        assert min(row.relative()[1] for row in rows("7").values()) > -1


class TestErrata:
    def test_each_is_here(self):
        assert {erratum.id for erratum in PAPER.errata} == {
            "eq-11-sign",
            "eq-13-variable",
            "bert-ptq",
            "fcn-bold",
            "efficientnet-b3-partial",
            "qat-not-better",
            "same-calibration",
            "retinanet-task",
        }

    def test_each_marks_a_cell_that_exists(self):
        for erratum in PAPER.errata:
            if erratum.network is not None and erratum.column is not None:
                first = erratum.tables[0]
                assert value(first, erratum.network, erratum.column) > 0

    def test_bert_loses_less_than_one_percent(self):
        assert max(rows("5")["BERT Large"].relative()) == pytest.approx(-0.89, abs=0.005)
        lose_more = {network for network, row in rows("5").items() if max(row.relative()) < -1}
        assert lose_more == {"MobileNet v1", "MobileNet v2", "EfficientNet b0", "EfficientNet b3", "Transformer"}

    def test_the_marked_accuracy_of_fcn_is_not_the_best(self):
        assert rows("5")["FCN"].bold == ("percentile:99.999",)
        assert best("5", "FCN") == {"entropy", "percentile:99.99"}

    def test_table_6_has_the_accuracy_of_another_calibration(self):
        wrong = {
            network: [name for name in PAPER_CALIBRATIONS if value("5", network, name) == row.accuracies[0]]
            for network, row in rows("6").items()
            if value("5", network, row.calibration) != row.accuracies[0]
        }
        assert wrong == {"EfficientNet b3": ["entropy"]}
        assert rows("6")["EfficientNet b3"].calibration == "percentile:99.99"

    def test_qat_is_worse_than_ptq_for_five_networks_and_equal_for_one(self):
        order = Counter(
            (row.accuracies[1] > row.accuracies[0]) - (row.accuracies[1] < row.accuracies[0])
            for row in rows("7").values()
        )
        assert order == {1: 13, -1: 5, 0: 1}
        worse = {network for network, row in rows("7").items() if row.accuracies[1] < row.accuracies[0]}
        assert worse == {"ResNeXt101", "Mask R-CNN", "GNMT", "Faster R-CNN", "Jasper"}

    def test_the_best_calibration_is_the_same_for_7_of_19(self):
        same = [network for network, row in rows("7").items() if row.calibration in best("11", network)]
        assert len(same) == 7

    def test_retinanet_is_listed_under_detection(self):
        assert rows("2")["Retinanet"].task == "Detection"


@pytest.mark.parametrize(
    ("architecture", "network"),
    [
        ("mobilenetv1_100", "MobileNet v1"),  # timm's name; the others are torchvision's
        ("mobilenet_v2", "MobileNet v2"),
        ("resnext101_32x8d", "ResNeXt101"),
        ("inception_v4", "Inception v4"),
        ("fasterrcnn_resnet50_fpn", "Faster R-CNN"),
        ("maskrcnn_resnet50_fpn", "Mask R-CNN"),
        ("retinanet_resnet50_fpn", "Retinanet"),
        ("fcn_resnet101", "FCN"),
        ("deeplabv3_resnet101", "DeepLabV3"),
    ],
)
def test_architectures_have_their_row_of_table_5(architecture, network):
    row = paper_row(architecture)
    assert row is not None
    assert row.network == network


def test_another_backbone_is_not_the_papers_network():
    assert paper_row("fcn_resnet50") is None
    assert paper_row("retinanet_resnet50_fpn_v2") is None
