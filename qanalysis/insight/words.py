"""Words of sentences that the program makes."""


def counted(number: int, noun: str) -> str:
    """A number with what it counts: `1 layer`, `2 layers`, `1,024 layers`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def calibration_label(name: str) -> str:
    """What a reader sees for a calibration's name: `max`, `entropy`, `99.99 %`, `MSE`, `custom`."""
    kind, _, percent = name.partition(":")
    if kind == "percentile":
        return f"{percent} %"
    return "MSE" if name == "mse" else name
