"""A job is killed under a visitor's eyes, resumed, waited for by another visitor, and found again by its address."""

import os
import signal
import time

import pytest

from qanalysis.jobs.state import Job
from qanalysis.jobs.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SETTINGS = "model=sample:resnet20@none&cal-samples=32&eval-samples=200"


def until_running(store: Store, seconds: float = 120) -> Job:
    """The newest PTQ job, once it has measured something."""
    deadline = time.monotonic() + seconds
    while True:
        jobs = [job for job in store.jobs() if job.analysis == "ptq" and job.state == "running"]
        if jobs and list((store.folder(jobs[0].id) / "measured").glob("evaluation*")):
            return jobs[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_job_is_resumed_from_the_page_while_another_visitor_waits(address, home, page, browser):
    store = Store(home)
    page.goto(f"{address}/ptq?{SETTINGS}&wbits=5")
    page.get_by_role("button", name="Run PTQ").click()
    job = until_running(store)
    os.kill(job.pid, signal.SIGKILL)
    page.get_by_text("Quantizing was interrupted. Its process was killed (SIGKILL)").wait_for(timeout=10_000)

    page.get_by_role("button", name="Resume").click()
    until_running(store)
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{address}/ptq?{SETTINGS}&wbits=6")
    other.get_by_role("button", name="Run PTQ").click()
    other.get_by_text("waiting: another job runs on cpu").wait_for()
    other.get_by_role("button", name="Cancel").click()
    other.get_by_text("Quantizing was cancelled.").wait_for()
    context.close()

    page.get_by_test_id("stMetric").filter(has_text="Best:").wait_for()
    assert store.job(job.id).attempts == 2

    page.goto(f"{address}/jobs?job={job.id}")
    page.get_by_role("link", name="Open on PTQ").click()
    page.get_by_text("One run of").wait_for()
    page.reload()
    page.get_by_text("weight bits 5").or_(page.get_by_text("bits 5")).first.wait_for()
    page.get_by_test_id("stMetric").filter(has_text="Best:").wait_for()
