from qanalysis.ui.sensitivity import page

page.page()
