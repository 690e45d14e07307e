from qanalysis.ui import ptq

ptq.page()
