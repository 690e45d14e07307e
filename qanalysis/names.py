"""Names of models and data: `source:name@variant?option=value&…`."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Name:
    """A parsed name, e.g. `torchvision:resnet50@IMAGENET1K_V2` or `checkpoint:net.pt?arch=torchvision:resnet18`.

    Attributes:
        source: what stands before the first colon.
        rest: what stands after it, without variant and options.
        variant: what stands after `@`, or None.
        options: what stands after `?`.
    """

    source: str
    rest: str
    variant: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, what: str, sources: dict[str, str]) -> "Name":
        """Reads a name.

        Args:
            text: the name.
            what: "model" or "data", for the error.
            sources: the sources known, each with an example.

        Raises:
            ValueError: for an unknown source or an empty rest.
        """
        source, colon, rest = text.strip().partition(":")
        if source not in sources or not colon or not rest:
            examples = ", ".join(sources.values())
            raise ValueError(f"Unknown {what} {text!r}; write one like {examples}.")
        rest, _, query = rest.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        path_like = source in ("checkpoint", "imagefolder", "npz")
        rest, at, variant = (rest, "", "") if path_like else rest.partition("@")
        return cls(source, rest, variant if at else None, options)

    def only(self, *known: str) -> "Name":
        """Refuses options that the source does not know.

        Raises:
            ValueError: naming the first unknown option.
        """
        for option in self.options:
            if option not in known:
                choices = ", ".join(known) or "none"
                raise ValueError(f"Unknown option {option!r} of {self.source}: names; choose from {choices}.")
        return self
