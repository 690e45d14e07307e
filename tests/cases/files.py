"""Files that the program reads besides models and data: results, plans."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cases.case import Case, cli
from tests.schema.instances import INSTANCES

RESULT = json.loads(INSTANCES["ptq"].model_dump_json())
PLAN = {
    "version": 1,
    "name": "mine",
    "model": "sample:resnet20",
    "sites": ["conv1"],
    "calibration": "max",
    "plan": {},
}


def _file(content: object) -> Callable[[Path], None]:
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda folder: (folder / "file.json").write_text(text)


_RESULTS = {
    "empty": ("", "result|JSON"),
    "no JSON": ("{]", "JSON|result"),
    "a list": ([], "result"),
    "a number": (3, "result"),
    "null": (None, "result"),
    "no analysis": ({}, "result|analysis"),
    "another analysis": ({"analysis": "magic"}, "magic|result"),
    "an analysis that is a list": ({"analysis": []}, "result|analysis"),
    "only its analysis": ({"analysis": "ptq"}, "PtqResult"),
    "rows of text": ({**RESULT, "rows": ["x"]}, "rows"),
    "rows of another type": ({**RESULT, "rows": 3}, "rows"),
    "accuracy of text": ({**RESULT, "fp32": "high"}, "fp32"),
    "parameters out of range": ({**RESULT, "params": {**RESULT["params"], "bits": 99}}, "bits"),
    "an unknown field": ({**RESULT, "speed": 1}, "speed"),
    "deep brackets": ("[" * 100_000, "JSON|result"),
    "a future version": ({**RESULT, "version": 99}, "version|99"),
}
_PLANS = {
    "empty": ("", "plan|JSON"),
    "no JSON": ("{]", "JSON|plan"),
    "a list": ([], "plan|result"),
    "deep brackets": ("[" * 100_000, "JSON|plan"),
    "bits out of range": ({**PLAN, "plan": {"weight_bits": 99}}, "weight_bits"),
    "overrides of an unknown site": ({**PLAN, "plan": {"overrides": {"layer9": {"weight_bits": 4}}}}, "layer9"),
    "overrides out of range": ({**PLAN, "plan": {"overrides": {"conv1": {"weight_bits": 99}}}}, "weight_bits"),
    "overrides of another type": ({**PLAN, "plan": {"overrides": []}}, "overrides"),
    "skips of an unknown site": ({**PLAN, "plan": {"skip": ["layer9"]}}, "layer9"),
    "an unknown calibration": ({**PLAN, "calibration": "kl"}, "alibration"),
    "sites that are a number": ({**PLAN, "sites": 3}, "sites"),
    "another version": ({**PLAN, "version": 7}, "version"),
    "a result without a plan": (RESULT, "plan"),
}


CASES = (
    *(
        Case(
            f"compare a result: {name}",
            cli("compare", "{folder}/file.json", "{folder}/file.json", make=_file(content)),
            says,
        )
        for name, (content, says) in _RESULTS.items()
    ),
    *(
        Case(f"save a plan: {name}", cli("plans", "save", "mine", "{folder}/file.json", make=_file(content)), says)
        for name, (content, says) in _PLANS.items()
    ),
    *(
        Case(f"use a plan: {name}", cli("ptq", "--plan", "{folder}/file.json", make=_file(content)), says)
        for name, (content, says) in _PLANS.items()
        if isinstance(content, dict) and content is not RESULT
    ),
    Case("a plan of another network", cli("ptq", "--plan", "{folder}/file.json", make=_file(PLAN)), "was made for"),
    Case("a bad name for a plan", cli("plans", "save", "../x", "{folder}/file.json", make=_file(PLAN)), "name"),
    Case("a plan's name that climbs", cli("plans", "show", "../../etc/passwd"), "no plan"),
    Case("no result to compare", cli("compare", "{folder}/none.json", "{folder}/none.json"), "no|none"),
    Case("a device as result", cli("compare", "/dev/zero", "/dev/zero"), "device|result"),
    Case("a folder as result", cli("compare", "{folder}", "{folder}"), "folder|result"),
)
