"""See what int8 quantization does to a network, after Wu et al. 2020.

    import qanalysis

    result = qanalysis.run("ptq", model="sample:resnet20", calibrations=("max", "entropy"))
    print(result.fp32, [(row.calibration, row.accuracy) for row in result.rows])
    again = qanalysis.run_file("ptq.toml")  # a configuration file, as every page of the dashboard offers it

`run` is what the command line and the dashboard call, too. The parts it is made of are public as well:
`qanalysis.numerics` (histograms, calibration, quantization), `qanalysis.nn` (sites, observation, quantized models,
folding), `qanalysis.models` and `qanalysis.data` (loading by name), `qanalysis.figures` (results as Plotly figures).
"""

from pathlib import Path
from typing import Any

from qanalysis import names
from qanalysis.schema.analyses import ANALYSES
from qanalysis.schema.errors import UserError
from qanalysis.schema.results.common import Result

__all__ = ["run", "run_file"]


def run(analysis: str, *, folder: Path | None = None, **params: Any) -> Result:
    """Runs an analysis.

    Args:
        analysis: its name, a key of `qanalysis.schema.analyses.ANALYSES`.
        folder: where to keep its files (histograms; what was measured, from which a run that was stopped goes on).
        params: fields of the analysis' parameters (`qanalysis.schema.params.accuracy`).

    Raises:
        UserError: with one sentence, for an unknown analysis, bad parameters, names, files or data.
    """
    if analysis not in ANALYSES:
        raise UserError(f"Unknown analysis {analysis!r}; choose from {', '.join(ANALYSES)}.")
    from qanalysis.analysis.measure.progress import silent

    chosen = ANALYSES[analysis]
    return chosen.run(chosen.params(**params), silent, folder)


def run_file(path: str | Path, *, folder: Path | None = None, allow_python: bool = False) -> Result:
    """Runs what a configuration file says (`qanalysis.schema.configuration`).

    Args:
        path: the TOML file.
        folder: as for `run`.
        allow_python: whether names in the file may import code (`python:`).

    Raises:
        UserError: with one sentence, for a file that is not good or names code, and whatever `run` raises it for.
        OSError: if the file cannot be read.
    """
    from qanalysis.schema import configuration

    analysis, params = configuration.load(Path(path))
    if not allow_python:
        remedy = "if you trust it, say allow_python=True."
        names.refuse_code(params.model, params.data, where=str(path), remedy=remedy)
    return run(analysis, folder=folder, **dict(params))
