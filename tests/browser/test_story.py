"""The path a person takes, in a real browser: open, move the cutoff, run PTQ, reload, find everything again."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")

ROOT = Path(__file__).parents[2]
MODEL = "model=sample:resnet20"
PATIENCE = 180_000  # ms; a job that has to wait for a busy machine is no error
sync_api.expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "QANALYSIS_HOME": str(tmp_path_factory.mktemp("home"))}
    command = [sys.executable, "-m", "streamlit", "run", "dashboard.py", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    errors: list[str] = []
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert page.locator("[data-testid=stException]").count() == 0
    assert errors == []
    context.close()


def _wait_for(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the dashboard did not start"
            time.sleep(0.2)


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
    for _ in range(10):
        slider.press("ArrowLeft")
    target = before * 45 / 50  # from half of the maximum, ten steps of half a percent down
    page.wait_for_function(
        "target => Math.abs(document.querySelector('[aria-label=\"Cutoff\"]').value - target) < 1e-3 * target",
        arg=target,
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
