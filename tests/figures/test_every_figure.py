"""What holds for all figures, drawn once in each theme."""

import json
import subprocess
import sys

import pytest

from qanalysis.figures import compare, model
from qanalysis.figures.benchmark import latency, parity, tradeoff
from qanalysis.figures.calibration import costs, divergence, histogram, overview, weights
from qanalysis.figures.ptq import clipped, ptq
from qanalysis.figures.qat import accuracy
from qanalysis.figures.sensitivity import fig3, partial
from qanalysis.insight.headline import headline
from qanalysis.numerics.calibrate import clipped_at, kl_divergence_curve
from qanalysis.numerics.error import quantization_error
from qanalysis.numerics.spec import QuantizerSpec
from qanalysis.schema.paper import paper_row
from qanalysis.schema.results.answers import ClassAccuracy
from tests.figures import benchmarks, factories, trainings
from tests.schema.instances import INSTANCES

CUTOFFS = {"max": 30.0, "entropy": 30.0, "percentile:99.9": 3.3}
ERRORS = {
    name: quantization_error(factories.relu(), clipped_at(cutoff, factories.relu(), QuantizerSpec()), QuantizerSpec())
    for name, cutoff in CUTOFFS.items()
}
RESULT = factories.weights(*factories.CHANNELS)
ROWS = factories.sensitivity_rows(5)
STEPS = factories.partial(73.0, 75.0, 75.5, chosen=2)
PINS = [partial.Pin("mine", 75.0, (-1.3, -0.7), 95.0, 1_000_000)]
AGAINST = {"fp32": 76.0, "target": 1.0, "metric": "accuracy"}

FIGURES = {
    "histogram.activation": lambda theme: histogram.activation(factories.relu(), CUTOFFS, theme=theme, custom=2.0),
    "divergence.divergence": lambda theme: divergence.divergence(
        kl_divergence_curve(factories.relu()), CUTOFFS, theme=theme, custom=2.0
    ),
    "compare.changes": lambda theme: compare.changes(
        [("a", headline(factories.ptq())), ("b", headline(factories.sensitivity(ROWS, STEPS)))], theme=theme
    ),
    "compare.ranges": lambda theme: compare.ranges(["a", "b"], {"conv1": (1.0, 0.5), "fc": (2.0, None)}, theme=theme),
    "compare.classes": lambda theme: compare.classes(
        [ClassAccuracy(number=0, samples=10, before=9, after=7)], ["cat"], theme=theme
    ),
    "costs.costs": lambda theme: costs.costs(ERRORS, theme=theme),
    "overview.ratio": lambda theme: overview.ratio({"max": {"a": 1.0}}, {"a": 2.0}, theme=theme, selected="a"),
    "overview.sqnr": lambda theme: overview.sqnr({"max": {"a": 20.0}}, theme=theme),
    "weights.channels": lambda theme: weights.channels(RESULT, theme=theme, folded=True, selected="fc"),
    "weights.one_site": lambda theme: weights.one_site(RESULT, "stem", theme=theme),
    "weights.accuracy": lambda theme: weights.accuracy(RESULT, theme=theme),
    "ptq.bars": lambda theme: ptq.bars(factories.ptq(accuracies=(75.0, 75.5, 1.0)), theme=theme),
    "ptq.against_paper": lambda theme: ptq.against_paper(factories.ptq(), paper_row("inception_v4"), theme=theme),
    "clipped.bars": lambda theme: clipped.bars(INSTANCES["clip"], theme=theme),
    "model.macs": lambda theme: model.macs(factories.COVERAGE, theme=theme, kept=["fc"]),
    "fig3.bars": lambda theme: fig3.bars(ROWS, fp32=76.0, floats={"blocks.1.conv"}, theme=theme),
    "fig3.fig3": lambda theme: fig3.fig3(factories.sensitivity(ROWS, STEPS), theme=theme),
    "fig3.proxies": lambda theme: fig3.proxies(factories.sensitivity(ROWS), theme=theme),
    "partial.steps": lambda theme: partial.steps(STEPS, theme=theme, **AGAINST),
    "partial.tradeoff": lambda theme: partial.tradeoff(STEPS, PINS, theme=theme, **AGAINST),
    "latency.latency": lambda theme: latency.latency(benchmarks.ROWS, theme=theme),
    "latency.layers": lambda theme: latency.layers(benchmarks.LAYERS.rows, ["fp32", "int8"], theme=theme),
    "latency.roofline": lambda theme: latency.roofline(benchmarks.LAYERS.rows, benchmarks.ROOFLINE, theme=theme),
    "latency.gemm": lambda theme: latency.gemm(benchmarks.GEMM, theme=theme),
    "latency.gemm_ratio": lambda theme: latency.gemm_ratio(benchmarks.GEMM, {"int8": 4.0}, theme=theme),
    "parity.sites": lambda theme: parity.sites(benchmarks.PARITY, 1e-3, theme=theme),
    "tradeoff.tradeoff": lambda theme: tradeoff.tradeoff(
        [tradeoff.Point("a", "a", "int8", 1.0, 75.0, 1, 3), tradeoff.Point("b", "b", "fp32", 3.0, 76.0, 3, 3)],
        fp32=76.0,
        target=1.0,
        theme=theme,
    ),
    "tradeoff.checks": lambda theme: tradeoff.checks(benchmarks.SPEED.checks, theme=theme),
    "accuracy.loss": lambda theme: accuracy.loss(trainings.COURSES, steps=80, steps_per_epoch=20, theme=theme),
    "accuracy.accuracy": lambda theme: accuracy.accuracy(trainings.COURSES, fp32=91.0, ptq=65.0, last=4, theme=theme),
    "accuracy.pace": lambda theme: accuracy.pace(trainings.COURSES, steps=80, theme=theme),
    "accuracy.ranges": lambda theme: accuracy.ranges(
        trainings.trace(), ["conv1"], fixed=trainings.BEFORE, steps=80, theme=theme
    ),
    "accuracy.moves": lambda theme: accuracy.moves(trainings.BEFORE, {"conv1": 1.0}, theme=theme),
    "accuracy.weights": lambda theme: accuracy.weights(trainings.trace(), "conv1", theme=theme),
    "accuracy.comparison": lambda theme: accuracy.comparison(
        [accuracy.RunCurves("a", trainings.epochs(65, 80), trainings.epochs(91, 90))], fp32=91.0, theme=theme
    ),
}


