"""Results as tables: one value each, which pages, reports in HTML and Markdown, and the terminal draw."""


def cell(value: object) -> str:
    """A value of a table as text, with sensible digits; missing ones are empty."""
    if value is None or (isinstance(value, float) and value != value):  # NaN is what pandas makes of None
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if 0.1 <= abs(value) < 10_000 or value == 0 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
