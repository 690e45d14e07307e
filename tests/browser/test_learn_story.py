"""A lecture with the Learn page, in a real browser: by address and by keyboard, sliders, answers, the animation."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'qanalysis[e2e]'")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
LAYOUT = "document.querySelector('.js-plotly-plot').layout"


def opened(page, address, lesson=""):
    page.goto(f"{address}/learn" + (f"?lesson={lesson}" if lesson else ""))
    if lesson:
        page.locator(".js-plotly-plot").first.wait_for()


def heading(page):
    return sync_api.expect(page.get_by_role("heading", level=1))


def slider(page, label):
    return page.get_by_test_id("stSlider").filter(has_text=label).locator("input[type=range]")


def test_a_lecture_goes_through_the_lessons_by_keyboard(address, page):
    opened(page, address)
    heading(page).to_have_text("Learn")
    page.get_by_role("button", name="Begin with the first").wait_for()
    page.keyboard.press("n")
    heading(page).to_have_text("Reals become integers")
    page.wait_for_url("**/learn?lesson=affine-and-scale")
    page.locator(".js-plotly-plot").first.wait_for()
    page.keyboard.press("n")
    heading(page).to_have_text("One range, or one for each channel")
    page.keyboard.press("p")
    heading(page).to_have_text("Reals become integers")
    page.get_by_role("button", name="All lessons").click()
    heading(page).to_have_text("Learn")


def test_keys_that_are_typed_into_a_field_turn_no_page(address, page):
    opened(page, address, "affine-and-scale")
    field = page.get_by_label("Your value x")
    field.fill("0.25")
    field.press("n")
    field.press("Enter")
    code = page.get_by_test_id("stMetric").filter(has_text="Code of x")
    sync_api.expect(code).to_contain_text("-3")  # round(0.25 / 0.2333) - 4
    heading(page).to_have_text("Reals become integers")


def test_a_cold_deep_link_opens_the_lesson_and_its_slider_moves_the_figure(address, page):
    opened(page, address, "entropy")
    heading(page).to_have_text("Entropy calibration, step by step")
    cutoff = page.get_by_test_id("stMetric").filter(has_text="Cutoff")
    before = cutoff.inner_text()
    line = f"{LAYOUT}.shapes[1].x0"
    at = page.evaluate(line)
    kept = slider(page, "Bins kept")
    kept.focus()
    kept.press("PageUp")
    page.wait_for_function(f"{line} > {at}")
    sync_api.expect(cutoff).not_to_have_text(before)
    page.keyboard.press("n")  # a slider that was moved still has the focus
    heading(page).to_have_text("Training through a staircase")


def test_the_answer_is_revealed_by_button_and_by_key(address, page):
    opened(page, address, "gelu-and-swish")
    answer = page.get_by_text("so α may be 43.2")
    sync_api.expect(answer).to_have_count(0)
    page.get_by_role("button", name="Show the answer").click()
    sync_api.expect(answer).to_be_visible()
    page.keyboard.press("a")
    sync_api.expect(answer).to_have_count(0)


def test_the_animation_plays_and_stops_at_the_end(address, page):
    opened(page, address, "minima")
    weight = "document.querySelector('.js-plotly-plot').data[8].x[0]"
    start = page.evaluate(weight)
    step = page.get_by_role("slider", name="Step")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{weight} > {start} + 0.1")
    page.get_by_role("button", name="Pause").click()
    step.fill("120")
    page.wait_for_function(f"{weight} > 0.5")
    assert "step 120 of 120" in page.locator(".qa-player").inner_text()


def test_the_style_sheet_is_in_force(address, page):
    """It is not applied when it is wrapped in a tag of its own."""
    opened(page, address, "folding")
    size = "el => parseFloat(getComputedStyle(el).fontSize)"
    words = page.get_by_text("At inference, batch norm is a factor").first
    assert words.evaluate(size) >= 18
    value = page.locator(".js-plotly-plot .xtick text").first
    value.wait_for()
    assert value.evaluate(size) >= 14
