"""Trains a sample network that translates numbers in words from German to English, and records what it measured.

`einundzwanzig` is `twenty-one`: the order of words differs, pieces stand for others by their place. num2words writes
the numbers, below a thousand million, as many of every length; a number of the test is in no other part. Batches hold
sentences of one length, so that nothing is padded. Every epoch writes a checkpoint, so that a stopped run continues.

    python sample_models/train_numbers.py data                                # sample_models/data/numbers.json
    python sample_models/train_numbers.py transformer --runs runs --publish   # sample_models/transformer.*
"""

import argparse
import json
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from qanalysis.models.translation.gnmt import gnmt
from qanalysis.models.translation.pieces import END, START, Pieces
from qanalysis.models.translation.transformer import transformer

HERE = Path(__file__).parent
NETWORKS = {"transformer": transformer, "gnmt": gnmt}
DATA = HERE / "data" / "numbers.json"
#: Pairs that come with the program, by part; training makes as many more as it likes.
PARTS = {"test": 500, "calibration": 256, "train": 4000}
TRAINING_PAIRS = 60_000
#: Pieces of the two languages, spaces and hyphens with them.
GERMAN = (
    *("null", "eins", "eine", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf"),
    *("zwölf", "sech", "sieb", "zwanzig", "dreißig", "zig", "und", "hundert", "tausend", " Millionen", " Million", " "),
)
ENGLISH = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty"),
    *("fifty", "sixty", "seventy", "eighty", "ninety", " hundred", " thousand", " million", " and ", ", ", "-", " "),
)
PIECES = Pieces(GERMAN, ENGLISH)
Pair = tuple[str, str]


@dataclass(frozen=True)
class Recipe:
    """What determines a run; recorded in the model card."""

    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    optimizer: str
    train_images: int
    seed: int


def numbers(count: int, seed: int, without: frozenset[int] = frozenset()) -> list[int]:
    """Different numbers, as many of every length from 1 to 9 digits as there are."""
    random = np.random.default_rng(seed)
    found: dict[int, None] = {}
    while len(found) < count:
        digits = int(random.integers(1, 10))
        number = int(random.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
        if number not in without:
            found[number] = None
    return list(found)


def pair(number: int) -> Pair:
    """A number in words, German and English."""
    from num2words import num2words

    return num2words(number, lang="de"), num2words(number, lang="en")


def make_data() -> None:
    """Writes the pairs that come with the program."""
    drawn = numbers(sum(PARTS.values()), 0)
    content: dict[str, Any] = {"source": "German", "target": "English", "parts": {}}
    start = 0
    for part, count in PARTS.items():
        content["parts"][part] = [list(pair(number)) for number in drawn[start : start + count]]
        start += count
    DATA.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def tokens(pairs: list[Pair]) -> list[tuple[list[int], list[int]]]:
    """Tokens of both sides."""
    return [(PIECES.encode(german).ids.tolist(), PIECES.target(english)) for german, english in pairs]


def batches(pairs: list[tuple[list[int], list[int]]], size: int, random: np.random.Generator) -> list[list[int]]:
    """Places of pairs of the same two lengths, shuffled."""
    by_length: dict[tuple[int, int], list[int]] = {}
    for place in random.permutation(len(pairs)):
        source, target = pairs[place]
        by_length.setdefault((len(source), len(target)), []).append(int(place))
    found = [places[i : i + size] for places in by_length.values() for i in range(0, len(places), size)]
    return [found[i] for i in random.permutation(len(found))]


@torch.no_grad()
def right(model: nn.Module, pairs: list[tuple[list[int], list[int]]]) -> float:
    """Sentences that are translated without a fault by greedy decoding, in %."""
    model.eval()
    hits = 0
    for places in batches(pairs, 250, np.random.default_rng(0)):
        memory = model.encode(torch.tensor([pairs[i][0] for i in places]))  # type: ignore[operator]
        said = torch.full((len(places), 1), START)
        for _ in range(len(pairs[places[0]][1])):
            said = torch.cat([said, model.decode(memory, said)[:, -1:].argmax(2)], 1)  # type: ignore[operator]
        hits += int((said[:, 1:] == torch.tensor([pairs[i][1] for i in places])).all(1).sum())
    return 100 * hits / len(pairs)


def bleu(model: nn.Module, pairs: list[Pair]) -> float:
    """BLEU of greedy decoding, by sacrebleu."""
    import sacrebleu

    said = []
    with torch.no_grad():
        for german, _ in pairs:
            memory = model.encode(PIECES.encode(german).ids[None])  # type: ignore[operator]
            ids = [START]
            while len(ids) < (PIECES.longest or 64) and (len(ids) == 1 or ids[-1] != END):
                ids.append(int(model.decode(memory, torch.tensor([ids]))[0, -1].argmax()))  # type: ignore[operator]
            said.append(PIECES.decode(ids[1:]))
    return float(sacrebleu.corpus_bleu(said, [[english for _, english in pairs]]).score)


def train(recipe: Recipe, run: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Trains to the end of the schedule, continuing from `run/last.pt` if it is there; returns model and record."""
    content = json.loads(DATA.read_text(encoding="utf-8"))
    kept = frozenset(numbers(sum(PARTS.values()), 0)[: PARTS["test"]])
    training = tokens([pair(number) for number in numbers(recipe.train_images, 1, kept)])
    test = [(german, english) for german, english in content["parts"]["test"]]
    torch.manual_seed(recipe.seed)
    model = NETWORKS[recipe.network](len(GERMAN) + 2, PIECES.size)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    steps = sum(-(-count // recipe.batch_size) for count in Counter((len(s), len(t)) for s, t in training).values())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1, cycle_momentum=False
    )
    loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    history: list[dict[str, float]] = []
    checkpoint = run / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
    for epoch in range(len(history), recipe.epochs):
        start = time.perf_counter()
        model.train()
        total = 0.0
        for places in batches(training, recipe.batch_size, np.random.default_rng((recipe.seed, epoch))):
            source, target = (torch.tensor([training[i][side] for i in places]) for side in (0, 1))
            given = torch.cat([torch.full((len(places), 1), START), target[:, :-1]], 1)
            loss = loss_function(model(source, given).flatten(0, 1), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        history.append({"loss": total / steps, "right": right(model, tokens(test)), "seconds": seconds})
        print(recipe.network, epoch + 1, json.dumps(history[-1]), flush=True)
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": history,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)
    model.eval()
    record = {
        "recipe": asdict(recipe),
        "metric": "BLEU",
        "data": "sample:numbers",
        "test_images": len(test),
        "test_accuracy": bleu(model, test),
        "right": right(model, tokens(test)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_seconds": round(sum(epoch["seconds"] for epoch in history)),
        "torch": torch.__version__,
        "machine": f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "vocabulary": {"source": GERMAN, "target": ENGLISH},
        "history": history,
    }
    return model, record


def publish(model: nn.Module, record: dict[str, Any], folder: Path) -> None:
    """Writes the checkpoint `<network>.safetensors`, what was measured `.json`, and the model card `.md`."""
    name = record["recipe"]["network"]
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(card(record), encoding="utf-8")


def card(record: dict[str, Any]) -> str:
    """The model card: architecture, BLEU, data, recipe, cost."""
    recipe = record["recipe"]
    network = NETWORKS[recipe["network"]]
    return f"""# {recipe["network"]}

{network.__doc__} Code: `{network.__module__.replace(".", "/")}.py`.

**{record["test_accuracy"]:.2f} BLEU** (sacrebleu) on {record["test_images"]:,} numbers that it has not seen, decoded greedily in fp32;
{record["right"]:.1f} % of them without a fault. {record["parameters"]:,} parameters.

| | |
|---|---|
| data | numbers below a thousand million in words, German to English, written by num2words; {recipe["train_images"]:,} of them for training |
| schedule | {recipe["epochs"]} epochs, one-cycle learning rate, peak {recipe["learning_rate"]} |
| optimizer | {recipe["optimizer"]}, batch size {recipe["batch_size"]}, weight decay {recipe["weight_decay"]} (matrices only) |
| loss | cross entropy of the next token, label smoothing {recipe["label_smoothing"]} |
| precision | fp32 |
| seed | {recipe["seed"]} |
| training time | {record["training_seconds"] / 60:.0f} minutes on {record["machine"]}, {record["threads"]} thread(s), PyTorch {record["torch"]} |

What was measured after every epoch is in `{recipe["network"]}.json`.
Made for studying quantization; it knows no other words.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("data", *NETWORKS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the checkpoint of every epoch")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--publish", action="store_true", help="write the checkpoint and its record beside this script")
    args = parser.parse_args()
    if args.what == "data":
        make_data()
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = Recipe(
        args.what,
        args.epochs,
        args.batch_size,
        args.learning_rate,
        args.weight_decay,
        args.label_smoothing,
        "adamw",
        TRAINING_PAIRS,
        args.seed,
    )
    run = args.runs / recipe.network
    run.mkdir(parents=True, exist_ok=True)
    model, record = train(recipe, run)
    print(f"{recipe.network}: {record['test_accuracy']:.2f} BLEU on {record['test_images']} numbers")
    if args.publish:
        publish(model, record, HERE)


if __name__ == "__main__":
    main()
