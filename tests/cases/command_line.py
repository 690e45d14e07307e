"""Words on the command line: options out of their domain, contradictions, places that cannot be written to."""

import os
from pathlib import Path

from tests.cases.case import Case, Run, cli

#: A command that needs no file and no training: options are read before anything is loaded.
NET = ("--model", "sample:resnet20@none", "--data", "sample:cifar10")
FEW = ("--calibration-samples", "4", "--evaluation-samples", "4")


def ptq(*words: str) -> Run:
    return cli("ptq", *NET, *FEW, *words)


def _option(name: str, value: str, says: str, analysis: str = "ptq") -> Case:
    return Case(f"{analysis} {name} {value[:30]}", cli(analysis, *NET, name, value), says)


_NUMBERS = [
    *[_option("--bits", value, "bits") for value in ("1", "9", "0", "-8", "1e3", "eight", "8.5", "", "inf", "nan")],
    *[_option("--calibration-samples", value, "samples") for value in ("0", "-1", "many", "1.5", "")],
    *[_option("--evaluation-samples", value, "samples") for value in ("0", "-3", "none", "0x10")],
    *[_option("--batch-size", value, "batch.size") for value in ("0", "-64", "big", "")],
    *[_option("--seed", value, "seed") for value in ("-1", "x", "1.0")],
    *[_option("--most-skipped", value, "most.skipped", "sensitivity") for value in ("-1", "all")],
    *[_option("--target", value, "target", "sensitivity") for value in ("-1", "nan", "inf", "little")],
    *[_option("--memory-mb", value, "memory.mb", "sensitivity") for value in ("-1", "much")],
    *[_option("--harmless", value, "harmless", "sensitivity") for value in ("-0.1", "nan")],
    *[_option("--width", value, "width", "partial") for value in ("0", "-2")],
    *[_option("--epochs", value, "epochs", "qat") for value in ("0", "-1", "x")],
    *[_option("--steps", value, "steps", "qat") for value in ("0", "-5")],
    *[_option("--minutes", value, "minutes", "qat") for value in ("0", "-1", "nan")],
]
_CHOICES = [
    *[
        _option("--calibrations", value, "[Cc]alibration|%|percentile|p <")
        for value in (
            "kl",
            "max,kl",
            "percentile",
            "percentile:0",
            "percentile:101",
            "percentile:x",
            "percentile:nan",
            ",",
            "",
        )
    ],
    _option("--calibration", "trained", "trained", "sensitivity"),
    _option("--calibration", "", "alibration", "sensitivity"),
    _option("--weight-granularity", "per-layer", "per-channel"),
    _option("--weight-scheme", "float", "scale"),
    _option("--activation-scheme", "none", "scale"),
    _option("--mode", "both", "only", "sensitivity"),
    _option("--rank", "time", "divergence", "sensitivity"),
    _option("--search", "best", "greedy", "partial"),
    _option("--parts", "neither", "both", "sensitivity"),
    _option("--engines", "tensorflow", "[Uu]nknown", "benchmark"),
    _option("--flavours", "tflite", "[Uu]nknown", "export"),
    _option("--skip", "layer9", "no site named 'layer9'"),
    _option("--skip", "CONV1", "no site named 'CONV1'"),
    _option("--plan", "nothing", "no plan 'nothing'"),
    _option("--plan", "/etc/passwd", "passwd"),
    *[
        _option("--device", value, "device|CUDA")
        for value in ("meta", "mps", "vulkan", "cuda:99", "gpu", "cpu:x", "", "xla", "cuda:-1", "CPU:0:0")
    ],
]
_CONTRADICTIONS = [
    Case("steps and epochs", cli("qat", *NET, "--steps", "1", "--epochs", "1"), "at the most"),
    Case("steps and minutes", cli("qat", *NET, "--steps", "1", "--minutes", "1"), "at the most"),
    Case(
        "learned ranges with a zero point",
        cli("qat", *NET, "--ranges", "learned", "--activation-scheme", "affine"),
        "symmetric",
    ),
    Case("accumulate does not divide", cli("qat", *NET, "--train-batch-size", "5", "--accumulate", "2"), "multiple"),
    Case("fp16 without a GPU", cli("qat", *NET, "--autocast", "fp16", "--device", "cpu"), "GPU"),
    Case("no command", cli(), "required|COMMAND"),
    Case("an unknown command", cli("quantise"), "invalid choice"),
    Case("an unknown option", cli("ptq", "--speed", "fast"), "unrecognized"),
    Case("an option without its value", cli("ptq", "--model"), "expected one argument"),
    Case("schema of nothing", cli("schema", "everything"), "invalid choice"),
    Case("a report without a place", cli("report", "--model", "sample:resnet20"), "--html"),
]


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _read_only(folder: Path) -> None:
    (folder / "there").mkdir()
    (folder / "file").write_text("")


