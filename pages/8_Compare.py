from qanalysis.ui.compare.page import page

page()
