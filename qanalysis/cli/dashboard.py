"""`qanalysis dashboard`: the dashboard, from a checkout or an installed wheel."""

import argparse
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from qanalysis.schema.catalog import beside
from qanalysis.schema.errors import UserError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to the parser."""
    dashboard = commands.add_parser("dashboard", help="start the dashboard", description="Starts the dashboard.")
    dashboard.add_argument("--port", type=int, default=8501, help="where it listens (default: 8501)")
    dashboard.add_argument("--address", default="127.0.0.1", help="on which address (default: 127.0.0.1, this machine)")
    dashboard.add_argument(
        "--root",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder that pages may read, besides results and samples (default: the working folder)",
    )
    dashboard.add_argument("--allow-python", action="store_true", help="names may import code (python:)")


def run(options: argparse.Namespace) -> int:
    """Starts the server and waits for its end.

    Raises:
        UserError: if the extra `ui` is not installed, or a folder is none.
    """
    if importlib.util.find_spec("streamlit") is None or importlib.util.find_spec("plotly") is None:
        raise UserError("The dashboard needs Streamlit and Plotly: pip install 'qanalysis[ui]'.")
    if not 0 < options.port < 65536:
        raise UserError(f"--port must be a number from 1 to 65535, but got {options.port}.")
    environment = dict(os.environ)
    for root in options.root:
        if not root.is_dir():
            raise UserError(f"--root: there is no folder {root}")
    if options.root:
        environment["QANALYSIS_ROOTS"] = os.pathsep.join(str(root.resolve()) for root in options.root)
    if options.allow_python:
        environment["QANALYSIS_ALLOW_PYTHON"] = "1"
    script = Path(__file__).parents[1] / "ui" / "start" / "app.py"
    place = ["--server.port", str(options.port), "--server.address", options.address]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *_settings(), *place]
    if os.name == "posix":  # the server takes this process' place, and its signals
        os.execve(sys.executable, command, environment)
    return subprocess.call(command, env=environment)


def _settings() -> list[str]:
    """The settings of the checkout's `.streamlit/config.toml` as options: where a wheel runs there is no such file."""
    folder = beside("streamlit")
    file = (folder if folder.is_dir() else beside(".streamlit")) / "config.toml"
    return [f"--{name}={value}" for name, value in _flat(tomllib.loads(file.read_text(encoding="utf-8")))]


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs
