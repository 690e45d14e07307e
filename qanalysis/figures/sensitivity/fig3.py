"""Sensitivity of single layers (section 5.1): bars to watch while they are measured, Fig. 3, and cheap proxies."""

import plotly.graph_objects as go

from qanalysis.figures.look.theme import Theme, blank, precision_colour
from qanalysis.figures.sensitivity.bars import MODES, hover
from qanalysis.figures.sensitivity.bars import bars as bars
from qanalysis.figures.sensitivity.curves import Curve, chosen, drawn
from qanalysis.figures.sensitivity.partial import steps_curve
from qanalysis.figures.sensitivity.proxies import proxies as proxies
from qanalysis.figures.sensitivity.scales import Shown as Shown
from qanalysis.schema.results.sensitivity import SensitivityResult

HOW_TO_READ = {
    "bars": (
        "One bar per layer, the most sensitive at the top; in every measure a longer bar is more harm, and the whisker "
        "is its 95 % interval. Layers in one shaded band marked “tie” cannot be told apart by this many samples: their "
        "order means nothing yet."
    ),
    "fig3": (
        "Circles: accuracy with only this layer quantized, most sensitive first. Squares: accuracy when this layer and "
        "all before it stay in floating point and the rest is quantized. The first square above the dotted line is the "
        "number of layers to skip. Whiskers are 95 % intervals of the change from fp32."
    ),
    "proxies": (
        "One dot per layer: measured harm to the right, what a cheap score predicts upwards. A score that ranks layers "
        "as the measurement does gives a rising row of dots and a correlation near 1; named dots are those that it "
        "misjudges most. On the dotted line Fisher information foretells the divergence exactly."
    ),
}

#: Most layers that `fig3` shows at first.
SHOWN = 30


def fig3(result: SensitivityResult, *, theme: Theme = "light") -> go.Figure:
    """Accuracy one layer at a time and with the most sensitive layers skipped (Fig. 3), with intervals.

    Of many layers the view shows the first ones, as the paper's figure does; a double click shows all.
    """
    rows, partial = result.rows, result.partial
    if not rows:
        return blank("No layer has been measured yet.", theme, 400)
    mode, params = MODES[result.params.mode], result.params
    hovers = [hover(row, result.fp32, result.metric, result.words, params.mode, rows) for row in rows]
    aside = 0.12 if partial is not None and partial.steps else 0.0  # or whiskers would lie on whiskers
    positions = [i - aside for i in range(1, len(rows) + 1)]
    curves = [Curve(mode, positions, rows, hovers, precision_colour("int8", theme), "circle", width=1)]
    if partial is not None and partial.steps:
        name = "this layer and all before it skipped"
        curves.append(steps_curve(partial, result.fp32, result.metric, name, theme))
    most = len(partial.steps) - 1 if partial is not None else 0
    last = len(rows) if len(rows) <= SHOWN else min(len(rows), max(2 * most, 20))
    view = f" (first {last} of {len(rows)})" if last < len(rows) else ""
    return drawn(
        curves,
        fp32=result.fp32,
        target=params.target,
        quantized=result.quantized,
        metric=result.metric,
        title=f"layers in order of sensitivity{view}",
        last=last,
        theme=theme,
        marks=[] if partial is None else chosen(partial, len(rows)),
    )
