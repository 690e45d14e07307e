"""Recurrent layers written out as their matrix products, which PyTorch's fused functions hide (the paper's LSTM cells).

The product of a layer's inputs with `weight_ih` is computed for all time steps at once, that of the hidden state with
`weight_hh` (and an LSTM's projection with `weight_hr`) at every step. Each is one site, because it is one weight: with
one range over all gates and all time steps. The expansions follow the equations in PyTorch's documentation of `LSTM`,
`GRU` and `RNN` and their cells, and are tested against them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

#: The hidden state `(N, H)`, and for an LSTM its cell state behind it.
State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Weights:
    """Parameters of one direction of a layer, or of a cell, with G = 4 H rows for an LSTM, 3 H for a GRU, H for an RNN.

    Attributes:
        ih: `(G, I)`, of the inputs.
        hh: `(G, H)`, of the hidden state; `(G, P)` where it is projected.
        bias_ih: `(G,)`.
        bias_hh: `(G,)`.
        hr: `(P, H)`, an LSTM's projection.
    """

    ih: torch.Tensor
    hh: torch.Tensor
    bias_ih: torch.Tensor | None = None
    bias_hh: torch.Tensor | None = None
    hr: torch.Tensor | None = None


#: One time step: from the product of its inputs `(N, G)`, the state before it and the weights to the state after it.
Step = Callable[[torch.Tensor, State, Weights], State]


def lstm_step(product: torch.Tensor, state: State, weights: Weights) -> State:
    """Input, forget, cell and output gate; then hidden and cell state."""
    hidden, cell = state
    i, f, g, o = (product + F.linear(hidden, weights.hh, weights.bias_hh)).chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    hidden = o.sigmoid() * cell.tanh()
    return hidden if weights.hr is None else F.linear(hidden, weights.hr), cell


def gru_step(product: torch.Tensor, state: State, weights: Weights) -> State:
    """Reset, update and new gate; the reset gate scales the hidden product of the new gate, its bias included."""
    (hidden,) = state
    input_r, input_z, input_n = product.chunk(3, -1)
    hidden_r, hidden_z, hidden_n = F.linear(hidden, weights.hh, weights.bias_hh).chunk(3, -1)
    z = (input_z + hidden_z).sigmoid()
    n = (input_n + (input_r + hidden_r).sigmoid() * hidden_n).tanh()
    return ((1 - z) * n + z * hidden,)


def rnn_step(
    product: torch.Tensor, state: State, weights: Weights, activation: Callable[[torch.Tensor], torch.Tensor]
) -> State:
    """The activation of both products."""
    return (activation(product + F.linear(state[0], weights.hh, weights.bias_hh)),)


def _layers(step: Step, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    """All layers of `torch.lstm`, `torch.gru`, `torch.rnn_tanh` or `torch.rnn_relu`, for padded and packed sequences.

    Returns:
        outputs of the last layer, in the layout of the inputs, and the last state, `(layers · directions, N, H)` each.

    Raises:
        RuntimeError: if there is no time step.
    """
    call = _Sequences.of(args, kwargs)
    directions = 2 if call.bidirectional else 1
    initial, ends = list(zip(*call.state, strict=True)), []  # the state of each layer and direction
    weights = call.weights()
    x = call.inputs
    for layer in range(call.num_layers):
        outputs = []
        for backward in range(directions):
            own = next(weights)
            products = F.linear(x, own.ih, own.bias_ih)
            steps = call.steps(products)
            before = initial[layer * directions + backward]
            hidden, last = _sequence(step, steps[::-1] if backward else steps, before, own)
            outputs.append(call.joined(hidden[::-1] if backward else hidden))
            ends.append(last)
        x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if call.train and call.dropout and layer < call.num_layers - 1:
            x = F.dropout(x, call.dropout)
    return (x.transpose(0, 1) if call.batch_first else x, *(torch.stack(parts) for parts in zip(*ends, strict=True)))


def is_projected(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether these arguments of `torch.lstm` are those of a layer with a projection of its hidden state."""
    return next(_Sequences.of(args, kwargs).weights()).hr is not None


