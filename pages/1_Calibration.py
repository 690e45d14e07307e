from qanalysis.ui.calibration import page

page.page()
