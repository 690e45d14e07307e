"""Checkpoint: what an analysis has measured so far, kept on disk so that a killed run goes on from there."""

import hashlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from qanalysis.schema.writing import whole

_FORMAT = "qanalysis-checkpoint-1"
_OF = "of.txt"
#: What NumPy and zip raise on a file that is torn, damaged or something else.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """Arrays by key, one file each under `measured` in a folder.

    An analysis asks for a key before it measures and keeps what it measured under it:

        kept = checkpoint.get("batch-00003")
        if kept is None:
            kept = {"logits": measure(batch)}
            checkpoint.put("batch-00003", **kept)
    """

    def __init__(self, folder: Path | None, of: str = "") -> None:
        """Opens what is there.

        Args:
            folder: a job's folder; None keeps nothing.
            of: what is measured, best `schema.digest.digest(analysis, params)`; what another run left in the same
                folder is removed.

        Raises:
            OSError: if the folder cannot be written to.
        """
        self._folder = None if folder is None else folder / "measured"
        if self._folder is None:
            return
        identity = f"{_FORMAT} {of}"
        note = self._folder / _OF
        if not note.is_file() or note.read_text() != identity:
            remove(self._folder.parent)
            self._folder.mkdir(parents=True)
            note.write_text(identity)

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """What was kept under a key; None if nothing was, or if its file is not whole."""
        if self._folder is None:
            return None
        try:
            with np.load(self._path(key), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except _UNREADABLE:
            return None

    def put(self, key: str, **arrays: NDArray[Any]) -> None:
        """Keeps arrays under a key, whole or not at all: a kill or a power cut leaves the old file or none.

        Raises:
            OSError: if the disk is full.
            ValueError: if an array holds Python objects.
        """
        if self._folder is None:
            return
        with whole(self._path(key)) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())

    def file(self, name: str) -> Path | None:
        """Where an analysis may keep a file of a form of its own; None where nothing is kept."""
        return None if self._folder is None else self._folder / name

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        name = quote(key, safe="")
        if len(name) > 150:  # file systems take 255 bytes
            name = name[:100] + hashlib.sha256(key.encode()).hexdigest()
        return self._folder / f"{name}.npz"


def remove(folder: Path) -> None:
    """Removes what was measured from a job's folder, so that the next run starts from nothing."""
    shutil.rmtree(folder / "measured", ignore_errors=True)
