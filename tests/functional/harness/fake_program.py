#!/usr/bin/python3
"""Stands in for the program in the tests of the harness: accepts, answers, ends at QUIT.

Knows `listen`, and for the ways a run can go wrong: `fake_crash`, `fake_orphan`, `fake_exit N`.
"""

import re
import signal
import socket
import subprocess
import sys
import threading


def serve(accepted):
    with accepted:
        while b"\r\n\r\n" not in accepted.recv(65536, socket.MSG_PEEK):
            if not accepted.recv(1, socket.MSG_PEEK):
                return
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfake")


def accept(listening):
    while True:
        accepted, _ = listening.accept()
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()


def main():
    text = open(sys.argv[sys.argv.index("-c") + 1]).read()
    if "-t" in sys.argv:
        sys.exit("configuration file test failed" if "unknown" in text else 0)
    if "-s" in sys.argv:
        sys.exit("reload failed" if "unknown" in text else 0)
    code = re.search(r"fake_exit (\d+);", text)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGQUIT])
    for port in re.findall(r"listen 127\.0\.0\.1:(\d+);", text):
        listening = socket.create_server(("127.0.0.1", int(port)))
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
    if "fake_orphan" in text:
        subprocess.Popen(["sleep", "600"])
    if "fake_crash" in text:
        print("==1==ERROR: AddressSanitizer: heap-use-after-free", file=sys.stderr, flush=True)
    signal.sigwait([signal.SIGQUIT])
    sys.exit(int(code.group(1)) if code else 0)


main()
