from qanalysis.ui.jobs.page import page

page()
