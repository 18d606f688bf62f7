#!/usr/bin/env python3
"""Running VMs, looked at and steered from outside: list, stat, top, ctl, events, metrics.

live_test.py TRAPLINE BINARIES
"""
import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

import guest_process as guest

TRAPLINE, BINARIES = sys.argv[1:3]
WAIT_S = 30


def trapline(*words, env=None):
    done = subprocess.run([TRAPLINE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=WAIT_S, check=False, env=env)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(*words):
    status, out, errors = trapline(*words)
    guest.require(status == 0, f"{words}: status {status}: {errors}")
    return out


def refused(*words, text, env=None):
    """Status 1 and one line that has the text."""
    status, _, errors = trapline(*words, env=env)
    guest.require(status == 1 and errors.count("\n") == 1 and text in errors,
                  f"{words}: status {status}: {errors!r} lacks {text!r}")


def until(condition, what):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        guest.require(time.monotonic() < deadline, f"{what} within {WAIT_S} s")
        time.sleep(0.05)


@contextlib.contextmanager
def running(binary, *options):
    command = [TRAPLINE, "run", "--raw", os.path.join(BINARIES, binary + ".bin"), *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def named(binary, name, *options):
    return running(binary, "--name", name, *options)


def path_of(name):
    return os.path.join(os.environ["XDG_RUNTIME_DIR"], "trapline", name + ".sock")


def await_name(name):
    until(lambda: trapline("ctl", name, "status")[0] == 0, f"{name} answers")


def connect(name):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path_of(name))  # waits while many do
    client.settimeout(WAIT_S)
    return client


def ask(client, request):
    client.sendall(request + b"\n")
    return reply(client)


def reply(client):
    line = b""
    while not line.endswith(b"\n"):
        data = client.recv(65536)
        guest.require(data, f"a reply before the end: {line!r}")
        line += data
    return json.loads(line)


def statistics(name):
    return json.loads(good("stat", name, "--json"))


def commands():
    with named("uart_echo", "echo") as process:
        await_name("echo")
        folder = os.path.dirname(path_of("echo"))
        guest.require(stat.S_IMODE(os.stat(folder).st_mode) == 0o700, "the folder is ours alone")
        guest.require(stat.S_IMODE(os.stat(path_of("echo")).st_mode) == 0o600, "so is the socket")
        until(lambda: "running" in good("list"), "it runs")
        lines = good("list").splitlines()
        guest.require(len(lines) == 2 and lines[1].split()[:3] ==
                      ["echo", str(process.pid), "running"], f"list: {lines}")
        # On a busy host the guest's thread may not run for a while.
        first = statistics("echo")["exits"]["total"]
        until(lambda: statistics("echo")["exits"]["total"] > first, "the guest runs meanwhile")
        until(lambda: statistics("echo")["latency_ns"]["data_abort.isv1"]["count"] > 0, "latency")
        until(lambda: statistics("echo")["vcpus"][0]["state"] == "runs", "vCPUs")
        guest.require(statistics("echo")["devices"]["pl011"]["registers"]["UARTFR"]["reads"] > 0,
                      "registers")
        for words in (("stat", "echo"), ("top", "echo", "--once", "--interval", "0.2")):
            def told():
                out = good(*words)
                return "DABT_LOW isv1" in out and "pl011 UARTFR" in out
            until(told, f"{words}: class and register")
        refused("top", "echo", text="--once")
        refused("top", "nobody", "--once", text="no VM named nobody (running: echo)")
        refused("ctl", "echo", "dance", text="unknown verb 'dance'")
        refused("ctl", "echo", "profile", text="give status")
        refused("ctl", "a/b", "status", text="letters, digits")
        refused("stat", "echo", "--interval", "nan", text="--interval nan")
        refused("run", "--raw", os.path.join(BINARIES, "spin.bin"), "--name", "echo",
                text="a VM named echo is running")
        refused("run", "--raw", "x", "--name", "a" * 65, text="at most 64")
        pause_and_resume()
        profile()
        clients_of_all_kinds()
        good("ctl", "echo", "stop")
        guest.require(process.wait(WAIT_S) == 143, "stop ends as TERM does")
    guest.require(not os.path.exists(path_of("echo")), "the socket goes with its VM")
    guest.require(good("list") == "", "nothing is listed")
    refused("top", "echo", "--once", text="no VM named echo (none is running)")


def pause_and_resume():
    good("ctl", "echo", "pause")
    guest.require("paused" in good("list"), "list says so")
    before = statistics("echo")["insns"]
    time.sleep(0.2)
    guest.require(statistics("echo")["insns"] == before, "a paused guest executes nothing")
    refused("ctl", "echo", "pause", text="paused already")
    good("ctl", "echo", "resume")
    refused("ctl", "echo", "resume", text="not paused")
    until(lambda: statistics("echo")["insns"] > before, "it goes on")


def profile():
    refused("ctl", "echo", "profile", "report", "p.json", text="nothing was profiled")
    refused("ctl", "echo", "profile", "stop", text="nothing is being profiled")
    good("ctl", "echo", "profile", "start")
    refused("ctl", "echo", "profile", "start", text="already")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "p.json")

        def rows():
            good("ctl", "echo", "profile", "report", path)
            return guest.load_stats(path)["profile"]["rows"]

        until(lambda: sum(r["count"] for r in rows()) > 1000, "a profile fills")
        good("ctl", "echo", "profile", "stop")
        kept = rows()
        guest.require([r["count"] for r in kept] == [r["count"] for r in rows()] and
                      kept[0]["register"] == "UARTFR", "it stays when stopped")
        good("ctl", "echo", "profile", "reset")
        guest.require(not rows(), "reset empties it")
        guest.require(os.listdir(folder) == ["p.json"], "nothing else is left there")
        refused("ctl", "echo", "profile", "report", os.path.join(folder, "no", "p"), text="no/p")


