from qanalysis.ui.benchmark import page

page.page()
