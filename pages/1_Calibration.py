from qanalysis.ui import calibration

calibration.page()
