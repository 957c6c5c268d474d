"""A fork server with the simulated node and the executor imported, which saves a second of CPU per start."""

import signal
import socket
import sys

from stack.fork_server import ForkServer

PROGRAMS = ("simnode.__main__", "executor.__main__")


def main(descriptor: int) -> None:
    """Serve ``stack.processes.ForkServerClient`` on a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fork_server = ForkServer(socket.socket(fileno=descriptor), ())
    try:
        fork_server.serve(PROGRAMS)
    finally:
        fork_server.kill_children()


if __name__ == "__main__":
    main(int(sys.argv[1]))
