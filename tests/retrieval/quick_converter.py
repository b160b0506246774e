"""A conversion that takes as long as it is told, by the environment, and writes a file that is no model."""

import os
import sys
import time
from pathlib import Path

Path(sys.argv[2], "begun").touch()
time.sleep(float(os.environ.get("CONVERSION_SECONDS", "0")))
Path(sys.argv[2], "model").write_text(sys.argv[1])
