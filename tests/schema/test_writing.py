"""Files appear whole or not at all, what is no plain file is never replaced, and a folder has one writer."""

import subprocess
import sys
from pathlib import Path

import pytest

from qanalysis.schema.errors import UserError
from qanalysis.schema.writing import check, save_text, sole_writer, whole


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    save_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_device_stays_a_device():
    null = Path("/dev/null")
    save_text(null, "gone")
    assert null.is_char_device()


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")

    def write():
        with whole(tmp_path / "file") as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "says"), [("", "is a folder"), ("no/file", "there is no folder"), ("x" * 5000, "too long")]
)
def test_where_nothing_can_be_written_is_told_before(tmp_path, name, says):
    with pytest.raises(UserError, match=says):
        check(tmp_path / name, "--json")


HOLD = """
import pathlib, sys, time
from qanalysis.schema.writing import sole_writer
with sole_writer(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_holds_a_folder_and_a_killed_one_holds_nothing(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use by process {holder.pid} since"), sole_writer(tmp_path):
            pytest.fail("two writers")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with sole_writer(tmp_path):
        assert (tmp_path / ".in-use").exists()
    assert list(tmp_path.iterdir()) == []
