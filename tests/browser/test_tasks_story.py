"""A detector and a segmenter in a real browser: their own metric, what changes drawn on the images."""

import re

import pytest

from tests.browser.conftest import metric, newest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
FEW = "cal-samples=32&eval-samples=40"


@pytest.mark.parametrize(("network", "measure"), [("detector", "mAP"), ("segmenter", "mIoU")])
def test_two_runs_are_compared_on_the_images(address, page, store, network, measure):
    for bits in (8, 5):
        page.goto(f"{address}/ptq?model=sample:{network}&data=sample:scenes&{FEW}&wbits={bits}&abits={bits}")
        page.get_by_role("button", name="Run PTQ").click()
        metric(page, f"fp32 {measure}").wait_for()
        metric(page, "Best:").wait_for()
    result = store.result(newest(store, "ptq"))
    assert (result.metric, result.params.bits) == (measure, 5)
    page.goto(f"{address}/compare?model=sample:{network}&data=sample:scenes")
    page.get_by_role("button", name=re.compile("Ask these 2 runs")).click()
    card = page.locator(".qa-gallery figure").first
    card.wait_for()
    words = card.inner_text()
    assert re.search("kept" if network == "detector" else "% of the pixels keep their class", words)
    assert page.locator(".qa-gallery img").first.evaluate("image => image.naturalWidth") >= 128


def test_the_sample_data_follows_the_sample_model(address, page):
    page.goto(f"{address}/calibration?model=sample:resnet20&samples=32")
    page.locator(".js-plotly-plot").first.wait_for()
    model = page.get_by_role("combobox", name="Model")
    model.click()
    model.fill("sample:segmenter")
    page.get_by_role("option", name="sample:segmenter", exact=True).click()
    sync_api.expect(page.get_by_role("combobox", name="Data")).to_have_value("sample:scenes")
    sync_api.expect(page.get_by_role("combobox", name="Activation")).to_have_value(re.compile("backbone"))
