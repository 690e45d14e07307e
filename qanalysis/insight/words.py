"""Words of sentences that the program makes."""


def counted(number: int, noun: str) -> str:
    """A number with what it counts: `1 layer`, `2 layers`, `1,024 layers`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
