"""Attention written out as its matrix products, which PyTorch's fused functions hide.

The expansions follow the definitions in PyTorch's documentation of `scaled_dot_product_attention` and
`MultiheadAttention` and are tested against them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from qanalysis.schema.errors import UserError


def scaled_dot_product(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """softmax(q kᵀ · scale + mask) v for `(…, T, D)` queries, `(…, S, D)` keys and `(…, S, E)` values."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if is_causal:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~causal, float("-inf"))
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        else:
            scores = scores + attn_mask
    weights = scores.softmax(-1) if attn_mask is None else _softmax(scores)
    return torch.matmul(F.dropout(weights, dropout_p) if dropout_p else weights, value)


def multi_head(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: torch.Tensor | None,
    in_proj_bias: torch.Tensor | None,
    bias_k: torch.Tensor | None,
    bias_v: torch.Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: torch.Tensor,
    out_proj_bias: torch.Tensor | None,
    training: bool = True,
    key_padding_mask: torch.Tensor | None = None,
    need_weights: bool = True,
    attn_mask: torch.Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: torch.Tensor | None = None,
    k_proj_weight: torch.Tensor | None = None,
    v_proj_weight: torch.Tensor | None = None,
    static_k: torch.Tensor | None = None,
    static_v: torch.Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Multi-head attention on `(T, N, E)` tensors, or `(T, E)` without a batch, as in `nn.MultiheadAttention`."""
    batched = query.dim() == 3
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    q, k, v = _projections(
        (query, key, value), in_proj_weight, in_proj_bias, (q_proj_weight, k_proj_weight, v_proj_weight)
    )
    if bias_k is not None and bias_v is not None:
        k = torch.cat([k, bias_k.expand(1, batch, -1)])
        v = torch.cat([v, bias_v.expand(1, batch, -1)])
    q, k, v = (_split_heads(x, num_heads) for x in (q, k, v))
    k = k if static_k is None else static_k.unflatten(0, (batch, num_heads))
    v = v if static_v is None else static_v.unflatten(0, (batch, num_heads))
    if add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(*x.shape[:2], 1, x.shape[3])], 2) for x in (k, v))

    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-2, -1))
    added = k.shape[2] - key.shape[0] if static_k is None else int(bias_k is not None) + int(add_zero_attn)
    if attn_mask is not None:
        mask = attn_mask.unflatten(0, (batch, num_heads)) if attn_mask.dim() == 3 else attn_mask
        scores = scores + F.pad(_additive(mask, scores), (0, added))
    if key_padding_mask is not None:
        scores = scores + F.pad(_additive(key_padding_mask, scores), (0, added))[:, None, None, :]
    masked = attn_mask is not None or key_padding_mask is not None
    # PyTorch lets a fully hidden query become NaN where it returns the weights, and zero where it does not.
    weights = _softmax(scores) if masked and not need_weights else scores.softmax(-1)
    if training and dropout_p:
        weights = F.dropout(weights, dropout_p)
    output = torch.matmul(weights, v).permute(2, 0, 1, 3).reshape(length, batch, width)
    output = F.linear(output, out_proj_weight, out_proj_bias)
    attention = (weights.mean(1) if average_attn_weights else weights) if need_weights else None
    if not batched:
        output = output.squeeze(1)
        attention = None if attention is None else attention.squeeze(0)
    return output, attention


def _projections(
    inputs: tuple[torch.Tensor, ...],
    packed: torch.Tensor | None,
    packed_bias: torch.Tensor | None,
    separate: tuple[torch.Tensor | None, ...],
) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values: one product with the packed weight for self-attention, else one for each."""
    query, key, value = inputs
    if packed is not None and query is key and key is value:
        return F.linear(query, packed, packed_bias).chunk(3, -1)
    weights = packed.chunk(3) if packed is not None else separate
    biases = packed_bias.chunk(3) if packed_bias is not None else (None, None, None)
    projected = []
    for x, weight, bias in zip(inputs, weights, biases, strict=True):
        if weight is None:
            raise UserError("multi-head attention needs in_proj_weight or all of q, k and v_proj_weight")
        projected.append(F.linear(x, weight, bias))
    return tuple(projected)


def _split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """`(T, N, E)` to `(N, heads, T, E / heads)`."""
    length, batch, width = x.shape
    return x.reshape(length, batch, heads, width // heads).permute(1, 2, 0, 3)


def _additive(mask: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """A boolean mask (True is hidden) as -inf and 0; a float mask as it is."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, float("-inf"))


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    """Softmax over keys; a query from which every key is hidden gets zeros, not NaN."""
    return scores.softmax(-1).masked_fill((scores == float("-inf")).all(-1, keepdim=True), 0.0)


EXPANSIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    F.scaled_dot_product_attention: scaled_dot_product,
    F.multi_head_attention_forward: multi_head,
}
