"""Listing: what `qanalysis engines` says of this machine."""

from qanalysis.engines.features import features
from qanalysis.engines.registry import ENGINES
from qanalysis.schema.engines import EngineCard, Machine


def machine() -> Machine:
    """Engines that are here, why others are not, and the processors; nothing is measured."""
    cards = []
    for name, engine in ENGINES.items():
        reason = engine.available()
        cards.append(
            EngineCard(
                engine=name,
                available=reason is None,
                reason=reason,
                version=engine.version(),
                precisions=engine.precisions() if reason is None else (),
                purpose=engine.purpose,
            )
        )
    return Machine(engines=tuple(cards), features=features())
