from qanalysis.ui import sensitivity

sensitivity.page()
