"""Process: an engine at arm's length; what it does wrong ends with an error here, not with this process."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.engines.protocol import Arrays, LayerTime, Source, rows
from qanalysis.engines.registry import ENGINES
from qanalysis.schema.errors import UserError

#: Time over which the shortest time of each step is taken, in ms.
_LAYER_MS = 1000.0


class EngineProcess:
    """A network compiled by an engine in a process of its own; use as a context manager, or close it.

    Args:
        engine: name of the engine.
        source: what to compile.

    Raises:
        UserError: if the engine cannot be used, cannot compile it, or crashes.
    """

    def __init__(self, engine: str, source: Source) -> None:
        self.engine = engine
        self.source = source
        self._folder = tempfile.TemporaryDirectory(prefix="qanalysis-engine-")
        self._log = Path(self._folder.name) / "log"
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qanalysis.engines.worker", str(os.getpid()), self._folder.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        try:
            given = ENGINES[engine].fitted(source, Path(self._folder.name)) if engine in ENGINES else source
            self.compile_seconds = float(self._ask("compile", engine=engine, source=given.json())["seconds"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        self._folder.cleanup()

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The first output `(N, …)` for one input `(N, …)` of any number of samples, a batch at a time."""
        return next(iter(self.outputs({"input": inputs}).values()))

    def outputs(self, inputs: Arrays) -> Arrays:
        """All outputs by name, for inputs by name, of any number of samples, a batch at a time."""
        parts: list[Arrays] = []
        given, outputs = Path(self._folder.name) / "inputs.npz", Path(self._folder.name) / "outputs.npz"
        for start in range(0, rows(inputs), self.source.batch):
            some = {name: values[start : start + self.source.batch] for name, values in inputs.items()}
            np.savez(given, allow_pickle=False, **some)
            self._ask("run", inputs=str(given), outputs=str(outputs))
            with np.load(outputs, allow_pickle=False) as answered:
                parts.append({name: answered[name] for name in answered.files})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def latency(self, seconds: float) -> list[float]:
        """Times of single inferences in ms on random inputs."""
        times: list[float] = self._ask("latency", seconds=seconds)
        return times

    def per_layer(self, repeats: int | None = None) -> tuple[LayerTime, ...]:
        """Time of every step: the shortest of so many executions, or of about a second's (20 at least).

        A few executions are not enough for small networks: threads that slept make the first ones many times slower.
        """
        if repeats is None:
            repeats = max(20, min(1000, round(_LAYER_MS / min(self.latency(0)))))
        return tuple(
            LayerTime(**{**entry, "nodes": tuple(entry["nodes"])}) for entry in self._ask("per_layer", repeats=repeats)
        )

    def int8_layers(self) -> frozenset[str]:
        """The file's nodes that are executed in integers."""
        return frozenset(self._ask("int8_layers"))

    def peak_bytes(self) -> int:
        """The most memory that the process has used so far."""
        return int(self._ask("memory")["peak_bytes"])

    def _ask(self, verb: str, **values: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": verb, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(self._crash(verb))
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer["result"]

    def _crash(self, verb: str) -> str:
        code = self._process.wait()
        how = f"with exit code {code}"
        if code < 0:
            how = f"by signal {Signals(-code).name}"
            if Signals(-code).name == "SIGKILL":
                how += ", most likely for lack of memory: use a smaller batch"
        last = self._log.read_text(errors="replace").strip().splitlines()[-1:] if self._log.exists() else []
        said = f" It said last: {last[0]}" if last else ""
        return (
            f"Engine {self.engine} crashed in {verb} (batch {self.source.batch}, {self.source.precision}) {how}.{said}"
        )
