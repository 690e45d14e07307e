from qanalysis.ui.calibration.page import page

page()
