"""A guest's network, tried from both sides: ping, a download, an upload."""
import hashlib
import http.server
import os
import socket
import threading
import time
import urllib.request

import shells
from shells import guest

SIZE = 3_000_000


class Files(http.server.BaseHTTPRequestHandler):
    """Serves one file to the guest."""

    data = os.urandom(SIZE)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, format, *args):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, seconds):
    """The guest's server may need a moment to listen."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return reply.read()
        except OSError as error:
            if time.monotonic() > deadline:
                raise guest.Failure(f"{url}: {error}") from error
            time.sleep(0.5)


def network(shell, hostfwd):
    shell.run("ip link set lo up && ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && "
              "ip route add default via 10.0.2.2")
    # One by one: of several, busybox gives the last a second only, and a busy host takes longer.
    for _ in range(3):
        said = shell.run("ping -c 1 10.0.2.2")
        guest.require("1 packets received" in said, f"ping:\n{said}")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        said = shell.run(f"wget -q -O - http://10.0.2.2:{server.server_address[1]}/ | sha256sum")
    finally:
        server.shutdown()
    guest.require(hashlib.sha256(Files.data).hexdigest() in said, f"wget got other bytes: {said}")
    shell.run("mkdir -p /tmp/www && dd if=/dev/urandom of=/tmp/www/f bs=1000 count=1500 2>/dev/null")
    said = shell.run("httpd -p 80 -h /tmp/www && sha256sum /tmp/www/f")
    body = fetch(f"http://127.0.0.1:{hostfwd}/f", shells.COMMAND_S)
    guest.require(hashlib.sha256(body).hexdigest() in said, "hostfwd brought other bytes")
