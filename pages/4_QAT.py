from qanalysis.ui import qat

qat.page()
