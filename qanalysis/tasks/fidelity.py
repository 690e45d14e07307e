"""Fidelity: outputs of any shape against fp32's; for every network there is, and without targets."""

from typing import Any

from qanalysis.schema.tasks import TASKS
from qanalysis.tasks.task import Task


class Fidelity(Task):
    """1 - NMSE of the outputs in %, the mean over samples and outputs; targets are not looked at."""

    name = "fidelity"
    words = TASKS["fidelity"].words
    graded = True

    def check_targets(self, targets: Any) -> None:
        """See `Task.check_targets`: any will do."""
