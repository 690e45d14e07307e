"""Sensitivity in a real browser: watch it, leave and come back, lose the worker, resume, switch layers."""

import os
import re
import signal
import time

import pytest

from tests.browser.conftest import metric, newest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
QUERY = "model=sample:resnet20&wbits=4&abits=4&sensitivity-images=1000&most=3"


def test_an_analysis_is_watched_left_interrupted_and_resumed(address, page, store):
    page.goto(f"{address}/sensitivity?{QUERY}")
    page.get_by_role("button", name="Measure every layer").click()
    sync_api.expect(metric(page, "Samples so far")).to_contain_text(re.compile(r"\d"))
    page.locator(".st-key-sensitivity-bars .js-plotly-plot").wait_for()

    page.get_by_role("link", name="PTQ").click()
    sync_api.expect(page.get_by_role("heading", name="Post-training quantization")).to_be_visible()
    page.get_by_role("link", name="Sensitivity").click()
    sync_api.expect(metric(page, "Samples so far")).to_be_visible()
    page.reload()
    sync_api.expect(metric(page, "Samples so far")).to_be_visible()

    running = newest(store, "sensitivity")
    assert running.state == "running"
    os.kill(running.pid, signal.SIGKILL)
    killed = time.monotonic()
    alert = page.get_by_test_id("stAlert").filter(has_text="interrupted")
    sync_api.expect(alert).to_contain_text("killed (SIGKILL)")
    assert time.monotonic() - killed < 15
    assert newest(store, "sensitivity").state == "lost"
    measured = len(list((store.folder(running.id) / "measured").glob("sites-*")))
    assert measured > 0

    page.get_by_role("button", name="Resume").click()
    sync_api.expect(page.get_by_text("Choose by hand")).to_be_visible()
    assert newest(store, "sensitivity").id == running.id
    assert newest(store, "sensitivity").state == "finished"


def test_switching_two_layers_changes_the_accuracy_at_once(address, page, store):
    page.goto(f"{address}/sensitivity?{QUERY}")
    plan = metric(page, "This plan")
    sync_api.expect(plan).to_contain_text("%")
    everything = plan.inner_text()
    rows = page.locator(".st-key-sensitivity-bars .point")
    result = store.result(newest(store, "sensitivity"))
    for number in (0, 5):
        rows.nth(number).scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        row = rows.nth(number).bounding_box()
        page.mouse.move(min(row["x"] + row["width"], 1300) - 200, row["y"] + row["height"] / 2)
        page.wait_for_timeout(500)
        page.mouse.down()
        page.mouse.up()
        count = 1 if number == 0 else 2
        floats = f"{22 - count} of 22 layers"
        sync_api.expect(metric(page, "Work in integers")).to_contain_text(floats)
        sync_api.expect(plan).not_to_contain_text("measuring")
    assert plan.inner_text() != everything
    sites = {result.rows[0].site, result.rows[5].site}
    assert sites == set(re.search(r"float=([^&]*)", page.url).group(1).replace("%2C", ",").split(","))
    page.get_by_text("computed from").wait_for()
    after = plan.inner_text()
    page.reload()
    sync_api.expect(plan).to_contain_text(after.splitlines()[1])
    page.get_by_role("button", name="All to integers").click()
    sync_api.expect(metric(page, "Work in integers")).to_contain_text("22 of 22 layers")
    assert plan.inner_text() == everything
