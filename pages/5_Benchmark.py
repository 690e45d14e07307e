from qanalysis.ui import benchmark

benchmark.page()
