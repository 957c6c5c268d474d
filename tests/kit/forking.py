"""A fork server with the simulated node and the executor imported, which saves a second of CPU per start."""

import gc
import signal
import socket
import sys

from stack.fork_server import ForkServer, preload

PROGRAMS = ("simnode.__main__", "executor.__main__", "executor.app")


def main(descriptor: int) -> None:
    """Serve ``stack.processes.ForkServerClient`` on a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    preload(PROGRAMS)
    gc.collect()
    gc.freeze()  # a garbage collection in a child would copy every page that it visits
    gc.enable()
    fork_server = ForkServer(socket.socket(fileno=descriptor), ())
    try:
        fork_server.serve()
    finally:
        fork_server.kill_all()


if __name__ == "__main__":
    main(int(sys.argv[1]))
