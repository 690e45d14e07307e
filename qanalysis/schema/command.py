"""Command: the command line and the Python code that make a result again."""

import shlex

from qanalysis.schema.params.task import TaskParams
from qanalysis.schema.saved_plan import SavedPlan


def given(params: TaskParams) -> dict[str, object]:
    """Model, data, and every parameter that is not at its default."""
    fields = type(params).model_fields
    values = {name: getattr(params, name) for name in fields}
    return {name: v for name, v in values.items() if name in ("model", "data") or v != fields[name].default}


def command(analysis: str, params: TaskParams, file: str = "") -> str:
    """The command line that makes the same result; saved plans are named.

    Args:
        analysis: name of the analysis.
        params: its parameters.
        file: where it writes the result; by default a file of the analysis' name.
    """
    parts = ["qanalysis", analysis]
    for name, value in given(params).items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            parts.append(option if value else option.replace("--", "--no-", 1))
        else:
            text = ",".join(map(_written, value)) if isinstance(value, tuple) else _written(value)
            parts += [option, shlex.quote(text)]
    return " ".join([*parts, "--json", file or f"{analysis}.json"])


def code(analysis: str, params: TaskParams) -> str:
    """The Python code that makes the same result; saved plans are named."""
    values = {name: _named(value) for name, value in given(params).items()}
    arguments = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    call = f'result = qanalysis.run(\n    "{analysis}",\n{arguments})'
    return f"import qanalysis\n\n{call}\nprint(result.model_dump_json(indent=1))"


def run_file(file: str, *, imports_code: bool, json: str = "") -> str:
    """The command line that runs a configuration file.

    Args:
        file: its name.
        imports_code: whether names in it import code, which has to be allowed.
        json: where it writes the result, if anywhere.
    """
    options = [*(["--allow-python"] if imports_code else []), *(["--json", json] if json else [])]
    return " ".join(["qanalysis", "run", file, *options])


def needs_file(params: TaskParams) -> bool:
    """Whether a command line alone is not enough elsewhere, because it names plans that are only saved here."""
    return any(
        isinstance(part, SavedPlan)
        for value in given(params).values()
        for part in (value if isinstance(value, tuple) else (value,))
    )


def _named(value: object) -> object:
    return tuple(map(_named, value)) if isinstance(value, tuple) else getattr(value, "name", value)


def _written(value: object) -> str:
    return value.name if isinstance(value, SavedPlan) else str(value)
