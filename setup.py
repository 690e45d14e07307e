"""The only compiled part: counting values in C. Optional: where it cannot be compiled, PyTorch counts, slower."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "qanalysis.nn._counting",
            ["qanalysis/nn/_counting.c"],
            extra_compile_args=["-O3", "-fopenmp"],  # compiled with OpenMP, but linked with the one of PyTorch
            optional=True,
        )
    ]
)
