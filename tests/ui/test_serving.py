"""Both files that can be started are taken by Streamlit for the app they are, not for a script."""

from pathlib import Path

import pytest
from streamlit.web.server.app_discovery import discover_asgi_app

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", ["dashboard.py", "qanalysis/ui/start/app.py"])
def test_is_discovered(file):
    found = discover_asgi_app(ROOT / file)
    assert found.is_asgi_app
    assert found.import_string.endswith(":app")