def _sequence(
    step: Step, products: Sequence[torch.Tensor], initial: State, weights: Weights
) -> tuple[list[torch.Tensor], State]:
    """Hidden states after each step, in the order of the steps, and the last state of every sequence.

    Sequences are sorted by length: those that have ended are the last rows of the batch, so that a step has the first
    rows only. Forwards they drop out one after the other, backwards they join.
    """
    outputs: list[torch.Tensor] = []
    ended: list[State] = []
    state = initial
    for number, product in enumerate(products):
        running, size = state[0].shape[0], product.shape[0]
        if size < running:
            if number:  # before the first step, they have not begun yet
                ended.append(tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        elif size > running:
            state = tuple(torch.cat([part, start[running:size]]) for part, start in zip(state, initial, strict=True))
        state = step(product, state, weights)
        outputs.append(state[0])
    if ended:
        state = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return outputs, state


@dataclass(frozen=True)
class _Sequences:
    """Arguments of a recurrent function.

    Attributes:
        inputs: `(T, N, I)`, or the rows of packed sequences, step after step.
        sizes: how many sequences each step has, where they are packed.
        state: initial hidden state, and an LSTM's cell state, `(layers · directions, N, H)`.
        parameters: of all layers and directions, in PyTorch's order.
    """

    inputs: torch.Tensor
    sizes: list[int] | None
    state: State
    parameters: Sequence[torch.Tensor]
    has_biases: bool
    num_layers: int
    dropout: float
    train: bool
    bidirectional: bool
    batch_first: bool

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Sequences":
        """Which of a function's two forms was called shows where the list of parameters is."""
        packed = "data" in kwargs or "batch_sizes" in kwargs or (len(args) > 3 and isinstance(args[3], list | tuple))
        first = ("data", "batch_sizes", "hx") if packed else ("input", "hx")
        names = (*first, "params", "has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
        given = dict(zip(names, args, strict=False)) | kwargs
        inputs, sizes, hx = given.pop("data" if packed else "input"), given.pop("batch_sizes", None), given.pop("hx")
        batch_first = given.pop("batch_first", False)
        inputs = inputs.transpose(0, 1) if batch_first else inputs
        if inputs.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")  # PyTorch's own words
        return cls(
            inputs=inputs,
            sizes=None if sizes is None else sizes.tolist(),
            state=(hx,) if isinstance(hx, torch.Tensor) else tuple(hx),
            parameters=given.pop("params"),
            batch_first=batch_first,
            **given,
        )

    def weights(self) -> Iterator[Weights]:
        """The parameters of each direction of each layer; where one more is left over, it is a projection."""
        pairs = self.num_layers * (2 if self.bidirectional else 1)
        size = len(self.parameters) // pairs
        for start in range(0, len(self.parameters), size):
            ih, hh, *rest = self.parameters[start : start + size]
            bias_ih, bias_hh = (rest.pop(0), rest.pop(0)) if self.has_biases else (None, None)
            yield Weights(ih, hh, bias_ih, bias_hh, rest[0] if rest else None)

    def steps(self, rows: torch.Tensor) -> Sequence[torch.Tensor]:
        """Rows of each time step."""
        return rows.unbind() if self.sizes is None else rows.split(self.sizes)

    def joined(self, steps: Sequence[torch.Tensor]) -> torch.Tensor:
        """The inverse of `steps`."""
        return torch.stack(list(steps)) if self.sizes is None else torch.cat(list(steps))


def _cell(
    step: Step,
    input: torch.Tensor,
    hx: torch.Tensor | Sequence[torch.Tensor],
    w_ih: torch.Tensor,
    w_hh: torch.Tensor,
    b_ih: torch.Tensor | None = None,
    b_hh: torch.Tensor | None = None,
) -> torch.Tensor | State:
    """One time step of one layer: `(N, I)` inputs to the state after it."""
    before = (hx,) if isinstance(hx, torch.Tensor) else tuple(hx)
    state = step(F.linear(input, w_ih, b_ih), before, Weights(w_ih, w_hh, b_ih, b_hh))
    return state if len(state) > 1 else state[0]


_LAYERS: dict[Callable[..., Any], Step] = {
    torch.lstm: lstm_step,
    torch.gru: gru_step,
    torch.rnn_tanh: partial(rnn_step, activation=torch.tanh),
    torch.rnn_relu: partial(rnn_step, activation=torch.relu),
}
_CELLS: dict[Callable[..., Any], Step] = {
    torch.lstm_cell: lstm_step,
    torch.gru_cell: gru_step,
    torch.rnn_tanh_cell: partial(rnn_step, activation=torch.tanh),
    torch.rnn_relu_cell: partial(rnn_step, activation=torch.relu),
}
EXPANSIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{function: partial(_layers, step) for function, step in _LAYERS.items()},
    **{function: partial(_cell, step) for function, step in _CELLS.items()},
}
