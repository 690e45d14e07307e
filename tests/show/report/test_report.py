"""Reports: what they claim is made again by the commands in them, and they show what they are given as it is."""

import json
import re
import shlex
from html.parser import HTMLParser

import pytest

import qanalysis
from qanalysis.cli import main
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from qanalysis.show import markdown, web
from qanalysis.show.document import Document, Section, Table, Text
from qanalysis.show.report import contents, gather
from qanalysis.show.tables import cell
from tests.figures import factories
from tests.schema.instances import INSTANCES

SMALL = {
    "model": "sample:resnet20@none",
    "calibration_samples": 32,
    "evaluation_samples": 64,
    "batch_size": 32,
}


@pytest.fixture(scope="module")
def results():
    ptq = qanalysis.run("ptq", **SMALL, bits=4, calibrations=("max", "percentile:99.9"))
    sites = tuple(site.name for site in ptq.coverage.sites)
    plan = SavedPlan(name="gentle", model="sample:resnet20@none", sites=sites, plan=Plan().skipping("conv1"))
    return [
        qanalysis.run("calibrate", **{k: v for k, v in SMALL.items() if k != "evaluation_samples"}),
        ptq,
        qanalysis.run("plan", **SMALL, plan=plan),
        qanalysis.run("answers", **SMALL, plan=plan),
    ]


def stable(result) -> dict:
    """What must be the same whenever it is made: everything but times."""
    content = json.loads(result) if isinstance(result, str) else json.loads(result.model_dump_json())
    return {name: value for name, value in content.items() if "seconds" not in name}


def test_every_claim_is_made_again_by_the_commands_in_the_report(results, tmp_path, monkeypatch):
    """The Markdown alone is enough: its files are saved, its commands are run, the results are the same."""
    monkeypatch.chdir(tmp_path)
    text = markdown.render(contents.document(results))
    made = []
    for language, block in re.findall(r"```(\w+)\n(.*?)\n```", text, re.DOTALL):
        if language == "toml":
            analysis = re.search(r'analysis = "(\w+)"', block)[1]
            (tmp_path / f"{analysis}.toml").write_text(block)
            continue
        assert language == "bash"
        program, *arguments = shlex.split(block)
        assert program == "qanalysis"
        assert main(arguments) == 0
        made.append(arguments[arguments.index("--json") + 1])
    assert made == ["calibrate.json", "ptq.json", "plan.json", "answers.json"]
    for result in results:
        assert stable((tmp_path / f"{result.analysis}.json").read_text()) == stable(result)


def test_the_numbers_of_the_results_are_in_both_forms(results):
    document = contents.document(results)
    for text in (web.render(document), markdown.render(document)):
        for row in results[1].rows:
            assert f"{row.accuracy:.2f}" in text
        assert results[1].environment.torch in text
        assert "random weights" in text


class Page(HTMLParser):
    """What a browser would load, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.loaded, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_no_network_and_has_the_script_once(results):
    html = web.render(contents.document(results))
    page = Page()
    page.feed(html)
    assert page.loaded == []
    assert page.open == []
    assert html.count("Plotly.newPlot(") - web.get_plotlyjs().count("Plotly.newPlot(") == html.count("<figure ")
    assert html.count("<figure ") >= 4


def test_without_figures_there_is_no_script():
    assert "<script" not in web.render(Document("t", "l", (Section("s", (Text("w"),)),)))


def test_words_of_others_are_words_not_code():
    evil = "<script>alert(1)</script> | `x` *y*"
    result = factories.ptq().model_copy(
        update={"model": factories.COMMON["model"].model_copy(update={"origin": evil, "name": evil})}
    )
    document = contents.document([result])
    assert "<script>alert" not in web.render(document)
    assert "<script>alert" not in markdown.render(document)
    assert r"\<script\>alert(1)\</script\> \| \`x\` \*y\*" in markdown.render(document)


@pytest.mark.parametrize("name", [name for name in INSTANCES if name not in ("describe", "trials")])
def test_every_analysis_has_its_part(name):
    document = contents.document([INSTANCES[name]])
    titles = [section.title for section in document.sections]
    assert titles[0] == ("The workflow's recommendation" if name == "workflow" else "Model and data")
    assert titles[-2:] == ["Make it again", "Versions and machine"]
    assert len(titles) > 3 or name == "evaluate"  # which is told with the model
    assert web.render(document)
    assert markdown.render(document)


def test_several_of_a_kind_are_numbered_and_written_to_files_of_their_own():
    eight, four = (
        factories.ptq().model_copy(update={"params": type(factories.ptq().params)(bits=bits)}) for bits in (8, 4)
    )
    text = markdown.render(contents.document([eight, four]))
    assert "## Post-training quantization (1 of 2)" in text
    assert "--json ptq-1.json" in text
    assert "--bits 4 --json ptq-2.json" in text


def test_results_of_two_models_are_refused():
    other = INSTANCES["ptq"].model_copy(
        update={"params": INSTANCES["ptq"].params.model_copy(update={"model": "sample:vit"})}
    )
    with pytest.raises(ValueError, match="one model on one data"):
        contents.document([INSTANCES["ptq"], other])
    with pytest.raises(ValueError, match="at least one"):
        contents.document([])


def test_cells_have_sensible_digits():
    cells = [cell(value) for value in (None, float("nan"), True, 0.0, 91.256, 0.000123, 1_234_567, "x")]
    assert cells == ["", "", "yes", "0.00", "91.26", "0.000123", "1,234,567", "x"]


def test_tables_survive_markdown():
    import pandas as pd

    frame = pd.DataFrame({"a|b": ["x|y"], "n": [1.5]})
    text = markdown.render(Document("t", "l", (Section("s", (Table(frame, "c"),)),)))
    assert r"| x\|y | 1.50 |" in text


def test_the_newest_result_of_each_analysis_is_gathered(tmp_path, monkeypatch):
    from qanalysis.jobs import queue
    from qanalysis.jobs.store import RESULT, Store

    monkeypatch.setenv("QANALYSIS_HOME", str(tmp_path))
    store = Store(tmp_path)
    for accuracies in ((70.0,), (75.0,)):
        result = factories.ptq(accuracies=accuracies)
        job = store.create("ptq", result.params)
        result.save(store.folder(job) / RESULT)
        queue.end(store, job, "finished")
    failed = store.create("ptq", factories.ptq().params)
    queue.end(store, failed, "failed", error="why")
    params = factories.ptq().params
    (found,) = gather.newest(store, params.model, params.data)
    assert found.rows[0].accuracy == 75.0
    assert gather.newest(store, "sample:vit", params.data) == []
    (store.folder(job) / RESULT).write_text("{}")
    (older,) = gather.newest(store, params.model, params.data)
    assert older.rows[0].accuracy == 70.0
