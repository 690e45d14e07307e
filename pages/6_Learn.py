from qanalysis.ui.learn import page

page.page()
