from qanalysis.ui import compare

compare.page()
