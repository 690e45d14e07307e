"""What comes out of files and addresses never runs code, and pages read the server's folders only."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from qanalysis import names
from qanalysis.models.cifar.resnet import resnet20
from tests.cases.case import SENTINEL, Case, Run, cli, python

STATE = resnet20().state_dict()


def system(command: str = "") -> None:
    raise AssertionError("a name out of a file was run")


def _payload(folder: Path, form: str) -> str:
    command = f"touch {folder / SENTINEL}".replace(" ", "${IFS}")
    return form.format(f"os:system?command={command}")


_FORMS = ("python:{}", " python:{}", "PYTHON:{}", "Python:{}", "checkpoint:x.pt?arch=python:{}", "python :{}", "hub:{}")


def _header(form: str) -> Run:
    """A safetensors file that names an architecture."""

    def make(folder: Path) -> None:
        header = {
            "version": 1,
            "architecture": _payload(folder, form),
            "folded": False,
            "plan": {},
            "calibration": "max",
            "learned": False,
            "ranges": {},
            "sites": [],
        }
        save_file(STATE, folder / "net.safetensors", metadata={"qanalysis": json.dumps(header)})

    return cli("describe", "--model", "checkpoint:{folder}/net.safetensors", make=make)


def _configured(form: str, key: str) -> Run:
    def make(folder: Path) -> None:
        (folder / "run.toml").write_text(
            f'version = 1\nanalysis = "describe"\n[params]\n{key} = {json.dumps(_payload(folder, form))}\n'
        )

    return cli("run", "{folder}/run.toml", make=make)


def _page(name: str, environment: Callable[[], None] | None = None) -> Run:
    """What a page asks for."""
    return python(lambda folder: names.refuse_from_page(name.replace("{folder}", str(folder))))


def _outside(folder: Path) -> None:
    torch.save(STATE, folder / "net.pt")


def _same_sentence(folder: Path) -> str:
    """Of a file that is there and one that is not, nothing else is told but the name."""
    (folder / "there.npz").write_bytes(b"")
    told = []
    for name in ("/etc/passwd", "/etc/no-such-file"):
        try:
            names.refuse_from_page(f"npz:{name}")
        except ValueError as error:
            told.append(str(error).replace(name, "NAME"))
    assert len(told) == 2
    assert told[0] == told[1]
    return told[0]


_ELSEWHERE = (
    "/etc/passwd",
    "/",
    "../../../../../../etc",
    "/dev/zero",
    "/proc/self/environ",
    "~/../../etc/passwd",
    "/tmp/../etc",
)

CASES = (
    *(
        Case(f"a header names {form[:24]!r}", _header(form), "never run|which would run code|Unknown")
        for form in _FORMS
    ),
    *(
        Case(f"a configuration names {form[:24]!r} as {key}", _configured(form, key), "allow-python|Unknown")
        for form in _FORMS
        for key in ("model", "data")
        if not (key == "data" and form.startswith("checkpoint"))
    ),
    *(
        Case(f"a page names {form[:24]!r}", _page(form.format("os:getcwd")), "QANALYSIS_ALLOW_PYTHON=1")
        for form in _FORMS[:-1]
        if not form.startswith("checkpoint")
    ),
    Case("a page nests python", _page("checkpoint:{folder}/x?arch=python:os:getcwd"), "QANALYSIS_ALLOW_PYTHON=1"),
    Case(
        "a page nests python twice",
        _page("checkpoint:x?arch=checkpoint:y?arch=python:os:getcwd"),
        "QANALYSIS_ALLOW_PYTHON=1",
    ),
    *(Case(f"a page reads npz:{path}", _page(f"npz:{path}"), "outside of the folders") for path in _ELSEWHERE),
    *(
        Case(f"a page reads imagefolder:{path}", _page(f"imagefolder:{path}"), "outside of the folders")
        for path in _ELSEWHERE
    ),
    *(
        Case(
            f"a page reads checkpoint:{path}",
            _page(f"checkpoint:{path}?arch=sample:resnet20"),
            "outside of the folders",
        )
        for path in _ELSEWHERE
    ),
    Case("a page calibrates elsewhere", _page("imagefolder:{folder}?calibration=/etc"), "outside of the folders"),
    Case("a page names a root elsewhere", _page("torchvision:CIFAR10?root=/etc"), "outside of the folders"),
    Case("a page names a nobody", _page("npz:~nobody-here/x.npz"), "home folder"),
    Case("a page names 5,000 characters", _page("npz:" + "x" * 5000), "too long"),
    Case("a page names a NUL", _page("npz:a\0b"), "NUL"),
    Case("a page stays at home", _page("npz:{folder}/x.npz"), code=0),
    Case("nothing is told of what is elsewhere", python(_same_sentence), "outside of the folders", code=0),
)