def clients_of_all_kinds():
    before = statistics("echo")["exits"]["total"]
    silent = [connect("echo") for _ in range(25)]
    talking = [connect("echo") for _ in range(50)]
    for client in talking:
        guest.require(ask(client, b'{"verb": "status"}')["ok"], "50 clients are served")
    for client in talking:
        client.close()
    for garbage in (b"", b"\0\xff\xfe", b"[" * 3000, b"42", b'{"verb": 1}', b'{"verb": "status"',
                    b'{"verb": "status", "protocol": 99}', b'{"verb": "\\u001b[2J"}'):
        answer = ask(silent[0], garbage)
        guest.require(answer["ok"] is False and len(answer["error"]) < 200, f"{garbage}: {answer}")
    guest.require(ask(silent[0], b'{"verb": "status"}')["name"] == "echo", "and goes on")
    silent[1].sendall(b"x" * 100000)
    guest.require("at most" in reply(silent[1])["error"], "a line without end is refused")
    # Many requests at once, the end of input behind them: all are answered.
    silent[2].sendall(b'{"verb":"status"}\n' * 100)
    silent[2].shutdown(socket.SHUT_WR)
    answers = b""
    while data := silent[2].recv(65536):
        answers += data
    guest.require(answers.count(b'"ok":true') == 100, f"{answers.count(b'ok')} of 100 replies")
    # Asks much and reads nothing.
    silent[3].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            silent[3].send(b'{"verb":"stat"}\n' * 100)
    guest.require(good("ctl", "echo", "status"), "others are served meanwhile")
    # More than there is room for: refused, and served again once there is.
    crowd, turned_away = [], False
    while not turned_away:
        guest.require(len(crowd) < 200, "clients are bounded")
        crowd.append(connect("echo"))
        try:
            turned_away = not ask(crowd[-1], b'{"verb": "status"}')["ok"]
        except (BrokenPipeError, ConnectionResetError):  # it was told, and the line cut, before it asked
            turned_away = True
    for client in crowd + silent:
        client.close()
    until(lambda: trapline("ctl", "echo", "status")[0] == 0, "served again")
    guest.require(statistics("echo")["exits"]["total"] > before, "the guest ran meanwhile")


def events():
    with named("reset_loop", "looping"):
        await_name("looping")
        client = connect("looping")
        client.sendall(b'{"verb": "events"}\n')
        lines = client.makefile()
        guest.require(json.loads(lines.readline())["ok"], "subscribed")
        seen = [json.loads(lines.readline()) for _ in range(8)]
        kinds = [e["event"] for e in seen]
        guest.require({"boot", "reset"} == set(kinds), f"events {kinds}")
        guest.require([e["seq"] for e in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + 8)),
                      f"one after the other: {seen}")
    with named("vectors_garbage", "crash") as process:
        guest.require(process.wait(WAIT_S) == 2, "the guest is beyond help")
    with named("uart_echo", "echo") as process:
        await_name("echo")
        follower = subprocess.Popen([TRAPLINE, "ctl", "echo", "events"], stdout=subprocess.PIPE)
        guest.require(json.loads(follower.stdout.readline())["event"] == "boot", "the past, too")
        good("ctl", "echo", "reset")
        guest.require(json.loads(follower.stdout.readline())["event"] == "reset", "a reset")
        guest.require(json.loads(follower.stdout.readline())["event"] == "boot", "another boot")
        process.stdin.write(b"Kernel panic - not syncing: no init\r\n")
        process.stdin.flush()
        panic = json.loads(follower.stdout.readline())
        guest.require(panic["event"] == "panic" and panic["why"].endswith("no init"), f"{panic}")
        good("ctl", "echo", "power-off")
        stop = json.loads(follower.stdout.readline())
        guest.require(stop["event"] == "stop" and stop["status"] == 0 and "ctl" in stop["why"],
                      f"{stop}")
        guest.require(follower.wait(WAIT_S) == 0 and process.wait(WAIT_S) == 0, "both end well")


