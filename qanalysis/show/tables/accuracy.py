"""Calibration, accuracy and training as tables."""

from collections.abc import Sequence

import pandas as pd

from qanalysis.insight.words import calibration_label, divergence_column
from qanalysis.numerics.change import relative
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.answers import AnswersResult, ClassAccuracy
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.clip import FLOAT, ClipResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import Change, Partial, SensitivityResult
from qanalysis.schema.results.weights import WeightsResult
from qanalysis.schema.site import Coverage


def site_table(coverage: Coverage) -> pd.DataFrame:
    """One row per site: what it is and what it costs."""
    return pd.DataFrame(
        {
            "site": [site.name for site in coverage.sites],
            "kind": ["depthwise convolution" if site.depthwise else site.kind for site in coverage.sites],
            "input": ["×".join(map(str, site.input_shape[1:])) for site in coverage.sites],
            "weight": ["×".join(map(str, site.weight_shape or ())) for site in coverage.sites],
            "MACs": [site.macs for site in coverage.sites],
            "share %": [round(100 * site.macs / max(coverage.macs, 1), 2) for site in coverage.sites],
        }
    )


def range_table(result: CalibrateResult) -> pd.DataFrame:
    """One row per activation, one column per calibration: largest magnitude represented."""
    frame = pd.DataFrame(result.ranges)
    frame.index.name = "activation"
    return frame.reset_index()


def channel_table(result: WeightsResult) -> pd.DataFrame:
    """One row per output channel of every weight."""
    rows = [
        {"site": c.site, "channel": i, "amax": amax, "folded amax": c.folded_amax[i] if c.folded_amax else None}
        for c in result.channels
        for i, amax in enumerate(c.amax)
    ]
    return pd.DataFrame(rows)


def ptq_table(result: PtqResult) -> pd.DataFrame:
    """One row per calibration, as in the paper's Table 5, with what the paper does not tell."""
    rows = [
        {
            "calibration": calibration_label(row.calibration),
            f"{result.metric} %": round(row.accuracy, 2),
            "relative %": round(row.relative, 2),
            "95 % interval": f"{row.accuracy_interval[0]:.2f} to {row.accuracy_interval[1]:.2f}",
            "change, points": points(row.change_interval),
            "same answer as fp32 %": round(row.agreement, 2),
            "SQNR dB": None if row.sqnr is None else round(row.sqnr, 1),
            "best": "★" if row.calibration == result.best else "",
        }
        for row in result.rows
    ]
    return pd.DataFrame(rows)


def sensitivity_table(result: SensitivityResult) -> pd.DataFrame:
    """One row per layer, the most sensitive first."""
    rows = [
        {
            "layer": row.site,
            **_change(result.metric, row),
            divergence_column(result.words): row.divergence,
            "SQNR dB": None if row.sqnr is None else round(row.sqnr, 1),
            "MACs": row.macs,
            "samples": row.samples,
            "tie": row.tie,
            **{proxy.name: proxy.values[row.site] for proxy in result.proxies},
        }
        for row in result.rows
    ]
    return pd.DataFrame(rows)


def qat_table(result: QatResult) -> pd.DataFrame:
    """One row per epoch of the fine-tune and of its control; epoch 0 is before training."""
    runs = [run for run in (result.run, result.control) if run is not None]
    rows = [
        {
            "run": "QAT" if run.phase == "qat" else "fp32 control",
            "epoch": epoch.epoch,
            "step": epoch.step,
            f"{result.metric} %": round(epoch.accuracy, 2),
            "relative %": round(relative(epoch.accuracy, result.fp32.accuracy), 2),
            "set aside %": None if epoch.validation_accuracy is None else round(epoch.validation_accuracy, 2),
            "loss set aside": epoch.validation_loss,
            "kept": "★" if epoch.epoch == run.best_epoch else "",
        }
        for run in runs
        for epoch in run.epochs
    ]
    return pd.DataFrame(rows)


