"""Importing this module waits for the first request to the fork server."""

import select
import sys

select.select([int(sys.argv[1])], [], [], 30)
