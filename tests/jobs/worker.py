"""A job's process whose analyses cost nothing: the name of the data says what they do.

Run by engines under test as `python -m tests.jobs.worker ID`.
"""

import os
import sys
import time
from pathlib import Path

from qanalysis.jobs.local import LocalRunner
from qanalysis.jobs.store import Store
from qanalysis.jobs.worker import work
from qanalysis.schema.errors import UserError

COMMAND = (sys.executable, "-m", "tests.jobs.worker")
STEPS = 6
#: The step that waits for the file `go`.
HALF = 3


class Saved:
    def __init__(self, text: str) -> None:
        self.text = text

    def save(self, path: Path) -> None:
        path.write_text(self.text)


def run(params, report, folder: Path) -> Saved:
    home = Path(os.environ["QANALYSIS_HOME"])
    print(f"working on {params.data}")
    if params.data == "raise":
        raise UserError("`0 < p <= 100` must hold, but got p=120.")
    if params.data == "memory":
        raise MemoryError
    if params.data == "torch":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried")
    if params.data == "crash":
        os.abort()
    if params.data in ("wait", "count"):
        measured = folder / "measured"
        measured.mkdir(exist_ok=True)
        computed = 0
        for step in range(STEPS):
            report("progress", stage="steps", done=step, total=STEPS)
            while step == HALF and not (home / "go").exists():
                time.sleep(0.02)
            kept = measured / f"{step}.npz"
            if not kept.exists():
                computed += 1
                kept.write_text("measured")
            report("row", step=step)
            report("table", rows=[{"step": n} for n in range(step + 1)])
        return Saved(f"computed {computed}")
    return Saved("finished")


if __name__ == "__main__":
    if os.environ.get("TEST_WORKER") == "does not come up":
        sys.exit(3)
    analyses = dict.fromkeys(("describe", "evaluate", "ptq", "sensitivity", "weights"), run)
    sys.exit(work(LocalRunner(Store(), COMMAND), sys.argv[1], analyses))
