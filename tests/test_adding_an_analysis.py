"""`docs/adding-an-analysis.md`: the analysis that it builds, built from it into a copy of the package, and run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"```python\n# ([^\n]*)\n(.*?)```", (ROOT / "docs" / "adding-an-analysis.md").read_text(), re.DOTALL
)
PARAMS = "from qanalysis.schema.params.sparsity import SparsityParams\n"
RESULT = "from qanalysis.schema.results.sparsity import SparsityResult\n"
TABLE = "from qanalysis.show.tables.sparsity import sparsity_table\n"
IMPORTS = {
    "qanalysis/schema/analyses.py": PARAMS + RESULT,
    "qanalysis/insight/headline.py": RESULT,
    "qanalysis/show/terminal/__init__.py": RESULT + TABLE,
    "qanalysis/show/report/accuracy.py": RESULT + TABLE,
}
SMALL = ("--model", "sample:resnet20@none", "--calibration-samples", "16")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the package with everything that the page says."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("qanalysis", "pages", ".streamlit"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "sample_models").symlink_to(ROOT / "sample_models")
    for heading, code in BLOCKS:
        path = root / heading.split()[-1]
        if heading.startswith("qanalysis/"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(code)
            continue
        old = path.read_text()
        if heading.startswith("a line of ANALYSES"):
            new = old.replace('    "trials": ', f'{code}    "trials": ', 1)
        else:
            assert heading.startswith("added to ")
            new = f"{old}\n\n{code}"
        assert new != old
        path.write_text(new.replace("\nfrom qanalysis", f"\n{IMPORTS[heading.split()[-1]]}from qanalysis", 1))
    return root


def run(checkout: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "QANALYSIS_HOME": str(checkout / "home")}
    done = subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_a_command_with_json_a_table_and_a_schema(checkout):
    text = run(checkout, "-m", "qanalysis", "sparsity", *SMALL, "--quiet", "--json", "zeros.json")
    assert "zeros %" in text
    result = json.loads((checkout / "zeros.json").read_text())
    assert result["analysis"] == "sparsity"
    assert result["samples"] == 16
    assert 30 < result["zeros"]["layer1.0.conv1"] < 70  # behind a ReLU, with random weights
    assert result["zeros"]["conv1"] < 5  # the image
    assert "SparsityParams" in run(checkout, "-m", "qanalysis", "schema", "sparsity")


def test_it_is_a_job_a_report_and_a_page(checkout):
    code = """
import time
from streamlit.testing.v1 import AppTest
from qanalysis.jobs import runners
from qanalysis.schema.params.sparsity import SparsityParams

runner = runners.chosen()
job = runner.submit("sparsity", SparsityParams(model="sample:resnet20@none", calibration_samples=16))
while runner.store.job(job).live:
    runner.pump()
    time.sleep(0.1)
print(runner.store.job(job).state, runner.store.job(job).headline)

app = AppTest.from_string("from qanalysis.ui.sparsity.page import page; page()", default_timeout=60)
app.query_params["job"] = job
app.session_state["model"], app.session_state["data"] = "sample:resnet20@none", "sample:cifar10"
app.run()
assert not app.exception, app.exception
print(len(app.dataframe[0].value), "rows")
"""
    text = run(checkout, "-c", code)
    assert re.search(r"finished \d+ % zeros in the emptiest activation", text)
    assert "22 rows" in text
    run(checkout, "-m", "qanalysis", "report", "zeros.json", "--markdown", "zeros.md")
    assert "## Zeros" in (checkout / "zeros.md").read_text()
