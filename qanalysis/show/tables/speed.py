"""Benchmarks, agreement, layers and searches as tables."""

from collections.abc import Sequence

import pandas as pd

from qanalysis.schema.flavours import engine_label
from qanalysis.schema.results.benchmark import AgreementRow, BenchmarkRow, GemmRow, Layers, SpeedStep


def row_table(rows: Sequence[BenchmarkRow]) -> pd.DataFrame:
    """One row for each network, engine and batch size."""
    return pd.DataFrame(
        [
            {
                "engine": engine_label(row.engine),
                "precision": row.precision,
                "plan": row.plan,
                "batch": row.batch,
                "median ms": row.latency_ms.median,
                "shortest ms": row.latency_ms.min,
                "95 % below, ms": row.latency_ms.p95,
                "samples/s": round(row.throughput),
                "speed-up": row.speedup,
                "95 % interval": "–"
                if row.speedup_interval is None
                else f"{row.speedup_interval[0]:.2f} to {row.speedup_interval[1]:.2f}",
                "really int8": f"{row.int8_sites} of {row.planned_sites}" if row.plan else "–",
                "memory MB": round(row.memory_mb),
                "file MB": row.file_mb,
                "ready after s": round(row.compile_seconds, 2),
            }
            for row in rows
        ]
    )


def agreement_table(rows: Sequence[AgreementRow], metric: str) -> pd.DataFrame:
    """One row for each network and engine."""
    return pd.DataFrame(
        [
            {
                "engine": engine_label(row.engine),
                "precision": row.precision,
                "plan": row.plan,
                "same answer as simulated %": row.agreement,
                f"{metric} in the engine %": row.accuracy,
                f"{metric} simulated %": row.simulated,
                "difference, points": row.accuracy - row.simulated,
                "samples": row.samples,
            }
            for row in rows
        ]
    )


def layer_table(layers: Layers) -> pd.DataFrame:
    """One row for each layer: times, what really ran, and how near to the best of this machine."""
    rows = []
    for row in layers.rows:
        entry: dict[str, object] = {"layer": row.site, "kind": row.kind, "M MACs": row.macs / 1e6}
        for name in layers.total_ms:
            entry[f"{name} ms"] = row.ms.get(name)
        for name in layers.total_ms:
            entry[f"converting, {name} ms"] = row.conversion_ms.get(name)
        entry["speed-up"] = row.speedup
        entry["planned"] = "int8" if row.planned else "float"
        for name in layers.total_ms:
            entry[f"asked {name}, ran"] = row.ran.get(name, "")
        for name in layers.total_ms:
            entry[f"kernel, {name}"] = row.kernel.get(name, "")
        for name in layers.total_ms:
            share = row.roof.get(name)
            entry[f"of the roof, {name} %"] = None if share is None else 100 * share
        last = next((name for name in ("int8", *reversed(list(layers.total_ms))) if name in row.bound), "")
        entry["limit"] = {"compute": "arithmetic", "memory": "memory"}.get(row.bound.get(last, ""), "")
        entry["executed with"] = ", ".join(row.fused_with)
        rows.append(entry)
    return pd.DataFrame(rows)


def step_table(steps: Sequence[SpeedStep], metric: str) -> pd.DataFrame:
    """One row for each plan that the search tried."""
    return pd.DataFrame(
        [
            {
                "tried": step.why,
                "layers in float": len(step.skipped),
                f"{metric} %": step.accuracy,
                "relative %": step.relative,
                "predicted ms": step.predicted_ms,
                "within": "✓" if step.accepted else "✗",
            }
            for step in steps
        ]
    )


def gemm_table(rows: Sequence[GemmRow]) -> pd.DataFrame:
    """One row for each size of the matrices, 10⁹ operations per second by precision (Table 1)."""
    frame = pd.DataFrame([{"matrix size": row.size, "precision": row.precision, "gops": row.gops} for row in rows])
    order = list(dict.fromkeys(frame["precision"]))
    return frame.pivot(index="matrix size", columns="precision", values="gops")[order].reset_index()
