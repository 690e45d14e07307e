"""What a browser is told and offered: who may frame the pages, and that no chart can be uploaded."""

import os
import re
import subprocess
import sys
import urllib.request

import psutil
import pytest

from tests.browser.conftest import ROOT, _wait_for, free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize("path", ["/", "/calibration", "/_stcore/health", "/vendor/plotly/plotly.min.js"])
def test_other_sites_may_not_frame_it(address, path):
    with urllib.request.urlopen(address + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in policy
        assert "img-src 'self' data: blob:" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_no_chart_can_be_uploaded(address, page):
    page.goto(f"{address}/calibration?model=sample:resnet20&samples=64")
    page.locator(".js-plotly-plot").first.wait_for()
    titles = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(b => b.dataset.title || '')")
    assert any("PNG" in title for title in titles)
    assert not any(re.search("share|cloud|edit", title, re.IGNORECASE) for title in titles)


def test_a_name_is_text(address, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/?model=sample:![x](http://example.invalid/p.png)<img src=http://example.invalid/q.png>")
    page.get_by_text("Unknown sample model").first.wait_for()
    assert not any("example.invalid" in url for url in asked if not url.startswith(address))


@pytest.mark.skipif(sys.platform != "linux", reason="counts files by /proc")
def test_many_visits_take_few_files(browser, tmp_path):
    """With the limit of open files that macOS has, fourscore visits must leave a server that answers."""
    port = free_port()
    shell = f"ulimit -Sn 256; exec {sys.executable} -m streamlit run dashboard.py --server.port {port}"
    environment = {**os.environ, "QANALYSIS_HOME": str(tmp_path)}
    server = subprocess.Popen(
        ["bash", "-c", shell], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/_stcore/health")
        for _ in range(40):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{address}/jobs")
            page.locator("h1").first.wait_for()
            context.close()
        process = psutil.Process(server.pid)
        soft, _ = process.rlimit(psutil.RLIMIT_NOFILE)
        assert soft > 1000
        assert process.num_fds() < 256
        with urllib.request.urlopen(f"{address}/_stcore/health") as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        server.wait(20)
