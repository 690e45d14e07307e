"""GNMT-style network (Wu et al. 2016): LSTM encoder, first layer in both directions, LSTM decoder with attention."""

import torch
from torch import nn


class Gnmt(nn.Module):
    """Source and target tokens `(N, S)` and `(N, T)` to scores `(N, T, target tokens)`; no padding.

    The decoder's first layer asks the encoder's states by additive attention (Bahdanau et al. 2015), and its context
    goes into every layer above and into the head, as in GNMT.
    """

    def __init__(self, source_tokens: int, target_tokens: int, dim: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_tokens, dim)
        self.target_embedding = nn.Embedding(target_tokens, dim)
        self.bidirectional = nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True)
        self.encoder = nn.LSTM(dim, dim, batch_first=True)
        self.first = nn.LSTM(dim, dim, batch_first=True)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.energy = nn.Linear(dim, 1, bias=False)
        self.second = nn.LSTM(2 * dim, dim, batch_first=True)
        self.head = nn.Linear(2 * dim, target_tokens)
        self.dropout = nn.Dropout(dropout)

    def encode(self, source: torch.Tensor) -> torch.Tensor:
        """States of the source's tokens, `(N, S, D)`."""
        x = self.dropout(self.bidirectional(self.dropout(self.source_embedding(source)))[0])
        states: torch.Tensor = x + self.encoder(x)[0]
        return states

    def decode(self, memory: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scores of the token that follows each of the target's, from the encoder's states."""
        x = self.first(self.dropout(self.target_embedding(target)))[0]
        energies = self.energy(torch.tanh(self.query(x).unsqueeze(2) + self.key(memory).unsqueeze(1))).squeeze(3)
        context = torch.matmul(energies.softmax(-1), memory)
        x = x + self.second(torch.cat([self.dropout(x), context], -1))[0]
        scores: torch.Tensor = self.head(torch.cat([self.dropout(x), context], -1))
        return scores

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Teacher-forced: every next token from the true ones before it."""
        return self.decode(self.encode(source), target)


def gnmt(source_tokens: int, target_tokens: int) -> Gnmt:
    """GNMT-style: 4 LSTM layers of width 128, the first in both directions, and additive attention."""
    return Gnmt(source_tokens, target_tokens)
