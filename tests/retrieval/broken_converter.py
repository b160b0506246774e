"""A conversion that dies half-way."""

import sys
from pathlib import Path

Path(sys.argv[2], "model.xml").write_text("half")
sys.exit(1)
