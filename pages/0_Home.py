from qanalysis.ui.home import page

page.page()