_PLACES = [
    Case("--json into a folder", ptq("--json", "{folder}"), "is a folder"),
    Case("--json to nothing", ptq("--json", ""), "is a folder"),
    Case("--json into a missing folder", ptq("--json", "{folder}/no/out.json"), "no folder"),
    Case("--json below a file", cli("ptq", *NET, *FEW, "--json", "{folder}/file/out", make=_read_only), "no folder"),
    Case("--json of a nobody", ptq("--json", "~nobody-here/out.json"), "home folder"),
    Case("--json with a NUL", ptq("--json", "a\0b"), "NUL"),
    Case("--json of 5,000 characters", ptq("--json", "x" * 5000), "too long"),
    Case("--json to a full device", ptq("--json", "/dev/full", "--calibrations", "max"), "No space left"),
    Case("--json to nowhere", ptq("--json", "/dev/null", "--calibrations", "max"), "sites quantized", code=0),
    Case("--keep in a file", cli("ptq", *NET, *FEW, "--keep", "{folder}/file", make=_read_only), "is a file"),
    Case(
        "--keep below a file", cli("ptq", *NET, *FEW, "--keep", "{folder}/file/x", make=_read_only), "cannot be written"
    ),
    Case("--log to nowhere", ptq("--log", "wandb:x"), "tensorboard:FOLDER"),
    Case("--log without a folder", ptq("--log", "tensorboard"), "tensorboard:FOLDER"),
    Case(
        "a report into a folder",
        cli("report", "--model", "sample:resnet20", "--html", "{folder}"),
        "folder|finished|run",
    ),
]
_CONFIGURATIONS = {
    "empty": ("", "version = 1"),
    "not TOML": ("{]", "is not TOML"),
    "binary": ("\x00\x01", "is not TOML"),
    "another version": ("version = 2", "version = 2"),
    "no analysis": ("version = 1", "analysis"),
    "an unknown analysis": ('version = 1\nanalysis = "magic"', "unknown analysis 'magic'"),
    "an interactive analysis": ('version = 1\nanalysis = "trials"', "unknown analysis 'trials'"),
    "an unknown parameter": ('version = 1\nanalysis = "ptq"\n[params]\nspeed = 1', "speed"),
    "a parameter out of range": ('version = 1\nanalysis = "ptq"\n[params]\nbits = 99', "bits"),
    "a parameter of another type": ('version = 1\nanalysis = "ptq"\n[params]\nbits = []', "bits"),
    "parameters that are a list": ('version = 1\nanalysis = "ptq"\nparams = []', "params"),
    "a model that is a number": ('version = 1\nanalysis = "ptq"\n[params]\nmodel = 3', "model"),
    "deep brackets": ("version = " + "[" * 3000, "is not TOML"),
    "a date for a version": ("version = 2020-01-01", "version"),
    "one key twice": ("version = 1\nversion = 1", "is not TOML"),
}


def _written(text: str) -> "Run":
    def make(folder: Path) -> None:
        (folder / "run.toml").write_text(text)

    return cli("run", "{folder}/run.toml", make=make)


CASES = (
    *_NUMBERS,
    *_CHOICES,
    *_CONTRADICTIONS,
    *_PLACES,
    *(Case(f"a configuration: {name}", _written(text), says) for name, (text, says) in _CONFIGURATIONS.items()),
    Case("no configuration", cli("run", "{folder}/none.toml"), "There is no configuration file"),
    Case("a folder as configuration", cli("run", "{folder}"), "is a folder"),
    Case("a pipe as configuration", cli("run", "{folder}/pipe", make=_fifo), "a pipe"),
    Case("a device as configuration", cli("run", "/dev/zero"), "a device"),
)
