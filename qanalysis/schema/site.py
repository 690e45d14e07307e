"""Sites of a model as data: their names, kinds and costs, and what was not covered and why."""

from typing import NamedTuple

from qanalysis.schema.base import Record


class TensorId(NamedTuple):
    """One operand of a site: `layer1.0.conv2` and `input`; `str` of it is its key in JSON."""

    site: str
    role: str

    def __str__(self) -> str:
        return self.site if self.role == "input" else f"{self.site}/{self.role}"

    @classmethod
    def parse(cls, key: str) -> "TensorId":
        """The inverse of `str`."""
        site, _, role = key.rpartition("/")
        return cls(site, role) if role in ("left", "right", "weight", "residual", "product") else cls(key, "input")


class Site(Record):
    """One place where the model executes a compute-intensive operation (section 4).

    Attributes:
        name: path of the module, with a suffix where one module makes several.
        kind: convolution, transposed convolution, linear or matrix product.
        macs: multiply-accumulates for one sample.
        roles: operands that are activations: `input`, or `left` and `right`.
        input_shape: shape of the first operand, the batch first.
        weight_shape: shape of the weight; None for a product of two activations.
    """

    name: str
    kind: str
    macs: int
    roles: tuple[str, ...]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...] | None = None

    @property
    def tensors(self) -> tuple[TensorId, ...]:
        """Its activation operands."""
        return tuple(TensorId(self.name, role) for role in self.roles)

    @property
    def depthwise(self) -> bool:
        """Whether it is a convolution of each channel with itself alone."""
        return (
            self.kind == "convolution"
            and self.weight_shape is not None
            and self.weight_shape[1] == 1
            and self.input_shape[1] == self.weight_shape[0] > 1
        )


class NotCovered(Record):
    """Compute-intensive work that stays in floating point, and why.

    Attributes:
        module: path of the module that executes it.
        operation: the function or operator.
        reason: why it is no site.
        macs: multiply-accumulates for one sample, where they are known; else 0.
    """

    module: str
    operation: str
    reason: str
    macs: int = 0


class Coverage(Record):
    """Which compute-intensive operations the tool sees."""

    sites: tuple[Site, ...]
    not_covered: tuple[NotCovered, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole network for one sample, covered or not: what shares are of."""
        return sum(site.macs for site in self.sites) + sum(work.macs for work in self.not_covered)
