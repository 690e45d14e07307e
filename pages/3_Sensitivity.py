from qanalysis.ui.sensitivity.page import page

page()
