"""Which names hold paths: pages read those only within the server's folders."""

from qanalysis.schema.catalog import DATA_SOURCES, MODEL_SOURCES
from qanalysis.schema.paths import FILES


def test_every_source_that_names_a_path_is_held_to_the_servers_folders():
    named = {name for name, example in (MODEL_SOURCES | DATA_SOURCES).items() if ":PATH" in example}
    assert named == set(FILES)
