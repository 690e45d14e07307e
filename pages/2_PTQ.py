from qanalysis.ui.ptq.page import page

page()
