"""How long the dashboard takes from opening its address to the home page's title and sidebar being visible.

Starts the server with an empty home, waits until it answers, and opens the address in headless Chromium: first in a
server and a browser that showed nothing before (cold), then in new browser contexts, whose cache is empty (new), and by
loading the page again (again). `--servers` repeats all of it.

    python benchmarks/first_paint.py --servers 3 --visits 7
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--visits", type=int, default=7, help="of each kind, at every server")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {"cold": [], "new": [], "again": []}
    for _ in range(args.servers):
        with server() as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=args.chromium, args=list(ARGUMENTS))
            # The browser's own start is not the dashboard's: a blank page goes first.
            browser.new_page().goto("about:blank")
            seconds["cold"].append(visit(browser, address)[0])
            for _ in range(args.visits):
                first, second = visit(browser, address)
                seconds["new"].append(first)
                seconds["again"].append(second)
            browser.close()
    report = {
        "servers": args.servers,
        "visits": args.visits,
        "median_seconds": {kind: round(median(values), 2) for kind, values in seconds.items()},
        "maximum_seconds": {kind: round(max(values), 2) for kind, values in seconds.items()},
    }
    print(json.dumps(report, indent=1))


@contextmanager
def server() -> Iterator[str]:
    """Address of a dashboard that has answered, but never shown a page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard.py", "--server.port", str(port)]
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "QANALYSIS_HOME": home}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/_stcore/health")
            yield address
        finally:
            process.terminate()
            process.wait(20)


def wait_for(url: str, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} must answer within {limit:.0f} s, but did not") from None
            time.sleep(0.1)


def visit(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds to the first paint in a context of its own, and to that of loading the page once more."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    result = painted(page, address), painted(page, address)
    context.close()
    return result


def painted(page: Page, address: str) -> float:
    """Seconds from opening the address to title and sidebar being visible."""
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator("[data-testid=stMain] h1").first.wait_for(state="visible")
    page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]").first.wait_for(state="visible")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
