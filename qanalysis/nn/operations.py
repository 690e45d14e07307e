"""Operations: the compute-intensive functions of PyTorch (section 4 of the paper), and where their operands are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch.nn import functional as F

Kind = Literal["convolution", "transposed convolution", "linear", "matrix product"]


@dataclass(frozen=True)
class Operation:
    """A compute-intensive function of PyTorch: what kind it is and where its operands are.

    Attributes:
        kind: kind of the operation.
        operands: position and keyword of the two factors.
        channel_axis: axis of the second factor that indexes output channels, when that factor is a weight; None where
            it has none.
    """

    kind: Kind
    operands: tuple[tuple[int, str], tuple[int, str]]
    channel_axis: int | None


def _operations() -> dict[Callable[..., Any], Operation]:
    convolution = Operation("convolution", ((0, "input"), (1, "weight")), 0)
    transposed = Operation("transposed convolution", ((0, "input"), (1, "weight")), 1)
    linear = Operation("linear", ((0, "input"), (1, "weight")), 0)
    product = Operation("matrix product", ((0, "input"), (1, "other")), -1)
    product2 = replace(product, operands=((0, "input"), (1, "mat2")))
    added = replace(product, operands=((1, "mat1"), (2, "mat2")))
    batch_added = replace(product, operands=((1, "batch1"), (2, "batch2")))
    einsum = replace(product, operands=((1, ""), (2, "")))
    tensor = torch.Tensor
    functions: dict[Operation, tuple[Any, ...]] = {
        convolution: (torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d),
        transposed: (
            *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
            *(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
        ),
        linear: (F.linear,),
        product: (torch.matmul, torch.linalg.matmul, tensor.matmul, tensor.__matmul__),
        product2: (torch.bmm, tensor.bmm, torch.mm, tensor.mm),
        added: (torch.addmm, tensor.addmm, tensor.addmm_),
        batch_added: (torch.baddbmm, tensor.baddbmm, tensor.baddbmm_),
        einsum: (torch.einsum,),
    }
    return {function: operation for operation, group in functions.items() for function in group}


OPERATIONS = _operations()
_RARE: tuple[Callable[..., Any], ...] = (
    *(torch.bilinear, torch.tensordot, torch.inner, torch.Tensor.inner, torch.addbmm, torch.Tensor.addbmm),
    *(torch.chain_matmul, torch.linalg.multi_dot, torch.convolution, torch.conv_tbc),
)
#: Compute-intensive functions that are not sites, and why.
UNCOVERED: dict[Callable[..., Any], str] = dict.fromkeys(
    _RARE, "this function is not covered; conv1d to conv3d, linear, matmul, addmm and einsum are"
)


def product_channel_axis(func: Callable[..., Any], args: tuple[Any, ...], right: torch.Tensor) -> int | None:
    """The last axis of the right operand that the product keeps; None for a vector or where all are summed over."""
    if func is not torch.einsum:
        return -1 if right.ndim > 1 else None
    inputs, arrow, output = args[0].replace(" ", "").partition("->")
    labels = inputs.partition(",")[2].replace("...", "." * (right.ndim - len(inputs.partition(",")[2]) + 3))
    kept = [label != "." and (label in output if arrow else inputs.count(label) == 1) for label in labels]
    return max((axis for axis, stays in enumerate(kept) if stays), default=None)


def einsum_size(equation: str, left: torch.Tensor, right: torch.Tensor) -> int:
    """Product of the sizes of all indices of a two-operand einsum; ellipses count with the larger operand."""
    first, _, second = equation.replace(" ", "").split("->")[0].partition(",")
    sizes: dict[str, int] = {}
    extra = 1
    for subscript, tensor in ((first, left), (second, right)):
        head, dots, tail = subscript.partition("...")
        shape = list(tensor.shape)
        sizes |= dict(zip(head, shape, strict=False))
        if tail:
            sizes |= dict(zip(tail, shape[-len(tail) :], strict=True))
        if dots:
            middle = shape[len(head) : len(shape) - len(tail)]
            extra = max(extra, int(torch.Size(middle).numel()))
    total = extra
    for size in sizes.values():
        total *= size
    return total
