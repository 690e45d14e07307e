"""`python -m qanalysis`: the command line."""

import sys

from qanalysis.cli import main

sys.exit(main())
