"""Calibration, accuracy and training as tables."""

import pandas as pd

from qanalysis.figures.look.theme import calibration_label
from qanalysis.numerics.change import relative
from qanalysis.schema.results.accuracy import PtqResult
from qanalysis.schema.results.calibration import CalibrateResult
from qanalysis.schema.results.qat import QatResult
from qanalysis.schema.results.sensitivity import SensitivityResult
from qanalysis.schema.results.weights import WeightsResult


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
            "95 % interval": f"{row.interval[0]:.2f} to {row.interval[1]:.2f}",
            "change, points": f"{row.difference_interval[0]:+.2f} to {row.difference_interval[1]:+.2f}",
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
            f"{result.metric} %": round(row.accuracy, 2),
            "relative %": round(row.relative, 2),
            "change, points": f"{row.interval[0]:+.2f} to {row.interval[1]:+.2f}",
            "KL, nats": row.kl,
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
            "loss set aside, nats": epoch.validation_loss,
            "kept": "★" if epoch.epoch == run.best_epoch else "",
        }
        for run in runs
        for epoch in run.epochs
    ]
    return pd.DataFrame(rows)
