"""Training in a real browser: watch it, stop another one and keep it, open the trained network on other pages."""

import re
import time

import pytest

from tests.browser.conftest import metric, newest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SMALL = "model=sample:resnet20&start-calibration=max&eval-samples=64&cal-samples=32&qat-train-samples=320"
QUERY = f"{SMALL}&wbits=4&abits=4&qat-ranges=learned+(PACT)&qat-train-batch-size=16&qat-learning-rate=0.001"


def test_twenty_steps_are_watched_and_the_network_opens_on_the_ptq_page(address, page, store):
    page.goto(f"{address}/qat?{QUERY}&length=steps&amount=20&qat-control=false")
    page.get_by_role("button", name="Start training").click()
    sync_api.expect(metric(page, "Samples per second")).to_contain_text(re.compile(r"\d"))
    page.locator(".st-key-qat-loss .js-plotly-plot").wait_for()
    page.locator(".st-key-qat-learned-ranges .js-plotly-plot").wait_for()
    page.get_by_text("Training brings").wait_for()
    job = newest(store, "qat")
    result = store.result(job)
    assert len(result.run.steps) == 20
    sync_api.expect(metric(page, "QAT")).to_contain_text(f"{result.qat.accuracy:.2f} %")
    page.wait_for_function("document.querySelector('.st-key-qat-loss .js-plotly-plot').calcdata.at(-1).length === 20")

    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="PTQ", exact=True).click()
    sync_api.expect(page.get_by_role("heading", name="Post-training quantization")).to_be_visible()
    sync_api.expect(page.get_by_role("combobox", name="Model")).to_have_value(
        re.compile(r"checkpoint:.*qat\.safetensors")
    )
    page.get_by_text("Settings", exact=True).click()
    page.get_by_text("trained", exact=True).first.wait_for()
    page.get_by_role("button", name="Run PTQ").click()
    metric(page, "Best:").wait_for()
    ptq = next(job for job in store.jobs() if job.analysis == "ptq")
    assert ptq.params.bits == 4
    assert "trained" in [row.calibration for row in store.result(ptq).rows]


def test_a_long_run_is_stopped_and_keeps_what_it_has(address, page, store):
    page.goto(f"{address}/qat?{QUERY}&length=epochs&amount=500&qat-seed=1")
    page.get_by_role("button", name="Start training").click()
    sync_api.expect(metric(page, "Samples per second")).to_contain_text(re.compile(r"\d"))
    page.reload()
    stop = page.get_by_role("button", name="Stop and keep")
    sync_api.expect(stop).to_be_enabled()
    stop.click()
    pressed = time.monotonic()
    page.get_by_text(re.compile(r"It was stopped after \d+ of 10000 steps, as asked\.")).first.wait_for()
    assert time.monotonic() - pressed < 60
    job = newest(store, "qat")
    assert job.state == "finished"
    assert store.result(job).fp32_control is None
    assert (store.folder(job.id) / "qat.safetensors").is_file()

    page.get_by_text("Compare runs", exact=True).click()
    page.locator(".st-key-qat-comparison .js-plotly-plot").wait_for()
    page.wait_for_function("document.querySelector('.st-key-qat-comparison .js-plotly-plot').data.length === 2")
