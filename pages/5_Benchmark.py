from qanalysis.ui.benchmark.page import page

page()
