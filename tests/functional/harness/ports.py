"""Ports below the ephemeral range, claimed for as long as a test needs them.

Port 0 gives a number that any outgoing connection may take once the probe is closed, and a backend
that is restarted must come back where it was. A claim is an abstract unix socket of that number: the
kernel keeps two suites on one machine apart, and forgets a claim with the process that held it.
"""

import random
import socket

FIRST, LAST = 12000, 31999


def claim_socket(number):
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0pelayan-test-port-{number}")
    except OSError:
        held.close()
        return None
    return held


def is_free(number):
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(family, kind) as probe:
                    if family == socket.AF_INET6:
                        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((any_address, number))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno in (97, 99):
                    continue  # no IPv6 here
                return False
    return True


class Port:
    """A number that is ours until release()."""

    def __init__(self):
        for _ in range(10000):
            self.number = random.randint(FIRST, LAST)
            self.held = claim_socket(self.number)
            if self.held is None:
                continue
            if is_free(self.number):
                return
            self.release()
        raise RuntimeError("no free port found")

    def release(self):
        self.held.close()
