"""The workflow in a real browser: the tour is declined, all of it is run, and a box leads to the run that it shows."""

import pytest

from tests.browser.conftest import metric, newest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_run_it_all_ends_in_a_recommendation_with_a_file(address, page, store):
    page.goto(f"{address}/?model=sample:resnet20&cal-samples=64&eval-samples=200&target=5")
    page.get_by_role("button", name="No, thanks").click()
    page.get_by_role("button", name="Run it all").click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    success = page.get_by_test_id("stAlert").filter(has_text="Recommended: PTQ")
    sync_api.expect(success).to_contain_text("within the target of 5 %")
    sync_api.expect(metric(page, "Latency in OpenVINO")).to_contain_text("ms")
    with page.expect_download() as download:
        page.get_by_role("button", name="resnet20_int8.onnx").click()
    assert download.value.path().stat().st_size > 100_000
    assert page.get_by_role("button", name="Take the tour").count() == 0
    stages = {job.analysis for job in store.jobs()}
    assert {"workflow", "evaluate", "ptq", "benchmark", "export"} <= stages

    page.locator(".qa-box a", has_text="PTQ").click()
    best = metric(page, "Best:")
    sync_api.expect(best).to_contain_text("relative")
    assert f"job={newest(store, 'ptq').id}" in page.url
