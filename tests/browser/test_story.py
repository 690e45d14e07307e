"""The path a person takes, in a real browser: open, move the cutoff, run PTQ, reload, find everything again."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
MODEL = "model=sample:resnet20"


def test_home_shows_the_accuracy_of_the_sample_model(address, page):
    page.goto(address)
    metric = page.get_by_test_id("stMetric").filter(has_text="fp32 accuracy")
    sync_api.expect(metric).to_contain_text("%")
    sync_api.expect(page.get_by_test_id("stMetric").filter(has_text="Layers to quantize")).to_contain_text("22")
    page.locator(".js-plotly-plot").first.wait_for()


def test_a_cold_deep_link_opens_the_layer_and_the_cutoff_moves(address, page):
    page.goto(f"{address}/calibration?{MODEL}&samples=64&layer=layer2.0.conv1")
    page.locator(".js-plotly-plot").first.wait_for()
    sync_api.expect(page.get_by_test_id("stHeading").first).to_contain_text("Calibration")
    cutoff = page.get_by_label("Cutoff", exact=True)
    before = float(cutoff.input_value())
    slider = page.get_by_test_id("stSlider").filter(has_text="Your own cutoff").locator("input[type=range]")
    slider.focus()
    for step in range(1, 6):
        slider.press("ArrowLeft")
        page.wait_for_function(
            "target => Math.abs(document.querySelector('[aria-label=\"Cutoff\"]').value - target) < 1e-3 * target",
            arg=before * (50 - step / 2) / 50,  # from half of the maximum, half a percent down
        )
    line = page.evaluate("document.querySelector('.js-plotly-plot').layout.shapes.length")
    assert line > 0
    page.reload()
    page.locator(".js-plotly-plot").first.wait_for()
    assert "layer=layer2.0.conv1" in page.url
    sync_api.expect(page.get_by_role("combobox", name="Activation")).to_have_value("layer2.0.conv1")


def test_ptq_runs_and_is_found_again_after_a_reload(address, page):
    page.goto(f"{address}/ptq?{MODEL}&cal-samples=64&eval-samples=200")
    page.get_by_role("button", name="Run PTQ").click()
    best = page.get_by_test_id("stMetric").filter(has_text="Best:")
    sync_api.expect(best).to_contain_text("relative")
    accuracy = best.inner_text()
    page.locator(".js-plotly-plot").first.wait_for()
    page.reload()
    sync_api.expect(best).to_contain_text("relative")
    assert best.inner_text() == accuracy
    assert page.get_by_role("button", name="Run PTQ").count() == 0


def test_an_unknown_model_is_a_sentence_and_not_a_stack_trace(address, page):
    page.goto(f"{address}/?model=sample:nothing")
    sync_api.expect(page.get_by_test_id("stAlert").first).to_contain_text("Unknown sample model 'nothing'")
