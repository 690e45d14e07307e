"""Transformer (Vaswani et al. 2017): encoder and decoder with post-norm blocks and sinusoidal positions."""

import math

import torch
from torch import nn


class Attention(nn.Module):
    """Multi-head attention with its two matrix products written out: `(N, T, D)` queries on `(N, S, D)` memory."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor, memory: torch.Tensor, causal: bool = False) -> torch.Tensor:
        query, key, value = (
            layer(y).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, y in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1))
        if causal:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(hidden, float("-inf"))
        found: torch.Tensor = self.out(torch.matmul(scores.softmax(-1), value).transpose(1, 2).flatten(2))
        return found


class Block(nn.Module):
    """Self-attention, in a decoder attention on the encoder's states, and a perceptron with ReLU; post-norm."""

    def __init__(self, dim: int, heads: int, decodes: bool, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads) if decodes else None
        self.norm2 = nn.LayerNorm(dim) if decodes else None
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.fc2 = nn.Linear(2 * dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, memory: torch.Tensor | None = None) -> torch.Tensor:
        x = self.norm1(x + self.dropout(self.self_attention(x, x, causal=memory is not None)))
        if self.cross_attention is not None and self.norm2 is not None:
            assert memory is not None
            x = self.norm2(x + self.dropout(self.cross_attention(x, memory)))
        y: torch.Tensor = self.norm3(x + self.dropout(self.fc2(torch.relu(self.fc1(x)))))
        return y


class Transformer(nn.Module):
    """Source and target tokens `(N, S)` and `(N, T)` to scores `(N, T, target tokens)`; no padding."""

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        dim: int = 128,
        depth: int = 2,
        heads: int = 4,
        longest: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_tokens, dim)
        self.target_embedding = nn.Embedding(target_tokens, dim)
        self.encoder = nn.ModuleList(Block(dim, heads, False, dropout) for _ in range(depth))
        self.decoder = nn.ModuleList(Block(dim, heads, True, dropout) for _ in range(depth))
        self.head = nn.Linear(dim, target_tokens)
        self.register_buffer("positions", sinusoids(longest, dim), persistent=False)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=dim**-0.5)

    def encode(self, source: torch.Tensor) -> torch.Tensor:
        """States of the source's tokens, `(N, S, D)`."""
        x = self._embedded(self.source_embedding, source)
        for block in self.encoder:
            x = block(x)
        return x

    def decode(self, memory: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scores of the token that follows each of the target's, from the encoder's states."""
        x = self._embedded(self.target_embedding, target)
        for block in self.decoder:
            x = block(x, memory)
        scores: torch.Tensor = self.head(x)
        return scores

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Teacher-forced: every next token from the true ones before it."""
        return self.decode(self.encode(source), target)

    def _embedded(self, embedding: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
        positions = self.positions
        assert isinstance(positions, torch.Tensor)
        x: torch.Tensor = embedding(tokens)
        return x * math.sqrt(x.shape[-1]) + positions[: tokens.shape[1]]


def sinusoids(length: int, dim: int) -> torch.Tensor:
    """Positions of section 3.5 of Vaswani et al., `(length, dim)`."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000) / dim))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def transformer(source_tokens: int, target_tokens: int) -> Transformer:
    """Transformer with 2 + 2 blocks of width 128 and 4 heads: 33 linear layers and 12 attention products."""
    return Transformer(source_tokens, target_tokens)
