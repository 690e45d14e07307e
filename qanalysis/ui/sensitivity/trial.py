"""The plan made by hand, measured at once by a `trials` job that keeps model and data ready; pins to compare with."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from qanalysis.jobs import runners
from qanalysis.jobs.state import Job
from qanalysis.numerics.change import relative
from qanalysis.schema.errors import UserError, sentence
from qanalysis.schema.params.accuracy import TrialsParams
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.sensitivity import Trial
from qanalysis.ui.parts.text import plain
from qanalysis.ui.sensitivity.latency import Latency

_PINS = "pins"


@dataclass(frozen=True)
class Pinned:
    """A plan that was pinned for comparison."""

    name: str
    trial: Trial


@dataclass(frozen=True)
class Refused:
    """Why a plan cannot be measured."""

    reason: str


def measured(params: TrialsParams, plan: Plan) -> Trial | Refused | Job | None:
    """What the plan does: its measurement, or the job that has been asked for it; None if jobs cannot be kept.

    The job is started if none is running, and serves every session with the same settings.

    Args:
        params: model, data and settings without choices by hand.
        plan: the plan to measure.
    """
    try:
        runner = runners.chosen()
        store = runner.store
        job = store.latest("trials", params)
        if job is not None:
            for row in reversed(job.rows):
                if row["digest"] == plan.digest:
                    return Refused(row["refused"]) if "refused" in row else Trial.model_validate(row)
        if job is None or job.state in ("finished", "lost", "cancelled"):
            job = store.job(runner.submit("trials", params))
        if job.live:
            store.ask(job.id, plan)
    except (OSError, UserError) as error:
        st.error(f"Plans cannot be measured. {plain(sentence(error))}")
        return None
    return job


def again(params: TrialsParams) -> None:
    """Starts another job after one that failed."""
    runners.chosen().submit("trials", params)


def numbers(
    trial: Trial | None,
    fp32: float,
    quantized: float,
    fp32_bytes: int,
    sites: int,
    floats: frozenset[str],
    latency: Latency | None = None,
) -> None:
    """The plan in numbers; dashes where they are not known yet, so that nothing jumps.

    Args:
        trial: what was measured of the plan, if it is known.
        fp32: accuracy in floating point, in %.
        quantized: accuracy with all layers quantized, in %.
        fp32_bytes: size of the model in floating point.
        sites: number of layers.
        floats: those in floating point: the plan's choice, and layers without a range.
        latency: of the plan, if something is known of it.
    """
    columns = st.columns(5 if latency is None else 6)
    columns[0].metric("fp32", f"{fp32:.2f} %")
    columns[1].metric("All quantized", f"{quantized:.2f} %", f"{relative(quantized, fp32):+.2f} % relative")
    if trial is None:
        columns[2].metric("This plan", "…", "measuring", delta_color="off", delta_arrow="off")
    else:
        low, high = trial.change_interval
        columns[2].metric(
            "This plan",
            f"{trial.accuracy:.2f} %",
            f"{trial.relative:+.2f} % relative",
            help=f"Change against fp32 on the same {trial.samples:,} samples: {low:+.2f} to {high:+.2f} points (95 %).",
        )
    columns[3].metric(
        "Work in integers",
        "…" if trial is None else f"{trial.int8_mac_share:.1f} %",
        f"{sites - len(floats)} of {sites} layers",
        delta_color="off",
        delta_arrow="off",
        help="Share of multiply-accumulates.",
    )
    columns[4].metric(
        "Predicted size",
        "…" if trial is None else f"{trial.model_bytes / 1e6:.3g} MB",
        f"{fp32_bytes / 1e6:.3g} MB in fp32",
        delta_color="off",
        delta_arrow="off",
    )
    if latency is not None:
        columns[5].metric(
            "Measured latency" if latency.measured else "Predicted latency",
            f"{latency.ms:.3g} ms",
            f"{latency.float_ms / latency.ms:.2f} × fp32",
            delta_color="off",
            delta_arrow="off",
            help=f"{latency.ms - latency.int8_ms:+.3g} ms against all layers in int8 ({latency.int8_ms:.3g} ms); fp32 "
            f"takes {latency.float_ms:.3g} ms.",
        )


def pins(identity: str) -> list[Pinned]:
    """The plans pinned in this session for one analysis."""
    found: list[Pinned] = st.session_state.setdefault(f"{_PINS}-{identity}", [])
    return found


def pin(identity: str, name: str, trial: Trial) -> None:
    """Pins a plan; the same plan again only changes its name."""
    found = pins(identity)
    found[:] = [one for one in found if one.trial.digest != trial.digest]
    found.append(Pinned(name, trial))


def pin_table(pinned: list[Pinned], sites: int, unranged: frozenset[str]) -> pd.DataFrame:
    """One row per pinned plan; layers without a range are in floating point in all of them."""
    return pd.DataFrame(
        [
            {
                "plan": one.name,
                "accuracy %": round(one.trial.accuracy, 2),
                "relative %": round(one.trial.relative, 2),
                "change, points": f"{one.trial.change_interval[0]:+.2f} to {one.trial.change_interval[1]:+.2f}",
                "divergence": one.trial.divergence,
                "work in integers %": round(one.trial.int8_mac_share, 1),
                "size, MB": round(one.trial.model_bytes / 1e6, 3),
                "float layers": len(one.trial.plan.skip | unranged),
                "layers": sites,
            }
            for one in pinned
        ]
    )
