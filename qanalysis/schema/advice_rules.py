"""Rules of the advice."""

from collections.abc import Mapping

from qanalysis.schema.advice import Advice
from qanalysis.schema.result import Result
from qanalysis.schema.workflow import Stage


def of_workflow(results: Mapping[Stage, Result]) -> tuple[Advice, ...]:
    """Advice on all stages."""
    return ()
