"""Labels: how wide words are, how long names are cut, and labels of lines and points that do not touch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.figures.look.theme import annotation, line

#: Longest name written out beside a row, in characters.
NAME = 34

# Widths of characters over the font size, those of Arial, a little wider than what most pages use.
_WIDTHS = {**dict.fromkeys(".,:;'|!iIjl ft()", 0.32), **dict.fromkeys("%mMW@", 0.92), **dict.fromkeys("+=<>~±", 0.62)}

#: Height of a line of words, in px.
ROW = 17

#: Narrowest plot, in px, on which labels of points must not overlap.
ROOM = 380

# How far a label beside a point is moved up (negative) or down, in px, in the order of preference.
_SHIFTS = [0, *(sign * 0.5 * ROW * i for i in range(2, 40) for sign in (-1, 1))]


def text_width(text: str, size: float = 12) -> float:
    """Estimated width of words in px, rather too wide than too narrow."""
    return 1.08 * size * sum(_WIDTHS.get(character, 0.57) for character in text)


def shortened(name: str, limit: int = NAME) -> str:
    """A name of at most `limit` characters: as in a log, modules outside in give way to their initials and numbers.

    >>> shortened("encoder.layers.encoder_layer_12.self_attention.out_proj", 30)
    'e.l.e12.s.out_proj'
    """
    parts = name.split(".")
    for i, part in enumerate(parts[:-1]):
        if len(".".join(parts)) <= limit:
            break
        parts[i] = part[:1] + "".join(character for character in part[1:] if character.isdigit())
    short = ".".join(parts)
    head = (limit - 1) // 2
    return short if len(short) <= limit else f"{short[:head]}…{short[len(short) - (limit - 1 - head) :]}"


def name_margin(names: list[str]) -> int:
    """Width in px that names need beside an axis."""
    return 24 + round(7.0 * max((len(name) for name in names), default=0))


@dataclass(frozen=True)
class Level:
    """A horizontal line across the plot and the words at its right end."""

    value: float
    words: str
    colour: str
    width: float = 1.5
    dash: str = "solid"


def spread(positions: Sequence[float], gap: float, span: tuple[float, float]) -> list[float]:
    """Moves positions as little as possible until they are at least `gap` apart, in the order they had.

    Those that touch are centred about their mean; all stay within `span` where it has room for them.

    >>> spread([10, 12, 80], 10, (0, 100))
    [6.0, 16.0, 80.0]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    low, high = span
    blocks: list[tuple[list[int], float]] = []  # members and first position of each
    for i in order:
        members, start = [i], _held(positions[i], 0, low, high)
        while blocks and blocks[-1][1] + gap * len(blocks[-1][0]) > start:
            members = blocks.pop()[0] + members
            centre = sum(positions[j] - gap * k for k, j in enumerate(members)) / len(members)
            start = _held(centre, gap * (len(members) - 1), low, high)
        blocks.append((members, start))
    result = [0.0] * len(positions)
    for members, start in blocks:
        for k, i in enumerate(members):
            result[i] = start + gap * k
    return result