def trained_table(result: QatResult) -> pd.DataFrame:
    """Accuracy of floating point, of PTQ, of QAT, and of floating point that was trained alike (Table 7)."""
    rows: list[dict[str, object]] = [
        {
            "": "fp32",
            f"{result.metric} %": round(result.fp32.accuracy, 2),
            "relative %": None,
            "change, points": "",
        }
    ]
    for name, change in (("PTQ", result.ptq), ("QAT", result.qat), ("fp32, fine-tuned alike", result.fp32_control)):
        if change is not None:
            rows.append({"": name, **_change(result.metric, change)})
    return pd.DataFrame(rows)


def clip_table(result: ClipResult) -> pd.DataFrame:
    """One row per network of Table 12, floating point first."""
    rows: list[dict[str, object]] = [
        {
            "network": "as it is",
            "calibration": FLOAT,
            f"{result.metric} %": round(result.fp32, 2),
            "relative %": 0.0,
            "change, points": "",
            "SQNR dB": None,
        }
    ]
    rows += [
        {
            "network": f"clipped at {result.params.at:g}" if row.clipped else "as it is",
            "calibration": row.calibration if row.calibration == FLOAT else calibration_label(row.calibration),
            f"{result.metric} %": round(row.accuracy, 2),
            "relative %": round(row.relative, 2),
            "change, points": points(row.change_interval),
            "SQNR dB": None if row.sqnr is None else round(row.sqnr, 2),
        }
        for row in result.rows
    ]
    return pd.DataFrame(rows)


def weights_table(result: WeightsResult) -> pd.DataFrame:
    """One row per granularity, batch norm folded or not (Table 3)."""
    rows = [
        {
            "weights": row.granularity,
            "batch norm": "folded" if row.folded else "as trained",
            f"{result.metric} %": round(row.accuracy, 2),
            "relative %": round(row.relative, 2),
            "change, points": points(row.change_interval),
        }
        for row in result.rows
    ]
    return pd.DataFrame(rows)


def changed_table(result: AnswersResult) -> pd.DataFrame:
    """One row per sample that was shown, those that differ most from fp32 first."""
    rows = []
    for one in result.changed:
        row: dict[str, object] = {result.words.sample: one.sample}
        for name in one.same:
            label = calibration_label(name)
            row[f"kept, {label} %"] = round(100 * one.same[name], 1)
            row[f"{divergence_column(result.words)}, {label}"] = one.divergence[name]
        rows.append(row)
    return pd.DataFrame(rows)


def skipping_table(partial: Partial, metric: str) -> pd.DataFrame:
    """One row per step of partial quantization (Table 6)."""
    chosen = None if partial.chosen is None else partial.steps[partial.chosen]
    rows = [
        {
            "skipped": len(step.skipped),
            "also": step.skipped[-1] if step.skipped else "",
            f"{metric} %": round(step.accuracy, 2),
            "relative %": round(step.relative, 2),
            "work in integers %": round(step.int8_mac_share, 1),
            "chosen": "★" if step is chosen else "",
        }
        for step in partial.steps
    ]
    return pd.DataFrame(rows)


def class_table(rows: Sequence[ClassAccuracy], classes: Sequence[str]) -> pd.DataFrame:
    """One row per class, those that lose most first.

    Args:
        rows: who is right, class by class.
        classes: their names, as far as they have some.
    """
    frame = pd.DataFrame(
        {
            "class": [classes[row.number] if row.number < len(classes) else str(row.number) for row in rows],
            "samples": [row.samples for row in rows],
            "fp32 %": [100 * row.before / row.samples for row in rows],
            "quantized %": [100 * row.after / row.samples for row in rows],
        }
    )
    frame["change"] = frame["quantized %"] - frame["fp32 %"]
    return frame.sort_values("change", kind="stable")


def points(interval: tuple[float, float]) -> str:
    """An interval of a change, in points."""
    return f"{interval[0]:+.2f} to {interval[1]:+.2f}"


def _change(metric: str, change: Change) -> dict[str, object]:
    return {
        f"{metric} %": round(change.accuracy, 2),
        "relative %": round(change.relative, 2),
        "change, points": points(change.change_interval),
    }
