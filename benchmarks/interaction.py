"""How long the server takes to answer a move of the cutoff on the calibration page.

Runs the page in Streamlit's test harness, which executes the whole script for every move: an upper bound of what the
running dashboard does, where only the fragment with the histogram is executed again.

    python benchmarks/interaction.py
"""

import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from streamlit.testing.v1 import AppTest

import qanalysis
from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.schema.params.accuracy import CalibrateParams

MOVES = 30


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QANALYSIS_HOME"] = folder
        store = Store()
        job = LocalRunner(store).submit("calibrate", CalibrateParams(calibration_samples=64))
        while store.job(job).live:
            time.sleep(0.2)
        app = AppTest.from_file(str(Path(qanalysis.__file__).parent / "ui" / "main.py"), default_timeout=60)
        app.query_params["samples"] = "64"
        app.run()
        app.switch_page("../../pages/1_Calibration.py").run()
        times = []
        for move in range(MOVES + 3):
            start = time.perf_counter()
            app.slider(key="custom-percent").set_value(20.0 + move).run()
            if move >= 3:
                times.append(1e3 * (time.perf_counter() - start))
        assert not app.exception
    print(json.dumps({"moves": MOVES, "median_ms": round(median(times), 1), "maximum_ms": round(max(times), 1)}))


if __name__ == "__main__":
    main()
