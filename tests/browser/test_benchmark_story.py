"""The benchmark in a real browser: run it, see what int8 gains, click a plan of the front, take its file along."""

import re

import pytest

import qanalysis
from qanalysis.schema.plan import Plan
from qanalysis.schema.saved_plan import SavedPlan
from tests.browser.conftest import metric, newest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
QUERY = (
    "model=sample:resnet20&bench-seconds=0.3&bench-rounds=3&bench-gemm=false&eval-samples=200&cal-samples=64"
    "&bench-engines=openvino&bench-precisions=fp32&bench-precisions=int8&bench-batches=8&bench-plans=partial"
    "&sensitivity-images=64"
)


@pytest.fixture(scope="module")
def plan(home) -> SavedPlan:
    """A saved plan of the sample model."""
    sites = tuple(site.name for site in qanalysis.run("describe", model="sample:resnet20").coverage.sites)
    kept = SavedPlan(name="partial", model="sample:resnet20", sites=sites, plan=Plan(skip=frozenset({"conv1", "fc"})))
    (home / "plans").mkdir()
    kept.save(home / "plans" / "partial.json")
    return kept


def test_a_benchmark_is_run_a_plan_chosen_and_its_file_taken_along(address, page, store, plan, tmp_path):
    page.goto(f"{address}/benchmark?{QUERY}")
    page.get_by_role("button", name="Run the benchmark").click()
    sync_api.expect(page.get_by_role("progressbar").first).to_be_visible()
    sync_api.expect(metric(page, "Speed-up over fp32")).to_contain_text(re.compile(r"\d\.\d\d ×"))
    page.locator(".st-key-bench-latency .js-plotly-plot").wait_for()
    result = store.result(newest(store, "benchmark"))
    assert {row.plan for row in result.rows if row.precision == "int8"} == {"plan", "partial"}
    shown = metric(page, "int8 in OpenVINO").inner_text()
    page.reload()
    sync_api.expect(metric(page, "int8 in OpenVINO")).to_contain_text(shown.splitlines()[1])

    page.get_by_test_id("stMain").get_by_text("Accuracy against speed", exact=True).click()
    chart = page.locator(".st-key-bench-tradeoff")
    chart.locator(".js-plotly-plot").wait_for()
    number = [point.name for point in result.points if point.plan is not None].index("partial")
    marks = chart.locator(".trace.scatter").filter(has=page.locator(".point")).nth(1).locator(".point")
    sync_api.expect(marks).to_have_count(2)
    box = marks.nth(number).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(500)
    page.mouse.down()
    page.mouse.up()
    page.get_by_text(re.compile(r"in floating point: conv1, fc")).wait_for()
    page.get_by_role("button", name="Use 'partial'").click()
    sync_api.expect(page.get_by_text("Plan partial is in force").first).to_be_visible()

    page.get_by_test_id("stMain").get_by_text("Export", exact=True).first.click()
    page.get_by_role("button", name="Export", exact=True).last.click()
    sync_api.expect(metric(page, "Layers in int8")).to_contain_text("20 of 22")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).first.click()
    target = tmp_path / "network.onnx"
    download.value.save_as(target)
    exported = store.result(newest(store, "export"))
    assert exported.params.plan.name == "partial"
    assert target.stat().st_size == exported.files[0].bytes


def test_toggles_on_sensitivity_show_the_latency_at_once(address, page, store, plan):
    page.goto(f"{address}/sensitivity?{QUERY}&most=2")
    page.get_by_role("button", name="Measure every layer").click()
    latency = metric(page, "Predicted latency")
    sync_api.expect(latency).to_contain_text("ms")
    speed = store.result(newest(store, "benchmark")).speed
    sync_api.expect(latency).to_contain_text(f"{speed.predict(()):.3g} ms")
    page.get_by_role("button", name="First and last").click()
    sites = [site.site for site in speed.sites]
    sync_api.expect(latency).to_contain_text(f"{speed.predict({sites[0], sites[-1]}):.3g} ms")
    page.get_by_role("button", name="Measure latency").click()
    sync_api.expect(metric(page, "Measured latency")).to_contain_text("ms")
    measured = next(row for row in store.result(newest(store, "benchmark")).rows if row.plan)
    sync_api.expect(metric(page, "Measured latency")).to_contain_text(f"{measured.latency_ms.min:.3g} ms")
    assert measured.planned_sites == 20
