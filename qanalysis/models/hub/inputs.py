"""What prepares the inputs of a Hugging Face network: tokenizer, image processor or feature extractor of its folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qanalysis.models.processor import Encoded, Processor, Span
from qanalysis.schema.errors import UserError

#: Lengths from which on a tokenizer means that there is none.
_ENDLESS = 10**9
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "source.spm", "tokenizer.model")
_SPEECH = ("speech", "audio-classification")
_IMAGES = ("classification", "segmentation", "detection")
_FAILURES = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known of a network's inputs.

    Attributes:
        processor: of texts or sounds.
        transform: from a PIL image to an input `(C, H, W)`.
        mean: per channel, on images in [0, 1].
        std: likewise.
        input_shape: of one input, where known.
        notes: what a reader has to know, e.g. that there is no tokenizer.
    """

    processor: Processor | None = None
    transform: Callable[[Any], torch.Tensor] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


def prepared_by(where: Path, config: Any, head: str) -> Prepared:
    """What the files beside a configuration say; what is not there is told in a note, as inputs may come prepared.

    Args:
        where: the folder.
        config: of the network.
        head: name of its head.

    Raises:
        UserError: if a file is there that cannot be read.
    """
    if head in _SPEECH:
        return _speech(where, config, head)
    if head in _IMAGES or hasattr(config, "image_size"):
        return _images(where, config)
    return _text(where, config)


