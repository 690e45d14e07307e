"""Expansions: functions of PyTorch that hide several matrix products in one call, each with what writes them out."""

from collections.abc import Callable
from typing import Any

from qanalysis.nn import attention, recurrent

EXPANSIONS: dict[Callable[..., Any], Callable[..., Any]] = {**attention.EXPANSIONS, **recurrent.EXPANSIONS}
