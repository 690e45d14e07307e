from qanalysis.ui.jobs import page

page.page()
