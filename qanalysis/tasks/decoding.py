"""Decoding: what a network that gives scores of the next token says, from its scores alone."""

from collections.abc import Callable

import torch

#: Scores `(N, T, tokens)` of the token after each of `(N, T)`, of samples given by their places `(N,)`.
Scores = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def greedy(scores: Scores, guess: torch.Tensor, start: int, end: int, longest: int) -> torch.Tensor:
    """The likeliest token again and again, `(N, T)`; after the end there are only ends.

    All positions at once: a guess is fed, what the network says to it is the next guess, until nothing changes (Jacobi
    decoding, Santilli et al. 2023). A token depends on those before it alone, so that after k rounds the first k are
    those of decoding one by one; from a good guess it takes few rounds.

    Args:
        scores: of the network; it must look at no later token.
        guess: int64 `(N, T)` to begin with, e.g. the reference.
        start: the token before the first.
        end: the token that ends a sentence.
        longest: tokens that are said at most.
    """
    said = ended(guess[:, :longest], end)
    places = torch.arange(len(said))
    while True:
        for _ in range(said.shape[1]):  # each round makes one position more final, whatever else it does
            if not len(places):
                break
            given = torch.cat([said.new_full((len(places), 1), start), said[places, :-1]], 1)
            fresh = ended(scores(places, given).argmax(2).to(said.device), end)
            moved = (fresh != said[places]).any(1)
            said[places] = fresh
            places = places[moved.cpu()]
        open_ = (said != end).all(1).nonzero().flatten()
        if not len(open_) or said.shape[1] >= longest:
            return said
        more = min(longest - said.shape[1], 8)
        said = torch.cat([said, said.new_full((len(said), more), end)], 1)
        places = open_.cpu()


def beam(scores: Scores, samples: int, start: int, end: int, longest: int, width: int) -> list[list[int]]:
    """Of the `width` best beginnings at every step the one with the best mean log-likelihood, without the end.

    Args:
        scores: as for `greedy`.
        samples: how many.
        start: the token before the first.
        end: the token that ends a sentence.
        longest: tokens that are said at most.
        width: beginnings that are kept.
    """
    found = []
    for sample in range(samples):
        beams: list[tuple[float, list[int]]] = [(0.0, [])]
        done: list[tuple[float, list[int]]] = []
        for _ in range(longest):
            given = torch.tensor([[start, *said] for _, said in beams])
            last = scores(torch.full((len(beams),), sample), given)[:, -1].float().log_softmax(1).cpu()
            totals = last + torch.tensor([total for total, _ in beams]).unsqueeze(1)
            best = totals.flatten().topk(min(2 * width, totals.numel()))
            beams_next: list[tuple[float, list[int]]] = []
            for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                said = beams[place // last.shape[1]][1]
                token = place % last.shape[1]
                if token == end:
                    done.append((total / (len(said) + 1), said))
                elif len(beams_next) < width:
                    beams_next.append((total, [*said, token]))
            beams = beams_next
            if len(done) >= width or not beams:
                break
        found.append(max(done or [(total / max(len(said), 1), said) for total, said in beams])[1])
    return found


def ended(tokens: torch.Tensor, end: int) -> torch.Tensor:
    """Tokens `(N, T)` with nothing but ends after the first end."""
    after = (tokens == end).cumsum(1) > 0
    return tokens.masked_fill(after, end)
