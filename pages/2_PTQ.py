from qanalysis.ui.ptq import page

page.page()
