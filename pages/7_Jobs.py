from qanalysis.ui import jobs

jobs.page()
