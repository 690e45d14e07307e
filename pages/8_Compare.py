from qanalysis.ui.compare import page

page.page()
