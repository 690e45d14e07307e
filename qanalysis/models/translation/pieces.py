"""Pieces of words: texts to tokens and back by the longest piece that fits, from vocabularies in a model's record."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qanalysis.models.processor import Encoded
from qanalysis.schema.errors import UserError

END, START = 0, 1
#: Tokens before the first piece.
SPECIAL = ("<end>", "<start>")


@dataclass(eq=False)
class Pieces:
    """A `TextProcessor` of two languages.

    Attributes:
        source: pieces of the language that is read; a token is a piece's place, after the special ones.
        targets: likewise of the language that is written.
        longest: positions that the network has.
        start: the token before the first that is written.
        end: the token that ends a sentence.
        decoder_input: what `forward` calls the tokens written so far.
        size: number of tokens that can be written.
    """

    source: tuple[str, ...]
    targets: tuple[str, ...]
    longest: int | None = 64
    start: int | None = START
    end: int | None = END
    decoder_input: str = "target"
    size: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.targets) + len(SPECIAL)

    def encode(self, text: str, pair: str | None = None) -> Encoded:
        """The text's tokens and the end, for `source`.

        Raises:
            UserError: if there is a second text, or no piece fits.
        """
        if pair is not None:
            raise UserError("A network that translates takes one text, not a pair.")
        return Encoded({"source": torch.tensor([*_split(text, self.source), END])})

    def target(self, text: str) -> list[int]:
        """The tokens that the decoder should say.

        Raises:
            UserError: if no piece fits.
        """
        return [*_split(text, self.targets), END]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens that were written."""
        return "".join(self.targets[token - len(SPECIAL)] for token in ids if token >= len(SPECIAL))


def _split(text: str, pieces: tuple[str, ...]) -> list[int]:
    places = {piece: place + len(SPECIAL) for place, piece in enumerate(pieces)}
    longest = max(map(len, pieces))
    tokens, at = [], 0
    while at < len(text):
        piece = next((text[at : at + n] for n in range(longest, 0, -1) if text[at : at + n] in places), None)
        if piece is None:
            raise UserError(f"The vocabulary has no piece for {text[at : at + 20]!r} in {text[:60]!r}.")
        tokens.append(places[piece])
        at += len(piece)
    return tokens
