"""Importing this module waits until the file ``RELEASED`` exists."""

import os
import time
from pathlib import Path

give_up_at = time.monotonic() + 30
while not Path(os.environ["RELEASED"]).exists() and time.monotonic() < give_up_at:
    time.sleep(0.01)
