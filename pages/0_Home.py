from qanalysis.ui import home

home.page()
