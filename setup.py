"""The compiled parts: values are counted and rounded in C. Optional: without a compiler, PyTorch does it, slower."""

from setuptools import Extension, setup


def extension(name: str, source: str) -> Extension:
    """A module of plain C functions, which are loaded with ctypes."""
    return Extension(
        name,
        [source],
        # compiled with OpenMP, but linked with the one of PyTorch; sums and products as they are written
        extra_compile_args=["-O3", "-fopenmp", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
        optional=True,
    )


setup(
    ext_modules=[
        extension("qanalysis.nn._counting", "qanalysis/kernels/_counting.c"),
        extension("qanalysis.numerics._rounding", "qanalysis/kernels/_rounding.c"),
    ]
)
