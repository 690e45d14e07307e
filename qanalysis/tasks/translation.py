"""Translation: a sentence for a sentence, one token after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from qanalysis.models.processor import TextProcessor
from qanalysis.nn.structure import Inputs, float_tensors, shapes
from qanalysis.schema.errors import UserError
from qanalysis.schema.tasks import TASKS
from qanalysis.tasks import bleu
from qanalysis.tasks.decoding import beam, ended, greedy
from qanalysis.tasks.task import Statistics, Task

#: Tokens that are said at most where the network has no end of positions.
_LONGEST = 256


@dataclass(frozen=True, eq=False)
class Translated:
    """What a model answers to a batch.

    Attributes:
        scores: of the next token, `(N, T, tokens)`, teacher-forced: each after the reference's tokens before it.
        texts: what it says by itself.
    """

    scores: torch.Tensor
    texts: tuple[str, ...]


class Translation(Task):
    """BLEU of greedy decoding, or of a beam search; how far scores are from fp32's is told teacher-forced.

    Inputs are a dictionary with the source's tokens and, under the name that the processor gives, the reference's
    tokens behind a start token; targets are `{"text": [...], "tokens": (N, T)}`.

    Args:
        beam: beginnings that a beam search keeps; 1 is greedy.
    """

    name = "translation"
    words = TASKS["translation"].words
    learns = True
    graded = True

    def __init__(self, beam: int = 1) -> None:
        self.beam = beam

    @property
    def texts(self) -> TextProcessor:
        """The model's processor.

        Raises:
            UserError: if it has none that decodes.
        """
        found = self.processor
        if not isinstance(found, TextProcessor) or found.start is None or found.end is None:
            raise UserError(
                f"the task {self.name} needs a model with a vocabulary that decodes (a processor with start and end "
                "token), but this one has none: choose another task, or give its module an attribute `processor`"
            )
        return found

    def measured(self, model: Callable[..., Any], inputs: Inputs) -> Translated:
        """See `Task.measured`: with what it says when nobody helps it."""
        texts = self.texts
        given = _tokens(inputs, texts)
        scores = _scores(self.call(model, inputs))
        assert isinstance(inputs, Mapping)
        others = {name: value for name, value in inputs.items() if name != texts.decoder_input}
        end, longest = int(texts.end or 0), (texts.longest or _LONGEST)

        def asked(places: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
            chosen = {name: value[places.to(value.device)] for name, value in others.items()}
            return _scores(self.call(model, {**chosen, texts.decoder_input: said.to(given.device)}))

        start = int(texts.start or 0)
        if self.beam > 1:
            said: list[list[int]] = beam(asked, len(given), start, end, longest - 1, self.beam)
        else:  # what it says to the reference is one round of decoding already
            found = greedy(asked, ended(scores.argmax(2).cpu(), end), start, end, longest)
            said = [[token for token in row if token != end] for row in found.tolist()]
        return Translated(scores, tuple(texts.decode(row) for row in said))

    def outputs(self, raw: Any) -> tuple[torch.Tensor, ...]:
        """See `Task.outputs`: the teacher-forced scores."""
        return (raw.scores,) if isinstance(raw, Translated) else (_scores(raw),)

    def answers(self, raw: Any) -> tuple[str, ...]:
        """See `Task.answers`: texts."""
        if not isinstance(raw, Translated):
            raise UserError(f"the task {self.name} cannot be told from scores alone")
        return raw.texts

    def as_targets(self, answers: tuple[str, ...]) -> dict[str, Any]:
        """See `Task.as_targets`: fp32's texts."""
        return {"text": list(answers)}

    def check(self, raw: Any, targets: Any, samples: int) -> None:
        """See `Task.check`."""
        scores = self.outputs(raw)[0]
        if scores.ndim != 3 or len(scores) != samples or scores.shape[2] < self.texts.size:
            raise UserError(
                f"the task {self.name} needs scores (N, T, {self.texts.size} tokens), but the model returned "
                f"{shapes(scores)}: the vocabulary does not fit the network"
            )

    def check_targets(self, targets: Any) -> None:
        """See `Task.check_targets`."""
        if not isinstance(targets, Mapping) or "text" not in targets:
            raise UserError(f"the task {self.name} needs data with sentences in two languages, such as pairs:FILE")

    def divergence(self, outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Task.divergence`: KL(fp32 ‖ quantized) in nats, the mean over tokens."""
        given, fp32 = (scores[0].detach().cpu().double().log_softmax(2) for scores in (outputs, reference))
        return (fp32.exp() * (fp32 - given)).sum(2).mean(1).clamp(min=0)

    def statistics(self, answers: tuple[str, ...], targets: Any) -> Statistics:
        """See `Task.statistics`: counts of BLEU."""
        return np.stack([bleu.counts(said, wanted) for said, wanted in zip(answers, targets["text"], strict=True)])

    def accuracy(self, means: Statistics) -> float:
        """See `Task.accuracy`: BLEU."""
        return bleu.score(means)

    def accuracy_of(self, statistics: Statistics) -> float:
        """See `Task.accuracy_of`: of sums, which matters where an order has no match."""
        return bleu.score(statistics.sum(0))

    def same(self, answers: tuple[str, ...], reference: tuple[str, ...]) -> torch.Tensor:
        """See `Task.same`: whether both say the same sentence."""
        return torch.tensor([one == other for one, other in zip(answers, reference, strict=True)]).double()

    def drawn(self, raw: Any, numbers: Sequence[int], draws: int) -> list[torch.Tensor]:
        """See `Task.drawn`: a token at every position."""
        log_p = self.outputs(raw)[0].float().log_softmax(2)
        chosen = []
        for number, row in zip(numbers, log_p.detach().exp().cpu(), strict=True):
            generator = torch.Generator().manual_seed(number)
            chosen.append(torch.multinomial(row, draws, replacement=True, generator=generator))
        tokens = torch.stack(chosen).to(log_p.device)  # (N, T, draws)
        return [log_p.gather(2, tokens[:, :, draw : draw + 1]).sum() / log_p.shape[1] for draw in range(draws)]

    def shown(self, answers: tuple[str, ...], sample: int) -> dict[str, Any]:
        """See `Task.shown`: the sentence."""
        return {"text": answers[sample]}

    def shown_target(self, targets: Any, sample: int) -> dict[str, Any]:
        """See `Task.shown_target`: the reference."""
        return {"text": targets["text"][sample]}

    def loss(
        self, model: nn.Module, inputs: Inputs, targets: Any, teacher: nn.Module | None, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """See `Task.loss`: cross entropy of the next token, the mean over a sentence's tokens."""
        scores = _scores(self.call(model, inputs)).float()
        if teacher is not None:
            with torch.no_grad():
                wanted = _scores(self.call(teacher, inputs)).float().softmax(2).transpose(1, 2)
        else:
            wanted = targets["tokens"].to(scores.device)
        losses = functional.cross_entropy(
            scores.transpose(1, 2), wanted, label_smoothing=label_smoothing, reduction="none"
        )
        return losses.mean(1).sum()

    def chance(self) -> float:
        """See `Task.chance`: the entropy of equal probabilities."""
        return float(np.log(self.texts.size))


def _tokens(inputs: Inputs, texts: TextProcessor) -> torch.Tensor:
    """What the decoder is given.

    Raises:
        UserError: if inputs have no such tokens.
    """
    found = inputs.get(texts.decoder_input) if isinstance(inputs, Mapping) else None
    if not isinstance(found, torch.Tensor):
        raise UserError(
            f"the task translation needs inputs with the reference's tokens as {texts.decoder_input!r}, as "
            "pairs:FILE makes them"
        )
    return found


def _scores(raw: Any) -> torch.Tensor:
    """The first tensor of three axes that a model returns."""
    found = [tensor for tensor in float_tensors(raw) if tensor.ndim == 3]
    if not found:
        raise UserError(f"the task translation needs scores (N, T, tokens), but the model returned {shapes(raw)}")
    return found[0]
