"""The table of networks, at small sizes: a classifier and a detector through every stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)
def test_networks_go_through_every_stage(tmp_path):
    pytest.importorskip("openvino")
    out, table = tmp_path / "networks.json", tmp_path / "networks.md"
    command = [sys.executable, str(ROOT / "benchmarks" / "networks.py"), "--side", "64", "--out", str(out)]
    chosen = "MobileNet v2,RetinaNet"
    subprocess.run([*command, "--only", chosen, "--table", str(table)], cwd=tmp_path, check=True, timeout=550)
    rows = {row["name"]: row for row in json.loads(out.read_text())}
    assert list(rows) == chosen.split(",")
    for row in rows.values():
        assert not [stage for stage, said in row.items() if str(said).startswith("no:")], row
        assert "error" not in row
    assert (rows["MobileNet v2"]["sites"], rows["RetinaNet"]["sites"]) == ("53", "71")
    assert table.read_text().count("| `torchvision:") == 2