@dataclass(eq=False)
class HubText:
    """A tokenizer of the transformers library as a `TextProcessor`."""

    tokenizer: Any
    size: int
    longest: int | None
    start: int | None
    end: int | None
    decoder_input: str = "decoder_input_ids"

    def encode(self, text: str, pair: str | None = None) -> Encoded:
        """Tokens of a text, or of a question and its passage, with special tokens; nothing is cut off."""
        fast = bool(self.tokenizer.is_fast)
        said = self.tokenizer(text, pair, return_offsets_mapping=fast, truncation=False, verbose=False)
        spans: tuple[Span | None, ...] = ()
        if fast:
            last = 0 if pair is None else 1
            of = said.sequence_ids(0)
            offsets = said["offset_mapping"]
            spans = tuple((int(a), int(b)) if n == last else None for n, (a, b) in zip(of, offsets, strict=True))
        names = [name for name in self.tokenizer.model_input_names if name in said]
        return Encoded({name: torch.tensor(said[name]) for name in names}, spans)

    def target(self, text: str) -> list[int]:
        """Tokens that a decoder should say, with the end."""
        ids = [int(token) for token in self.tokenizer(text_target=text, truncation=False)["input_ids"]]
        return ids if self.end is None or ids[-1:] == [self.end] else [*ids, self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass(eq=False)
class HubSpeech:
    """A feature extractor and a tokenizer of characters of the transformers library as a `SpeechProcessor`."""

    extractor: Any
    tokenizer: Any
    sample_rate: int
    size: int
    blank: int
    shortest: int

    def features(self, sound: torch.Tensor) -> Mapping[str, torch.Tensor] | torch.Tensor:
        """What the network takes, by the names of its `forward`."""
        made = self.extractor(sound.numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
        return {name: tensor[0] for name, tensor in made.items()}

    def target(self, transcript: str) -> list[int]:
        """The symbols of a transcript.

        Raises:
            ValueError: naming a character that the network cannot write.
        """
        vocabulary = self.tokenizer.get_vocab()
        cased = transcript if any(len(one) == 1 and one.islower() for one in vocabulary) else transcript.upper()
        delimiter = getattr(self.tokenizer, "word_delimiter_token", None) or " "
        found = []
        for character in cased.replace(" ", delimiter):
            if character not in vocabulary:
                raise ValueError(f"the network cannot write {character!r}")
            found.append(int(vocabulary[character]))
        return found

    def decode(self, symbols: Sequence[int]) -> str:
        """The text of symbols."""
        delimiter = getattr(self.tokenizer, "word_delimiter_token", None) or " "
        said = self.tokenizer.convert_ids_to_tokens([symbol for symbol in symbols if symbol != self.blank])
        return "".join(said).replace(delimiter, " ")


def _text(where: Path, config: Any) -> Prepared:
    if not any((where / name).is_file() for name in _VOCABULARIES):
        return Prepared(notes=("There is no tokenizer in its folder: data must bring token ids.",))
    from transformers import AutoTokenizer

    tokenizer = _read(AutoTokenizer, where, "tokenizer")
    longest = [
        limit
        for limit in (tokenizer.model_max_length, _positions(config))
        if isinstance(limit, int) and 0 < limit < _ENDLESS
    ]
    return Prepared(
        HubText(
            tokenizer,
            int(getattr(config, "vocab_size", 0)) or len(tokenizer),
            min(longest) if longest else None,
            getattr(config, "decoder_start_token_id", None) if getattr(config, "is_encoder_decoder", False) else None,
            tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id,
        )
    )


def _positions(config: Any) -> int | None:
    """Positions of the network; networks like RoBERTa begin to count behind the padding."""
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if limit is None:
        return None
    behind = "roberta" in str(config.model_type) or config.model_type in ("camembert", "mpnet", "longformer")
    return int(limit) - (2 if behind else 0)


def _images(where: Path, config: Any) -> Prepared:
    size = getattr(config, "image_size", None)
    channels = int(getattr(config, "num_channels", 3))
    sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, list | tuple) else None
    if not (where / "preprocessor_config.json").is_file():
        note = "There is no image processor in its folder: how images are normalised is not known."
        return Prepared(input_shape=None if sides is None else (channels, *sides), notes=(note,))
    from transformers import AutoImageProcessor

    processor = _read(AutoImageProcessor, where, "image processor")
    said = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    given = {key: value for key, value in dict(said or getattr(processor, "size", None) or {}).items() if value}
    if "height" in given and "width" in given:
        sides = (int(given["height"]), int(given["width"]))
    elif sides is None and "shortest_edge" in given:
        sides = (int(given["shortest_edge"]),) * 2

    def transform(image: Any) -> torch.Tensor:
        made = processor(images=image.convert("RGB") if channels == 3 else image, return_tensors="pt")
        pixels: torch.Tensor = made["pixel_values"][0]
        return pixels

    return Prepared(
        None,
        transform,
        _numbers(getattr(processor, "image_mean", None)),
        _numbers(getattr(processor, "image_std", None)),
        None if sides is None else (channels, *sides),
    )


def _speech(where: Path, config: Any, head: str) -> Prepared:
    if not (where / "preprocessor_config.json").is_file():
        return Prepared(notes=("There is no feature extractor in its folder: data must bring features.",))
    from transformers import AutoFeatureExtractor, AutoTokenizer

    extractor = _read(AutoFeatureExtractor, where, "feature extractor")
    if head != "speech":
        return Prepared(notes=("Its data must bring features.",))
    if not any((where / name).is_file() for name in _VOCABULARIES):
        return Prepared(notes=("There is no tokenizer in its folder: data must bring features and symbols.",))
    tokenizer = _read(AutoTokenizer, where, "tokenizer")
    blank = getattr(config, "pad_token_id", None)
    size = int(getattr(config, "vocab_size", 0)) or len(tokenizer)
    rate = int(getattr(extractor, "sampling_rate", 16_000))
    return Prepared(HubSpeech(extractor, tokenizer, rate, size, int(blank or 0), _shortest(config)))


def _shortest(config: Any) -> int:
    """Samples that give one frame of the convolutions before the transformer."""
    samples = 1
    pairs = zip(getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ()), strict=False)
    for kernel, stride in reversed(list(pairs)):
        samples = (samples - 1) * int(stride) + int(kernel)
    return samples


def _read(kind: Any, where: Path, what: str) -> Any:
    try:
        return kind.from_pretrained(where, trust_remote_code=False, local_files_only=True)
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"The {what} in {where.name} cannot be read: {reason}.") from None


def _numbers(value: Any) -> tuple[float, ...] | None:
    return tuple(float(number) for number in value) if isinstance(value, list | tuple) else None
