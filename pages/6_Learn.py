from qanalysis.ui import learn

learn.page()
