"""Results of version 1, written before there were tasks, still open."""

import json
from pathlib import Path

from qanalysis.schema.results.sensitivity import SensitivityResult

FILE = Path(__file__).parents[2] / "data" / "sensitivity-1.json"


def test_a_result_of_version_1_opens_and_is_drawn():
    content = json.loads(FILE.read_text())
    assert content["version"] == 1
    result = SensitivityResult.load(FILE)
    assert (result.task, result.metric, result.words.divergence_unit) == ("classification", "accuracy", "nats")
    assert result.params.rank == "divergence"
    assert [row.divergence for row in result.rows] == [row["kl"] for row in content["rows"]]
    assert result.proxies[0].correlation_divergence == content["proxies"][0]["correlation_kl"]


def test_it_is_written_with_the_names_of_version_2(tmp_path):
    SensitivityResult.load(FILE).save(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert {"divergence", "divergence_interval"} <= set(again["rows"][0])
    assert "kl" not in again["rows"][0]
