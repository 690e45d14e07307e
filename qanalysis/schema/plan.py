"""Plan: which sites are quantized, and how; full, partial and one-at-a-time quantization are values of it."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_serializer, field_validator

from qanalysis.numerics.calibrate import parse
from qanalysis.numerics.spec import QuantizerSpec, Scheme
from qanalysis.schema.base import Record
from qanalysis.schema.errors import UserError

Granularity = Literal["per-channel", "per-tensor"]
Parts = Literal["both", "weights", "activations"]


class Override(Record):
    """What one site does differently; None keeps the plan's own setting."""

    weight_bits: int | None = Field(None, ge=2, le=8)
    activation_bits: int | None = Field(None, ge=2, le=8)
    calibration: str | None = None

    @field_validator("calibration")
    @classmethod
    def _canonical(cls, calibration: str | None) -> str | None:
        return None if calibration is None else str(parse(calibration))


class Plan(Record):
    """How to quantize a model (section 6: per-channel weights, per-tensor activations, both on the scale scheme).

    Attributes:
        weight_bits: bits of weights.
        activation_bits: bits of activations.
        weight_granularity: one range per output channel or one per tensor.
        weight_scheme: scale or affine.
        activation_scheme: scale or affine.
        parts: quantize weights and activations (a site's inputs), or one of them only, for studies.
        skip: sites left in floating point, by exact name.
        only: when given, the sites that are quantized; all others stay in floating point.
        overrides: what single sites do differently.
    """

    weight_bits: int = Field(8, ge=2, le=8)
    activation_bits: int = Field(8, ge=2, le=8)
    weight_granularity: Granularity = "per-channel"
    weight_scheme: Scheme = "scale"
    activation_scheme: Scheme = "scale"
    parts: Parts = "both"
    skip: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    overrides: Mapping[str, Override] = Field(default_factory=dict)

    @field_serializer("skip", "only")
    def _sorted(self, sites: frozenset[str] | None) -> list[str] | None:
        """Sets in a fixed order, so that equal plans have equal JSON."""
        return None if sites is None else sorted(sites)

    def skipping(self, *sites: str) -> "Plan":
        """This plan with these sites, too, left in floating point."""
        return self.model_copy(update={"skip": self.skip | set(sites)})

    def restoring(self, *sites: str) -> "Plan":
        """This plan with these sites quantized again."""
        return self.model_copy(update={"skip": self.skip - set(sites)})

    def toggling(self, site: str) -> "Plan":
        """This plan with one site switched between integers and floating point."""
        return self.restoring(site) if site in self.skip else self.skipping(site)

    def overriding(self, site: str, override: Override | None) -> "Plan":
        """This plan with other settings at one site, or with the plan's own ones again."""
        others = {name: value for name, value in self.overrides.items() if name != site}
        given = {} if override in (None, Override()) else {site: override}
        return self.model_copy(update={"overrides": {**others, **given}})

    def quantizing_only(self, *sites: str) -> "Plan":
        """This plan with every other site left in floating point."""
        return self.model_copy(update={"only": frozenset(sites)})

    def quantizes(self, site: str) -> bool:
        """Whether the site is quantized."""
        return site not in self.skip and (self.only is None or site in self.only)

    def activation_spec(self, site: str) -> QuantizerSpec | None:
        """Settings for the activations of a site; None where they stay in floating point."""
        if self.parts == "weights" or not self.quantizes(site):
            return None
        override = self.overrides.get(site)
        return QuantizerSpec((override and override.activation_bits) or self.activation_bits, self.activation_scheme)

    def weight_spec(self, site: str, channel_axis: int | None) -> QuantizerSpec | None:
        """Settings for the weight of a site; None where it stays in floating point."""
        if self.parts == "activations" or not self.quantizes(site):
            return None
        override = self.overrides.get(site)
        bits = (override and override.weight_bits) or self.weight_bits
        return QuantizerSpec(
            bits, self.weight_scheme, channel_axis if self.weight_granularity == "per-channel" else None
        )

    @property
    def digest(self) -> str:
        """Short identity: the same for equal plans, in every process."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def at(self, site: str) -> tuple[QuantizerSpec | None, QuantizerSpec | None, str | None]:
        """What is done at a site: settings of activations and weight, and its own calibration; equal if alike."""
        override = self.overrides.get(site)
        calibration = override.calibration if override and self.quantizes(site) else None
        return self.activation_spec(site), self.weight_spec(site, 0), calibration

    def check(self, sites: list[str]) -> None:
        """Refuses a plan that names a site which the model does not have.

        Raises:
            UserError: naming the unknown sites and the closest known one.
        """
        named = set(self.skip) | set(self.only or ()) | set(self.overrides)
        for name in sorted(named - set(sites)):
            close = difflib.get_close_matches(name, sites, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(f"The model has no site named {name!r}; names must match exactly.{hint}")
