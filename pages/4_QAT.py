from qanalysis.ui.qat.page import page

page()
