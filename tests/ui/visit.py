"""What a visitor does on every page."""

import time

from streamlit.testing.v1 import AppTest

HOME = "0_Home.py"


def opened(app: AppTest, page: str, **query: str) -> AppTest:
    """The app at one of its pages, with these query parameters."""
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    return app if page == HOME else app.switch_page(f"../../pages/{page}").run()


def until_done(app: AppTest, seconds: float = 120) -> AppTest:
    """Runs the page again until its job has ended."""
    deadline = time.monotonic() + seconds
    while app.get("progress"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    return app


def started(app: AppTest, analysis: str) -> AppTest:
    """Presses the button that starts the analysis, if it has not been run yet, and waits for its result."""
    key = f"start-{analysis}"
    if any(button.key == key for button in app.button):
        app.button(key=key).click().run()
    return until_done(app)


def metrics(app: AppTest) -> dict[str, str]:
    """The numbers in large print, by label."""
    return {metric.label: metric.value for metric in app.metric}
