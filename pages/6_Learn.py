from qanalysis.ui.learn.page import page

page()
