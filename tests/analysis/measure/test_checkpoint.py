"""What was measured is found again, whole or not at all, and never taken for something else."""

import numpy as np
import pytest

from qanalysis.analysis.measure.checkpoint import Checkpoint, remove

LOGITS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_what_was_put_is_got_by_another_process_s_checkpoint(tmp_path):
    Checkpoint(tmp_path).put("batch-00003", logits=LOGITS, labels=np.array([1, 2]))
    kept = Checkpoint(tmp_path).get("batch-00003")
    assert list(kept) == ["logits", "labels"]
    np.testing.assert_array_equal(kept["logits"], LOGITS)
    assert kept["logits"].dtype == np.float32


def test_what_was_never_put_is_not_measured(tmp_path):
    assert Checkpoint(tmp_path).get("batch-00003") is None


def test_without_a_folder_nothing_is_kept():
    checkpoint = Checkpoint(None)
    checkpoint.put("fp32", logits=LOGITS)
    assert checkpoint.get("fp32") is None


@pytest.mark.parametrize("keep", [0, 1, 100, -1], ids=["empty", "one byte", "the head", "all but one byte"])
def test_a_torn_file_is_not_measured(tmp_path, keep):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.put("fp32", logits=LOGITS)
    (file,) = (tmp_path / "measured").glob("*.npz")
    file.write_bytes(file.read_bytes()[:keep])
    assert checkpoint.get("fp32") is None
    checkpoint.put("fp32", logits=LOGITS)
    assert checkpoint.get("fp32") is not None


def test_a_changed_byte_is_not_measured(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.put("fp32", logits=LOGITS)
    (file,) = (tmp_path / "measured").glob("*.npz")
    content = bytearray(file.read_bytes())
    content[content.index(LOGITS.tobytes()) + 4] ^= 1
    file.write_bytes(content)
    assert checkpoint.get("fp32") is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.put("fp32", logits=LOGITS)

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.put("fp32", logits=LOGITS + 1)
    np.testing.assert_array_equal(checkpoint.get("fp32")["logits"], LOGITS)
    assert not list((tmp_path / "measured").glob("*.part"))


@pytest.mark.parametrize("key", ["percentile:99.99", "../../outside", "layer1/conv 1", "x" * 400, "..", "fp32:é"])
def test_any_text_is_a_key_of_its_own_inside_the_folder(tmp_path, key):
    checkpoint = Checkpoint(tmp_path / "job")
    checkpoint.put(key, logits=LOGITS)
    checkpoint.put(key + "'", logits=LOGITS + 1)
    np.testing.assert_array_equal(checkpoint.get(key)["logits"], LOGITS)
    assert len(list((tmp_path / "job" / "measured").glob("*.npz"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


def test_objects_are_refused_when_they_are_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        Checkpoint(tmp_path).put("fp32", logits=np.array([{}]))


def test_what_another_run_left_in_the_folder_is_not_taken(tmp_path):
    Checkpoint(tmp_path, "8 bits").put("fp32", logits=LOGITS)
    assert Checkpoint(tmp_path, "8 bits").get("fp32") is not None
    assert Checkpoint(tmp_path, "4 bits").get("fp32") is None
    assert Checkpoint(tmp_path, "8 bits").get("fp32") is None


def test_removed_is_not_measured(tmp_path):
    Checkpoint(tmp_path).put("fp32", logits=LOGITS)
    remove(tmp_path)
    remove(tmp_path)
    assert Checkpoint(tmp_path).get("fp32") is None
