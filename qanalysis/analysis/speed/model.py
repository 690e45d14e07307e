"""The speed model measured: both ends, their layers, and a few mixes to fit and check the cost of boundaries."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qanalysis.analysis.speed.deployment import Deployment
from qanalysis.analysis.speed.layers import operand_elements
from qanalysis.analysis.speed.rounds import Timed, measure
from qanalysis.engines.export.graph import Network
from qanalysis.engines.layers import gathered, upstream
from qanalysis.engines.process import EngineProcess
from qanalysis.engines.protocol import Precision
from qanalysis.schema.errors import UserError
from qanalysis.schema.plan import Plan
from qanalysis.schema.results.speed import Check, Edge, SiteSpeed, SpeedModel, fitted_boundary

#: Mixes that the cost of boundaries is fitted to, and mixes that only check the model.
_FITTED, _CHECKED = 3, 3


def speed_model(
    deployment: Deployment,
    engine: str,
    batch: int,
    threads: int,
    seconds: float,
    rounds: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> SpeedModel:
    """Measures a speed model of the deployment's plan.

    Args:
        deployment: the model with its ranges.
        engine: an engine that tells the times of its layers.
        batch: samples of one inference.
        threads: of the engine; 0 for all cores.
        seconds: time for each of the networks, in all.
        rounds: in which they take turns.
        folder: for the files.
        progress: told of the rounds.

    Raises:
        UserError: if the engine cannot, or does not tell of its layers.
    """
    plan = deployment.plan
    floats = deployment.float_sites(plan)
    names = [site.name for site in deployment.coverage.sites if site.name not in floats]
    if not names:
        raise UserError("A speed model needs a site in int8, but the plan leaves all of them in floating point.")
    mixes = _mixes(names)
    plans = {"int8": plan, "float": None, **{f"mix{n}": plan.skipping(*mix) for n, mix in enumerate(mixes)}}
    timed = {name: Timed(opened(deployment, engine, one, batch, threads, folder)) for name, one in plans.items()}
    try:
        measure(list(timed.values()), seconds, rounds, progress)
        macs = {site.name: site.macs for site in deployment.coverage.sites}
        layers = {
            name: gathered(timed[name].process.per_layer(), _network(deployment, plans[name]).nodes, macs)
            for name in ("int8", "float")
        }
    finally:
        for one in timed.values():
            one.process.close()
    if not layers["int8"].sites:
        raise UserError(f"Engine {engine} does not tell the times of its layers, which a prediction needs.")
    best = {name: min(min(times) for times in one.rounds) for name, one in timed.items()}
    edges = _edges(deployment, batch)
    sites = []
    for name in names:
        int8, floating = layers["int8"].sites.get(name), layers["float"].sites.get(name)
        sites.append(
            SiteSpeed(
                site=name,
                int8_ms=0.0 if int8 is None else int8.ms + int8.conversion_ms,
                float_ms=0.0 if floating is None else floating.ms + floating.conversion_ms,
                inputs=edges.get(name, ()),
            )
        )
    model = SpeedModel(
        engine=engine,
        batch=batch,
        threads=threads,
        sites=tuple(sites),
        int8_ms=best["int8"],
        float_ms=best["float"],
    )
    measured = [(mix, best[f"mix{n}"]) for n, mix in enumerate(mixes)]
    cost = fitted_boundary(model, measured[:_FITTED])
    model = model.model_copy(update={"boundary_ms_per_mb": cost})
    checks = tuple(
        Check(skipped=len(mix), measured_ms=ms, predicted_ms=model.predict(mix), fitted=n < _FITTED)
        for n, (mix, ms) in enumerate(measured)
    )
    return model.model_copy(update={"checks": checks})


def opened(
    deployment: Deployment, engine: str, plan: Plan | None, batch: int, threads: int, folder: Path
) -> EngineProcess:
    """An engine with the network of a plan, or in floating point, in a process of its own."""
    path = folder / f"speed-{'float' if plan is None else plan.digest}-{batch}.onnx"
    path.write_bytes(_network(deployment, plan).proto.SerializeToString())
    precision: Precision = "fp32" if plan is None else "int8"
    source = deployment.source(path, precision, batch, threads)
    try:
        return EngineProcess(engine, source)
    finally:
        path.unlink()


def _network(deployment: Deployment, plan: Plan | None) -> Network:
    return deployment.float_network() if plan is None else deployment.network(plan)


def _mixes(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Random sets of sites to leave in floating point, of different sizes; the same every time."""
    generator = random.Random(0)
    shares = (0.25, 0.5, 0.75, 0.35, 0.65, 0.15)[: _FITTED + _CHECKED]
    return [tuple(generator.sample(list(names), max(1, round(share * len(names))))) for share in shares]


def _edges(deployment: Deployment, batch: int) -> Mapping[str, tuple[Edge, ...]]:
    sizes = operand_elements(deployment.on_cpu, deployment.cut, deployment.example)
    return {
        site: tuple(
            Edge(sources=sources, megabytes=4e-6 * batch * sizes.get((site, role), 0))
            for role, sources in operands.items()
        )
        for site, operands in upstream(deployment.float_network()).items()
    }
