"""Builds the wheel, installs it into a venv outside of the checkout, and opens the dashboard from there.

    .venv/bin/python .ci/check_wheel.py

What the wheel depends on is taken from the environment that runs this; the package itself is the wheel's.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Ends with an error if anything is missing."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "source"
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, os.fsdecode(tracked).split("\0")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source)], check=True)
        (wheel,) = folder.glob("*.whl")
        shutil.rmtree(source)
        venv.create(folder / "venv", with_pip=False)
        scripts = "Scripts" if os.name == "nt" else "bin"
        python = folder / "venv" / scripts / "python"
        site = subprocess.check_output(
            [python, "-c", "import site; print(site.getsitepackages()[0])"], text=True
        ).strip()
        subprocess.run([*pip, "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)], check=True)
        others = [path for path in sys.path if path.endswith("site-packages")]
        Path(site, "dependencies.pth").write_text("\n".join(others) + "\n")
        environment = {**os.environ, "QANALYSIS_HOME": str(folder / "home")}
        environment.pop("PYTHONPATH", None)
        command = str(folder / "venv" / scripts / "qanalysis")
        run = {"cwd": folder, "env": environment, "check": True}
        where = subprocess.check_output(
            [python, "-c", "import qanalysis; print(qanalysis.__file__)"], text=True, cwd=folder
        )
        assert where.startswith(site), where
        subprocess.run([command, "dashboard", "--help"], **run, stdout=subprocess.DEVNULL)
        subprocess.run([command, "describe", "--model", "sample:resnet20"], **run, stdout=subprocess.DEVNULL)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen([command, "dashboard", "--port", str(port)], cwd=folder, env=environment)
        try:
            _open(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait(20)
    print("The wheel is the whole product: 1 passed, 0 failed")


def _open(address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health").close()
            break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    with urllib.request.urlopen(f"{address}/vendor/plotly/plotly.min.js") as script:
        assert script.status == 200
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no Chromium: the page itself was not opened")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{address}/calibration?model=sample:resnet20")
        page.get_by_role("heading", name="Calibration").first.wait_for(timeout=60_000)
        assert page.locator("[data-testid=stException]").count() == 0
        browser.close()


if __name__ == "__main__":
    main()
