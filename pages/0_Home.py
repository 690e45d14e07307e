from qanalysis.ui.home.page import page

page()
