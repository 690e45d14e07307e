"""Translation: BLEU as sacrebleu has it, decoding as one by one, no padding, sentences in the answers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qanalysis
from qanalysis.data.pairs import PairDataset, read
from qanalysis.models.translation.gnmt import gnmt
from qanalysis.models.translation.pieces import END, START, Pieces
from qanalysis.models.translation.transformer import transformer
from qanalysis.schema.errors import UserError
from qanalysis.tasks import bleu
from qanalysis.tasks.decoding import beam, ended, greedy
from qanalysis.tasks.translation import Translation

SENTENCES = (
    "two hundred and one",
    "twenty-one, they said.",
    "It costs $3.50 (or 4,000 yen)!",
    "one",
    "a b c d e f",
    "The cat &amp; the dog -- 1-2-3",
    "three hundred million, two thousand and one",
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SENTENCES), st.sampled_from(SENTENCES)), min_size=1, max_size=6))
def test_bleu_is_sacrebleus(pairs):
    sacrebleu = pytest.importorskip("sacrebleu")
    said, wanted = zip(*pairs, strict=True)
    expected = sacrebleu.corpus_bleu(list(said), [list(wanted)]).score
    assert bleu.score(sum(bleu.counts(*pair) for pair in pairs)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab1.,-$&'\"()/é \n", max_size=30))
def test_tokens_are_those_of_13a(text):
    module = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a")
    assert bleu.tokens(text) == module.Tokenizer13a()(text).split()


class Chain:
    """Scores that depend on all tokens so far, of a random network of three samples."""

    def __init__(self, seed):
        self.weights = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(seed))

    def __call__(self, places, given):
        memory = torch.cumsum(torch.nn.functional.one_hot(given, 6).float(), 1)
        return torch.einsum("ntk,nkv->ntv", memory.sin(), self.weights[places])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("length", [1, 3, 9])
def test_all_positions_at_once_say_what_one_by_one_says(seed, length):
    chain, longest = Chain(seed), 12
    expected = torch.full((3, 0), END)
    for _ in range(longest):
        given = torch.cat([torch.full((3, 1), START), expected], 1)
        expected = torch.cat([expected, chain(torch.arange(3), given)[:, -1:].argmax(2)], 1)
    expected = ended(expected, END)
    guess = torch.randint(0, 6, (3, length), generator=torch.Generator().manual_seed(seed))
    found = greedy(chain, guess, START, END, longest)
    short = found.shape[1]
    assert torch.equal(found, expected[:, :short])
    assert (expected[:, short:] == END).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_keeps_everything_finds_the_best_sentence(seed):
    chain, longest = Chain(seed), 3
    found = beam(chain, 3, START, END, longest, 10_000)
    for sample in range(3):
        best = {}
        for length in range(longest):
            for said in itertools.product(range(1, 6), repeat=length):
                given = torch.tensor([[START, *said]])
                log_p = chain(torch.tensor([sample]), given).log_softmax(2)[0]
                total = sum(float(log_p[at, token]) for at, token in enumerate([*said, END]))
                best[said] = total / (length + 1)
        assert tuple(found[sample]) == max(best, key=best.get)


PIECES = Pieces(("ein", "zwei", "und", " "), ("one", "two", " and ", " "))
PAIRS = [
    ("ein", "one"),
    ("zwei", "two"),
    ("einundzwei", "two and one"),
    ("zweiundein", "one and two"),
    ("ein zwei", "one two"),
    ("zwei zwei", "two two"),
    ("ein ein", "one one"),
    ("zwei ein", "two one"),
]


def network(make=transformer):
    torch.manual_seed(0)
    module = make(len(PIECES.source) + 2, PIECES.size).eval()
    module.processor = PIECES
    return module


@pytest.mark.parametrize("make", [transformer, gnmt])
def test_results_do_not_depend_on_how_sentences_come_together(tmp_path, make):
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{source}\t{target}\n" for source, target in 6 * PAIRS), encoding="utf-8")
    given = {"model": network(make), "data": f"pairs:{file}", "calibrations": ("max", "entropy")}
    one, all_ = (qanalysis.run("ptq", **given, batch_size=size) for size in (1, 32))
    assert (one.task, one.metric, one.words.samples) == ("translation", "BLEU", "sentences")
    assert one.fp32 == pytest.approx(all_.fp32, abs=1e-9)
    for left, right in zip(one.rows, all_.rows, strict=True):
        assert left.accuracy == pytest.approx(right.accuracy, abs=1e-9)
    few = {"model": given["model"], "data": given["data"], "calibrations": ("max",)}
    ranges = [qanalysis.run("calibrate", **few, batch_size=size).ranges["max"] for size in (1, 32)]
    for name, range_ in ranges[0].items():
        assert ranges[1][name] == pytest.approx(range_, rel=1e-5)


def test_sentences_are_shown_and_learned(tmp_path):
    data = [PairDataset(PAIRS, PIECES)] * 3
    given = {"model": network(), "data": tuple(data), "task": "translation", "batch_size": 1}
    answers = qanalysis.run("answers", **given, bits=3, calibrations=("max",))
    assert answers.changed
    first = answers.changed[0]
    assert first.target.text in {english for _, english in PAIRS}
    assert first.fp32.text is not None
    ranked = qanalysis.run("sensitivity", **given, bits=4, calibration="max", most_skipped=1)
    assert len(ranked.rows) == 45
    trained = qanalysis.run(
        "qat", **given, calibration="max", steps=6, train_batch_size=1, learning_rate=1e-3, control=False
    )
    losses = [step.loss for step in trained.run.steps]
    assert np.isfinite(losses).all()


def test_a_network_without_a_vocabulary_is_told_what_it_lacks(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("ein\tone\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds sentences, but sample:resnet20 has no vocabulary"):
        qanalysis.run("ptq", model="sample:resnet20", data=f"pairs:{file}")
    with pytest.raises(UserError, match="needs a model with a vocabulary that decodes"):
        Translation().texts  # noqa: B018


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tsv", "", "has no pairs of sentences"),
        ("a.tsv", "ein\n", "Line 1 of .* must have two columns with a tab between them, but has 1"),
        ("a.tsv", b"\xff\xfe\x00", "is no text in UTF-8"),
        ("a.jsonl", '{"source": "ein"}\n', "must be an object with the texts 'source' and 'target'"),
        ("a.jsonl", "{\n", "Line 1 of .* is no JSON"),
        ("a.jsonl", "[" * 100_000, "Line 1 of .* is no JSON"),
    ],
)
def test_files_that_are_no_pairs(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        read(file)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("drei", "one"), "The vocabulary has no piece for 'drei'"),
        (("", "one"), "one of the two sentences is empty"),
        (("ein " * 40, "one"), "it has 81 tokens, but the network 64 positions"),
    ],
)
def test_a_pair_that_does_not_fit_is_left_out_and_told(pair, said):
    dataset = PairDataset([pair, *PAIRS], PIECES)
    with pytest.raises(ValueError, match=said):
        dataset[0]
    given = {"model": network(), "data": (PairDataset(PAIRS, PIECES), dataset), "task": "translation", "batch_size": 1}
    result = qanalysis.run("ptq", **given, calibrations=("max",))
    assert any("1 of 9 samples could not be read" in note for note in result.data.warnings)
