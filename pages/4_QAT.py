from qanalysis.ui.qat import page

page.page()
