"""Names of models and data: `source:name@variant?option=value&…`."""

from dataclasses import dataclass, field


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
        # no %-decoding: what stands before the ? is taken as it is, too, and paths may hold + and %
        options = {key: value for key, _, value in (part.partition("=") for part in query.split("&") if part)}
        path_like = source in ("checkpoint", "imagefolder", "npz")
        rest, at, variant = (rest, "", "") if path_like else rest.partition("@")
        return cls(source, rest, variant if at else None, options)

    def __str__(self) -> str:
        """The name in writing, which parses to the same again."""
        variant = "" if self.variant is None else f"@{self.variant}"
        options = "&".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.source}:{self.rest}{variant}" + (f"?{options}" if options else "")

    def count(self, option: str) -> int | None:
        """An option that is a whole number from 1 up; None if it is not given.

        Raises:
            ValueError: if it is none.
        """
        text = self.options.get(option)
        if text is None:
            return None
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(
                f"Option {option} of {self.source}: names must be a whole number from 1 up, but got {text!r}."
            )
        return int(text)

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
