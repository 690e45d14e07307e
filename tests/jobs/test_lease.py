"""Who may start on a device, and what the others are told."""

import subprocess

import pytest

from qanalysis.jobs import lease
from qanalysis.jobs.lease import Lease, devices, place, reason, startable


def queue(*entries: str) -> list[Lease]:
    """Leases in order: `heavy`, `light!` (an exclamation mark: granted), `exclusive@cuda:0`."""
    leases = []
    for number, entry in enumerate(entries):
        weight, _, device = entry.partition("@")
        granted = 1.0 if weight.endswith("!") else None
        leases.append(Lease(str(number), device or "cpu", weight.rstrip("!"), granted))
    return leases


@pytest.mark.parametrize(
    ("entries", "start"),
    [
        (["heavy", "heavy"], "0"),
        (["heavy!", "heavy"], ""),
        (["heavy!", "heavy", "light"], "2"),
        (["light!", "light!", "light", "heavy"], "3"),
        (["light", "light", "light"], "01"),
        (["exclusive", "light"], "0"),
        (["light!", "exclusive", "light", "heavy"], ""),
        (["exclusive!", "light", "heavy", "exclusive"], ""),
        (["heavy!", "heavy@cuda:0", "exclusive@cuda:1"], "12"),
        (["light", "exclusive", "light"], "0"),
        ([], ""),
    ],
    ids=" ".join,
)
def test_who_starts(entries, start):
    assert "".join(one.job for one in startable(queue(*entries))) == start


@pytest.mark.parametrize(
    ("entries", "of", "says"),
    [
        (["heavy!", "heavy"], 1, "another job runs on cpu"),
        (["heavy!", "heavy", "heavy"], 2, "1 job is before it in the queue of cpu"),
        (["light!", "light!", "light"], 2, "2 jobs run on cpu"),
        (["heavy!", "light!", "exclusive"], 2, "it needs cpu to itself, where 2 jobs run"),
        (["exclusive!", "light"], 1, "a benchmark has cpu to itself"),
        (["light!", "exclusive", "light"], 2, "1 job is before it in the queue of cpu"),
        (["heavy!", "heavy", "light"], 2, "it is next on cpu"),
        (["heavy!@cuda:0", "heavy"], 1, "it is next on cpu"),
        (["heavy!"], 0, "its process starts"),
    ],
)
def test_what_a_job_waits_for(entries, of, says):
    leases = queue(*entries)
    assert reason(leases[of], leases) == says


@pytest.fixture
def machine(monkeypatch):
    """Pretends that nvidia-smi lists some GPUs."""

    def pretend(gpus: int, visible: str | None = None) -> None:
        def listed(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
            if not gpus:
                raise FileNotFoundError("nvidia-smi")
            lines = "".join(f"GPU {number}: NVIDIA (UUID: {number})\n" for number in range(gpus))
            return subprocess.CompletedProcess([], 0, stdout=lines)

        monkeypatch.setattr(lease.subprocess, "run", listed)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        devices.cache_clear()

    yield pretend
    devices.cache_clear()


@pytest.mark.parametrize(
    ("gpus", "visible", "name", "expected"),
    [
        (0, None, "auto", "cpu"),
        (2, None, "auto", "cuda:0"),
        (2, "", "auto", "cpu"),
        (2, "1", "auto", "cuda:0"),
        (2, None, "cpu", "cpu"),
        (2, None, "cuda", "cuda:0"),
        (2, None, "cuda:1", "cuda:1"),
    ],
)
def test_the_device_of_a_parameter(machine, gpus, visible, name, expected):
    machine(gpus, visible)
    assert place(name) == expected


def test_devices_are_found_without_pytorch(machine):
    machine(2)
    assert devices() == ("cpu", "cuda:0", "cuda:1")
