"""Worker: one engine in a process of its own, told what to do in lines of JSON.

An engine that crashes takes nothing else with it, its memory is its own, and its threads end with it. Arrays go through
files. `qanalysis.engines.process` is the other side.
"""

import json
import os
import resource
import shutil
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.engines.protocol import Arrays, Compiled, Source
from qanalysis.engines.registry import engine


class _Worker:
    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._inputs: Arrays = {}

    def answer(self, request: dict[str, Any]) -> Any:
        """What a request asks for.

        Raises:
            ValueError: if the engine cannot do it.
        """
        verb = request["do"]
        if verb == "compile":
            start = time.perf_counter()
            self._compiled = None  # its memory first
            source = Source.of(request["source"])
            self._compiled = engine(request["engine"]).compile(source)
            self._inputs = source.inputs
            return {"seconds": time.perf_counter() - start}
        if verb == "memory":
            return {"peak_bytes": _peak_bytes()}
        assert self._compiled is not None, "compile comes first"
        if verb == "run":
            with np.load(request["inputs"], allow_pickle=False) as given:
                outputs = self._compiled.run({name: given[name] for name in given.files})
            np.savez(request["outputs"], allow_pickle=False, **outputs)
            return {}
        if verb == "latency":
            return self._compiled.latency(self._inputs, request["seconds"])
        if verb == "per_layer":
            return [asdict(layer) for layer in self._compiled.per_layer(self._inputs, request["repeats"])]
        assert verb == "int8_layers", verb
        return sorted(self._compiled.int8_layers())


def _peak_bytes() -> int:
    """The most memory that this process has had; what `getrusage` says includes its parent before it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_with(parent: int, folder: str) -> None:
    """Ends this process within a second of its parent, which may be killed in the middle of a request.

    Args:
        parent: number of the parent's process.
        folder: the parent's folder for this engine, which nobody else would remove then.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Answers requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints does not mix with the answers
    worker = _Worker()
    for line in sys.stdin:
        try:
            answer = {"result": worker.answer(json.loads(line))}
        except (ValueError, OSError) as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "Not enough memory: use a smaller batch."}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    victim = Path("/proc/self/oom_score_adj")
    if victim.exists():
        victim.write_text("500")  # where memory runs out, this process is the one to end
    end_with(int(sys.argv[1]), sys.argv[2])
    main()
    shutil.rmtree(sys.argv[2], ignore_errors=True)  # there are no more requests: who asked is gone
