"""progress_strangers.py URL CA TOKEN_FILE PID: all kinds of strangers at the operator's port for progress; whoever has something to tell
is heard meanwhile, and the operator PID does not grow. Ends with 1 and says what is wrong."""
import json
import os
import pathlib
import resource
import socket
import ssl
import sys
import time
import urllib.parse

url, ca, token_file, pid = sys.argv[1:]
parts = urllib.parse.urlsplit(url)
context = ssl.create_default_context(cafile=ca)
token = pathlib.Path(token_file).read_text().strip()
problems = []
good = json.dumps({"trainerStatus": {"progressPercentage": 10, "lastUpdatedTime": "2026-01-02T03:04:05Z"}}).encode()


def check(what, true):
    if not true:
        problems.append(what)


def connect(tls=True):
    plain = socket.create_connection((parts.hostname, parts.port), timeout=10)
    return context.wrap_socket(plain, server_hostname=parts.hostname) if tls else plain


def hear(connection):
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return answer.decode()


def ask(body=good, path=parts.path, headers=None, method="POST", length=None):
    with connect() as connection:
        lines = [f"{method} {path} HTTP/1.1", f"Authorization: Bearer {token}", f"Content-Length: {len(body) if length is None else length}",
                 *(headers or []), "", ""]
        try:
            connection.sendall("\r\n".join(lines).encode() + body)
        except OSError:
            pass
        return hear(connection)


def code(answer):
    return answer.split(" ")[1] if answer.startswith("HTTP/1.1 ") else "none"


def rss():
    return int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")).split()[1]) // 1024


check("a good report", code(ask()) == "200")
before = rss()

# One of each kind.
with connect(tls=False) as plain:
    plain.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    check("plaintext gets no answer", hear(plain) == "")
with connect(tls=False) as garbled:
    garbled.sendall(b"\x16\x03\x01\x02\x00" + b"garbage" * 100)
    check("a garbled handshake gets no page", "HTTP" not in hear(garbled))
with connect() as nonsense:
    nonsense.sendall(b"nonsense\r\n\r\n")
    check("what is no HTTP is told so", code(hear(nonsense)) == "400")
with connect() as head:
    try:
        head.sendall(b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 20000)
    except OSError:
        pass
    check("a head without end gets no 200", code(hear(head)) != "200")
check("a body that is too long: 413", code(ask(b"x" * 65537)) == "413")
check("one that would be far too long: 413", code(ask(b"", length=10**12)) == "413")
check("a length that is none: 400", code(ask(b"", length="-5")) == "400")
check("chunks: 411", code(ask(b"", headers=["Transfer-Encoding: chunked"])) == "411")
check("the largest body is read", code(ask(b" " * (65536 - len(good)) + good)) == "200")
with connect() as careful:  # as curl with large bodies
    careful.sendall(f"POST {parts.path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(good)}\r\nExpect: 100-continue\r\n\r\n"
                    .encode())
    check("whoever asks first may go on", b"100 Continue" in careful.recv(100))
    careful.sendall(good)
    check("and is heard", code(hear(careful)) == "200")
check("GET: 405", code(ask(method="GET")) == "405")
check("another path: 404", code(ask(path="/")) == "404")
check("no JSON: 422", code(ask(b"{")) == "422")
answer = ask(good.replace(b"10", b"-10"))
check("the field is named", code(answer) == "422" and "trainerStatus.progressPercentage" in answer)
other = parts.path.split("/")
other[-2] = "0000-" + other[-2]
check("another object's path with this token: 403", code(ask(path="/".join(other))) == "403")
gone = parts.path.replace("/bert/", "/gone/")
check("an object that is not there: 404", code(ask(path=gone)) == "404")
real, token = token, "wrong"
check("a wrong token: 403", code(ask()) == "403")
check("and no word of what is there", ask().split("\r\n\r\n")[1] == ask(path=gone).split("\r\n\r\n")[1])
token = real

# Thousands of each kind that come and stay; whoever has something to tell waits no longer than programs do.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
slowest = 0.0
for kind, said in {"silent": b"", "half a handshake": b"\x16\x03\x01\x02", "plaintext": b"GET / HTTP/1.1\r\n"}.items():
    crowd = []
    for i in range(2000):
        try:
            stranger = connect(tls=False)
            stranger.sendall(said)
            crowd.append(stranger)
        except OSError:
            pass
        if i % 200 == 0:
            begin = time.monotonic()
            check(f"a report among {i} strangers, {kind}", code(ask()) == "200")
            slowest = max(slowest, time.monotonic() - begin)
    for stranger in crowd:
        stranger.close()
crowd = []
for i in range(300):  # who have got through the handshake, and then say nothing, or not all
    try:
        crowd.append(connect())
        crowd[-1].sendall(b"POST / HTTP/1.1\r\n")
    except OSError:
        pass
begin = time.monotonic()
check("a report among 300 slow ones", code(ask()) == "200")
slowest = max(slowest, time.monotonic() - begin)
begin = time.monotonic()
slow = crowd[-1]
slow.settimeout(15)
check("a slow one is cut off", hear(slow) == "" and time.monotonic() - begin < 12)
with connect(tls=False) as silent:
    silent.settimeout(15)
    begin = time.monotonic()
    check("a silent one, too", hear(silent) == "" and time.monotonic() - begin < 12)
for stranger in crowd:
    stranger.close()
check("a report after all of them", code(ask()) == "200")
check(f"a report took {slowest:.2f} s", slowest < 5)
after = rss()
if os.environ.get("MUSTER_TIMEOUT_FACTOR", "1") == "1":  # the memory of a sanitizer is not ours
    check(f"the operator has grown from {before} to {after} MiB", after < before + 24)
print(f"slowest report {slowest * 1000:.0f} ms; resident {before} MiB before, {after} MiB after 6300 strangers")
print("\n".join(problems))
sys.exit(1 if problems else 0)