def across(
    levels: Sequence[Level], span: tuple[float, float], height: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines over the whole width of the plot, and their words to the right of it: shapes and annotations.

    A line outside of the axis is not drawn; its words stand at that end with an arrowhead.

    Args:
        levels: the lines.
        span: ends of the vertical axis.
        height: of the plot, in px.
    """
    low, high = span
    shapes, notes = [], []
    inside = [min(max(level.value, low), high) for level in levels]
    wanted = [(high - value) / (high - low) * height for value in inside]
    for level, value, at, place in zip(levels, inside, wanted, spread(wanted, ROW, (0, height)), strict=True):
        head = "" if value == level.value else "▼ " if level.value < low else "▲ "
        beside: dict[str, Any] = {"x": 1, "xref": "paper", "y": value, "yref": "y", "xanchor": "left"}
        if abs(place - at) < 2 or head:
            beside |= {"xshift": 6, "yshift": at - place}
        else:
            beside |= {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": level.colour, "standoff": 0}
            beside |= {"ax": 16, "ay": place - at, "borderpad": 0}
        notes.append(annotation(head + level.words, level.colour, **beside))
        if not head:
            look = line(level.colour, level.width, level.dash)
            shapes.append({"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": value, "y1": value, "line": look})
    return shapes, notes


def margin(levels: Sequence[Level]) -> int:
    """Width in px that the words of `across` need."""
    return 26 + round(max((text_width(level.words) for level in levels), default=0))


@dataclass(frozen=True)
class Offset:
    """Where a label stands beside its point, in px: to the `right` or the left of it, moved down by `y`."""

    right: bool
    y: float


def beside_points(
    points: Sequence[tuple[float, float]], words: Sequence[str], room: tuple[float, float], near: int = 9
) -> list[Offset]:
    """Places one label at every point, so that none covers another and, where there is room nearby, none a point.

    What fits on a plot of this width fits on every wider one: labels that stand side by side are in the order of their
    points, so they only move apart.

    Args:
        points: horizontal and vertical positions as shares of the plot, the latter from the top. Those beyond the
            number of words have no label and are only kept free.
        words: of the labels.
        room: narrowest width and the height of the plot, in px.
        near: space between a point and its label, in px.
    """
    width, height = room
    at = [(x * width, y * height) for x, y in points]
    radius = near - 4
    dots = [_Box(x, (x - radius, x + radius), (y - radius, y + radius)) for x, y in at]
    placed: list[_Box] = []
    offsets = []
    for i, text in enumerate(words):
        x, y = at[i]
        boxes = {
            offset: _Box(x, _sides(x, text_width(text), offset, near), (y + offset.y - ROW / 2, y + offset.y + ROW / 2))
            for offset in (Offset(right, shift) for shift in _SHIFTS for right in (True, False))
        }

        def cost(offset: Offset, boxes: dict[Offset, _Box] = boxes, i: int = i) -> float:
            box = boxes[offset]
            outside = max(-box.across[0], box.across[1] - width, -box.upright[0], box.upright[1] - height, 0)
            labels = sum(box.touches(other) for other in placed)
            covered = sum(box.touches(dot) for j, dot in enumerate(dots) if j != i)
            return 1000 * labels + 100 * (outside > 0) + outside + 40 * covered + abs(offset.y)

        best = min(boxes, key=cost)
        offsets.append(best)
        placed.append(boxes[best])
    return offsets


def beside(text: str, colour: str, x: float, y: float, offset: Offset, near: int = 9, **extra: Any) -> dict[str, Any]:
    """The annotation of `beside_points`, with a thin line to its point if it is far from it.

    Args:
        text: of the label.
        colour: of the label.
        x: of the point, on a logarithmic axis its logarithm.
        y: the same.
        offset: from the point.
        near: as in `beside_points`.
        **extra: over it, such as other axes.
    """
    sign = 1 if offset.right else -1
    look: dict[str, Any] = {"x": x, "y": y, "xanchor": "left" if offset.right else "right"}
    if abs(offset.y) < ROW:
        look |= {"xshift": sign * near, "yshift": -offset.y}
    else:
        look |= {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": colour, "standoff": 5}
        look |= {"ax": sign * near, "ay": offset.y, "borderpad": 0}
    return annotation(text, colour, **(look | extra))


def _held(start: float, length: float, low: float, high: float) -> float:
    return float(max(low, min(start, high - length)))


def _sides(x: float, wide: float, offset: Offset, near: int) -> tuple[float, float]:
    return (x + near, x + near + wide) if offset.right else (x - near - wide, x - near)


@dataclass(frozen=True)
class _Box:
    """What a label or a point at `x` covers, in px."""

    x: float
    across: tuple[float, float]
    upright: tuple[float, float]

    def touches(self, other: "_Box") -> bool:
        if self.upright[1] <= other.upright[0] or self.upright[0] >= other.upright[1]:
            return False
        left = self.across[1] <= other.across[0] and self.x <= other.x
        right = self.across[0] >= other.across[1] and self.x >= other.x
        return not (left or right)
