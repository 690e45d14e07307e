"""Processor: what turns texts and sounds into a network's inputs, and its numbers back into words; a model brings it.

A network of tokens means nothing without its vocabulary, as a network of images means little without its normalisation.
Whoever loads a model fills `LoadedModel.processor` with something of these two forms; a module of a user's own may have
it as its attribute `processor`. Nothing is padded or cut off here: data says what is too long, and puts sequences of
equal length into a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

#: Where a token is in the text that it was made of: its first character, and the one behind its last.
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A text, or two, as a network takes it.

    Attributes:
        inputs: int64 `(T,)` each, by the names that the network's `forward` has for them, e.g. `input_ids`,
            `attention_mask` and `token_type_ids`; the first of them holds the tokens.
        spans: for each of the T positions where its token is in the last text given (of a pair in the second); None for
            special tokens and those of the other text. Empty where the processor cannot tell.
    """

    inputs: Mapping[str, torch.Tensor]
    spans: tuple[Span | None, ...] = ()

    @property
    def ids(self) -> torch.Tensor:
        """The tokens, int64 `(T,)`."""
        return next(iter(self.inputs.values()))

    def __len__(self) -> int:
        """T, the number of positions."""
        return len(self.ids)


@runtime_checkable
class TextProcessor(Protocol):
    """Texts to tokens and back.

    Attributes:
        size: number of tokens in the vocabulary; ids are under it.
        longest: positions that the network has, special tokens included; None where there is no end.
        start: the token that a decoder starts with, before it has said anything; None where there is no decoder.
        end: the token that ends a sentence; None where there is none.
        decoder_input: the name that `forward` has for the tokens which a decoder is given, e.g. `decoder_input_ids`.
    """

    size: int
    longest: int | None
    start: int | None
    end: int | None
    decoder_input: str

    def encode(self, text: str, pair: str | None = None) -> Encoded:
        """A text, or a question and its passage, with the special tokens that the network expects; nothing cut off."""
        ...

    def target(self, text: str) -> list[int]:
        """The tokens that a decoder should say: with the end, without the start."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        ...


@runtime_checkable
class SpeechProcessor(Protocol):
    """Sounds to features, transcripts to symbols and back (CTC).

    Attributes:
        sample_rate: of the sound, in Hz.
        size: number of symbols, the blank included; as many scores has a frame.
        blank: the symbol that says nothing (Graves et al. 2006).
        shortest: samples of sound under which the network has no frame.
    """

    sample_rate: int
    size: int
    blank: int
    shortest: int

    def features(self, sound: torch.Tensor) -> Mapping[str, torch.Tensor] | torch.Tensor:
        """What the network takes, without an axis of samples.

        Args:
            sound: float32 `(T,)` in [-1, 1] at `sample_rate`.

        Returns:
            a tensor, e.g. a spectrogram `(features, frames)`; or several by the names of `forward`.
        """
        ...

    def target(self, transcript: str) -> list[int]:
        """The symbols of a transcript, without blanks.

        Raises:
            ValueError: naming a character that the network cannot write.
        """
        ...

    def decode(self, symbols: Sequence[int]) -> str:
        """The text of symbols that were said; blanks and repetitions are out already."""
        ...


Processor = TextProcessor | SpeechProcessor
