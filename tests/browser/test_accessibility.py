"""axe-core's automated checks on every page, in light and dark: contrast, names, headings, alternative texts."""

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PAGES = ["", "calibration", "ptq", "sensitivity", "qat", "benchmark", "learn", "compare", "jobs"]
#: Streamlit's own: its navigation puts section headings between the list and its items.
NOT_OURS = {"exclude": [["[data-testid=stSidebarNav]"]]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_passes(address, browser, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
    page = context.new_page()
    found = []
    for name in PAGES:
        page.goto(f"{address}/{name}?model=sample:resnet20&samples=64")
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        page.locator("h1").first.wait_for()
        page.wait_for_function("document.querySelectorAll('[data-stale=true]').length == 0")
        page.wait_for_timeout(1000)  # Streamlit fades elements in, which changes their contrast
        for violation in axe.Axe().run(page, context=NOT_OURS).response["violations"]:
            first = violation["nodes"][0]["html"][:120]
            found.append(f"{name or 'home'}: {violation['id']} ({len(violation['nodes'])}), first {first}")
    context.close()
    assert found == []