def slow_subscriber():
    """It is dropped; the guest resets itself on and on."""
    with named("reset_loop", "looping"):
        await_name("looping")
        slow = connect("looping")
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        slow.sendall(b'{"verb": "events"}\n')
        boots = json.loads(good("ctl", "looping", "status"))["boots"]
        until(lambda: json.loads(good("ctl", "looping", "status"))["boots"] > boots + 20,
              "nobody waits for it")
        slow.close()


def stale_and_foreign():
    with named("uart_echo", "killed") as process:
        await_name("killed")
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
    until(lambda: not os.path.exists(path_of("killed")), "a killed VM's socket is removed for it")
    with named("uart_echo", "killed", "--sandbox", "off") as process:
        await_name("killed")
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
    guest.require(os.path.exists(path_of("killed")), "without a jail it is left")
    guest.require(good("list") == "", "which is not listed")
    refused("stat", "killed", text="is gone")
    with named("uart_echo", "killed"):
        await_name("killed")  # and is replaced
    spin = ("run", "--raw", os.path.join(BINARIES, "spin.bin"), "--name", "x")
    with tempfile.TemporaryDirectory() as folder:
        ours = dict(os.environ, XDG_RUNTIME_DIR=folder)
        os.mkdir(os.path.join(folder, "trapline"), 0o755)
        refused(*spin, text="chmod 700", env=ours)
        os.rmdir(os.path.join(folder, "trapline"))
        os.symlink("/tmp", os.path.join(folder, "trapline"))
        refused(*spin, text="symbolic link", env=ours)
        refused(*spin, text="cannot make", env=dict(ours, XDG_RUNTIME_DIR=folder + "/none"))
        long = os.path.join(folder, "d" * 100, "e" * 100)
        os.makedirs(long)
        process = subprocess.Popen([TRAPLINE, *spin], env=dict(ours, XDG_RUNTIME_DIR=long),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: trapline("ctl", "x", "status",
                                   env=dict(ours, XDG_RUNTIME_DIR=long))[0] == 0,
                  "a path longer than sun_path")
        finally:
            process.kill()
            process.wait()


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=WAIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(self.path)


def scrape(connection, method="GET", path="/metrics"):
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


def families(text):
    """By a parser of others, where it is installed."""
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError:
        print("no prometheus_client: metrics are not parsed")
        return None
    return {family.name: family for family in text_string_to_metric_families(text)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def metrics():
    port, path = free_port(), os.path.join(os.environ["XDG_RUNTIME_DIR"], "metrics.sock")
    for where, connection in ((f"tcp:{port}", http.client.HTTPConnection("127.0.0.1", port,
                                                                         timeout=WAIT_S)),
                              (f"unix:{path}", UnixHttp(path))):
        with running("uart_echo", "--metrics", where):
            def there():
                with contextlib.suppress(OSError):
                    connection.connect()
                    connection.close()
                    return True
                return False
            until(there, f"{where} is served")
            until(lambda: 'le="+Inf"} 0\n' not in scrape(connection)[1].split("isv=\"0\"")[0],
                  "exits are timed")
            response, text = scrape(connection)
            guest.require(response.status == 200, f"status {response.status}")
            guest.require(response.getheader("Content-Type").startswith(
                "application/openmetrics-text; version=1.0.0"), "the type")
            guest.require(text.endswith("# EOF\n"), "the end")
            first = families(text)
            if first is not None:
                check_families(first, families(scrape(connection)[1]))
            guest.require(scrape(connection, path="/x")[0].status == 404, "another path")
            guest.require(scrape(connection, method="POST")[0].status == 405, "another method")
            guest.require(scrape(connection, method="HEAD")[1] == "", "HEAD")
            refused("run", "--raw", os.path.join(BINARIES, "spin.bin"), "--metrics", where,
                    text="--metrics " + where)
    refused("run", "--raw", "x", "--metrics", "udp:1", text="unix:PATH or tcp:PORT")
    refused("run", "--raw", "x", "--metrics", "tcp:65536", text="65535")


def check_families(first, second):
    guest.require(first["trapline_exits"].type == "counter", "counters")
    histogram = first["trapline_exit_seconds"]
    guest.require(histogram.type == "histogram" and histogram.unit == "seconds", "a histogram")
    for name, family in first.items():
        if family.type not in ("counter", "histogram"):
            continue
        now = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in second[name].samples}
        for s in family.samples:
            guest.require(now[(s.name, tuple(sorted(s.labels.items())))] >= s.value,
                          f"{s.name} {s.labels} falls")


def test():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        commands()
        events()
        slow_subscriber()
        stale_and_foreign()
        metrics()


guest.main(test)
