"""Augmentation of training images: random flips and crops."""

import torch


def augment(images: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Random horizontal flip and random crop of the reflected-padded image: `(N, C, H, W)` to the same shape.

    Both only choose pixels, so it is one gather of them.

    Args:
        images: normalised or not; fastest in channels_last layout, which the result has, too.
        generator: on the CPU; decides, so that the same seed gives the same images on every device.
        padding: pixels on each side, less than H and W.
    """
    n, channels, height, width = images.shape
    flip = torch.rand(n, generator=generator) < 0.5
    shift = torch.randint(0, 2 * padding + 1, (2, n), generator=generator)
    rows = _reflected(shift[0][:, None] + torch.arange(height), height, padding)
    columns = shift[1][:, None] + torch.arange(width)
    columns = torch.where(flip[:, None], width + 2 * padding - 1 - columns, columns)
    columns = _reflected(columns, width, padding)
    chosen = (torch.arange(n)[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    cropped = pixels.index_select(0, chosen.flatten().to(images.device))
    return cropped.view(n, height, width, channels).permute(0, 3, 1, 2)


def _reflected(positions: torch.Tensor, size: int, padding: int) -> torch.Tensor:
    """Positions in a padded row as positions in the row: the padding mirrors it, without its first and last pixel."""
    positions = (positions - padding).abs()
    return torch.where(positions >= size, 2 * size - 2 - positions, positions)