@pytest.fixture(scope="module", params=[(name, theme) for name in FIGURES for theme in ("light", "dark")], ids="-".join)
def figure(request):
    name, theme = request.param
    return FIGURES[name](theme)


def test_sits_on_the_pages_background(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_has_no_title_and_a_height(figure):
    assert figure.layout.title.text is None
    assert figure.layout.height >= 150


def test_every_shape_has_a_colour(figure):
    """Shapes without one are black, and vanish on a dark page."""
    assert all(shape.line.color or (shape.fillcolor and shape.line.width == 0) for shape in figure.layout.shapes)


def test_every_annotation_has_a_colour(figure):
    assert all(annotation.font.color for annotation in figure.layout.annotations)


def test_every_axis_is_named_or_has_names(figure):
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert axis.title.text or axis.ticktext


def test_no_template_is_sent(figure):
    assert len(figure.layout.template.to_plotly_json().get("layout", {})) == 0


def test_is_json(figure):
    assert json.loads(figure.to_json())["layout"]["height"] == figure.layout.height


@pytest.mark.parametrize("name", FIGURES)
def test_themes_differ(name):
    light, dark = FIGURES[name]("light"), FIGURES[name]("dark")
    assert light.layout.font.color != dark.layout.font.color


@pytest.mark.parametrize("name", FIGURES)
def test_says_how_to_read_it(name):
    module, function = name.split(".")
    modules = (
        latency,
        compare,
        clipped,
        parity,
        tradeoff,
        costs,
        divergence,
        histogram,
        model,
        overview,
        partial,
        ptq,
        accuracy,
        fig3,
        weights,
    )
    sentences = {m.__name__.rpartition(".")[2]: m for m in modules}
    words = sentences[module].HOW_TO_READ[function]
    assert words.endswith(".")
    assert 60 < len(words) < 400


def test_drawing_needs_neither_streamlit_nor_torch():
    code = "import sys, qanalysis.figures; print([m for m in ('torch', 'streamlit') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
