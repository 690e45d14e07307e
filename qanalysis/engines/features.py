"""Features: what this machine's processors have for integers, and the throughput ratio that follows from it."""

import os
import platform
import subprocess
from pathlib import Path

from qanalysis.schema.engines import Processors

#: Flags of CPUs that matter here → how people call them.
_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "amx_int8": "AMX INT8",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "NEON I8MM",
    "bf16": "NEON BF16",
}


def features() -> Processors:
    """Reads them; nothing is measured."""
    name, flags = _cpu()
    gpus = _gpus()
    return Processors(
        cpu=name,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_features=tuple(_FLAGS[flag] for flag in _FLAGS if flag in flags),
        gpus=gpus,
        gpu_features=_gpu_features(gpus[0][1]) if gpus else (),
        int8_ratio=int8_ratio(flags),
        bf16_ratio=16.0 if "amx_bf16" in flags else 2.0 if flags & {"avx512_bf16", "bf16"} else 1.0,
    )


def int8_ratio(flags: frozenset[str]) -> float:
    """Int8 over fp32 multiply-accumulates per cycle.

    A 512-bit register holds 16 floats or 64 bytes. VNNI multiplies and adds all of them in one instruction, as FMA does
    with floats: 4. AMX does 1024 in a cycle where two FMA units do 32: 32. Without either, three instructions are
    needed for 4 times the numbers: 4/3. ARM's dot product is 4, I8MM 8.
    """
    if "amx_int8" in flags:
        return 32.0
    if "i8mm" in flags:
        return 8.0
    return 4.0 if flags & {"avx512_vnni", "avx_vnni", "asimddp"} else 4 / 3


def _cpu() -> tuple[str, frozenset[str]]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine(), frozenset()
    entries = [line.partition(":") for line in path.read_text().splitlines()]
    values = {key.strip(): value.strip() for key, _, value in reversed(entries)}
    flags = frozenset((values.get("flags") or values.get("Features") or "").split())
    return values.get("model name") or platform.machine(), flags


def _gpus() -> tuple[tuple[str, str], ...]:
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    pairs = [line.rpartition(",") for line in listed.splitlines() if "," in line]
    return tuple((name.strip(), capability.strip()) for name, _, capability in pairs)


def _gpu_features(capability: str) -> tuple[str, ...]:
    major, _, minor = capability.partition(".")
    if not major.isdecimal():
        return ()
    version = (int(major), int(minor or 0))
    found = ["dp4a"] if version >= (6, 1) else []
    if version >= (7, 0):
        found.append("tensor cores (fp16)")
    if version >= (7, 2):
        found.append("tensor cores (int8)")
    if version >= (8, 9):
        found.append("tensor cores (fp8)")
    return tuple(found)
