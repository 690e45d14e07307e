"""How long the server takes to answer a move on each lesson of the Learn page.

Runs the page in Streamlit's test harness, which executes the whole script for every move: an upper bound of what the
running dashboard does, where only the fragment with the figure is executed again. A second number is that of values
never seen before (another distribution or other bits), whose curves are not cached yet.

    python benchmarks/learn.py
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from streamlit.testing.v1 import AppTest

import qanalysis
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import CalibrateParams, PtqParams

MOVES = 20

#: What moves on each lesson: kind of widget, its key, and its values.
WIDGETS: dict[str, tuple[str, str, list[object]]] = {
    "affine-and-scale": ("number_input", "learn-value", [0.1 * i for i in range(MOVES + 3)]),
    "granularity": ("slider", "learn-weight-bits", [2 + i % 7 for i in range(MOVES + 3)]),
    "cost-of-affine": ("slider", "learn-zx", [i - 10 for i in range(MOVES + 3)]),
    "clipping-and-rounding": ("slider", "learn-cutoff", [20.0 + i for i in range(MOVES + 3)]),
    "entropy": ("slider", "learn-kept", [300 + 10 * i for i in range(MOVES + 3)]),
    "fake-quantization": ("slider", "learn-fake-value", [0.05 * i for i in range(MOVES + 3)]),
    "minima": ("slider", "learn-start", [-1.0 + 0.1 * i for i in range(MOVES + 3)]),
    "gelu-and-swish": ("slider", "learn-gelu-clip", [20.0 + i for i in range(MOVES + 3)]),
    "folding": ("slider", "learn-spread", [0.25 * (i % 16) for i in range(MOVES + 3)]),
    "results": ("selectbox", "learn-table", ["5", "7", "11", "3"] * (MOVES // 4 + 1)),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QANALYSIS_HOME"] = folder
        engine = LocalRunner(Store())
        jobs = [
            engine.submit("calibrate", CalibrateParams(model="sample:vit")),
            engine.submit("ptq", PtqParams(calibration_samples=16, evaluation_samples=64)),
        ]
        while any(engine.store.job(job).live for job in jobs):
            engine.pump()
            time.sleep(0.2)
        app = AppTest.from_file(str(Path(qanalysis.__file__).parent / "ui" / "main.py"), default_timeout=60)
        app.run()
        app.switch_page("../../pages/6_Learn.py").run()
        found = {}
        for lesson, (kind, key, values) in WIDGETS.items():
            app.query_params["lesson"] = lesson
            app.run()
            found[lesson] = timed([partial(move, app, kind, key, value) for value in values])
        app.query_params["lesson"] = "entropy"
        app.run()
        fresh = [once(partial(move, app, "slider", "learn-cal-bits", bits)) for bits in (8, 7, 6, 5, 3, 2)]
        assert not app.exception
    print(json.dumps({"median_ms": found, "slowest_median_ms": max(found.values()), "new_bits_ms": fresh}, indent=1))


def move(app: AppTest, kind: str, key: str, value: object) -> None:
    getattr(app, kind)(key=key).set_value(value).run()


def timed(moves: list[Callable[[], object]]) -> float:
    """Median of the moves but the first three, in ms."""
    return round(median([once(move) for move in moves][3:]), 1)


def once(move: Callable[[], object]) -> float:
    start = time.perf_counter()
    move()
    return round(1e3 * (time.perf_counter() - start), 1)


if __name__ == "__main__":
    main()
