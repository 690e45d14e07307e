"""What pyproject.toml cannot say: the compiled parts, and folders of the top level that a wheel has within the package.

Values are counted and rounded in C; optional, without a compiler PyTorch does it, slower.
"""

from setuptools import Extension, find_packages, setup


def extension(name: str, source: str) -> Extension:
    """A module of plain C functions, which are loaded with ctypes."""
    return Extension(
        name,
        [source],
        # compiled with OpenMP, but linked with the one of PyTorch; sums and products as they are written
        extra_compile_args=["-O3", "-fopenmp", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
        optional=True,
    )


#: Folders that people in a checkout find at the top, and their place in an installed package.
TOP = {"pages": "qanalysis.pages", "sample_models": "qanalysis.sample_models", ".streamlit": "qanalysis.streamlit"}

setup(
    packages=[*find_packages(include=["qanalysis*"]), *TOP.values()],
    package_dir={package: folder for folder, package in TOP.items()},
    package_data={
        "qanalysis": ["py.typed", "data/*.txt", "schema/*.json", "ui/*.css", "ui/*.png", "ui/*/*.js"],
        "qanalysis.sample_models": ["*.json", "*.md", "*.safetensors", "data/*"],
        "qanalysis.streamlit": ["*.toml"],
    },
    ext_modules=[
        extension("qanalysis.kernels._counting", "qanalysis/kernels/_counting.c"),
        extension("qanalysis.kernels._rounding", "qanalysis/kernels/_rounding.c"),
    ],
)
