#!/usr/bin/env python3
"""Measures what one owner's searches cost the others.

    benches/search_load.py FOLDER DATABASE BINARY...

`DATABASE` is `sqlite`, or the URL of an empty database, which is filled once. Each binary of the service
then runs on it, with a data folder in `FOLDER`. One owner has 500,000 entries (`ENTRIES`), and fifty
others have as many together.
"""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

from search_index import MariaDb, Postgres, Sqlite, rows

ENTRIES = int(os.environ.get("ENTRIES", 500_000))
SECONDS = 10
SEARCH = "/files?name=zzzz"


class Service:
    def __init__(self, binary, folder, url):
        self.binary, self.data = binary, os.path.join(folder, "data")
        self.settings = ["--data-dir", self.data, "--database-url", url, "--auth", "token"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        listen = ["--listen", f"127.0.0.1:{self.port}", "--log", "warn", "--no-worker"]
        self.process = subprocess.Popen([binary, "serve", *listen, *self.settings], stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if self.ask("/readyz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        self.tokens = {owner: self.token(owner) for owner in ["alice", "other1"]}

    def token(self, owner):
        make = [self.binary, "token", "create", "--owner", owner, "--scope", "files:read", *self.settings]
        made = subprocess.run(make, check=True, capture_output=True, text=True)
        return made.stdout.strip()

    def ask(self, path, owner=None):
        """The status, the body and the milliseconds of a request."""
        fields = {"Authorization": f"Bearer {self.tokens[owner]}"} if owner else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        began = time.perf_counter()
        connection.request("GET", path, headers=fields)
        answer = connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1000
        connection.close()
        return answer.status, body, took

    def processor_time(self):
        """The processor time of all threads, in milliseconds."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        return total / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait()


def figures(times, statuses):
    refused = sum(status != 200 for status in statuses)
    told = f"{statistics.median(times):.0f} / {max(times):.0f} ms"
    return told + (f", {refused} of {len(statuses)} refused" if refused else "")


def measure(service):
    found = {}
    times = [service.ask(SEARCH, "alice")[2] for _ in range(5)]
    before = service.processor_time()
    service.ask(SEARCH, "alice")
    found["one search request, shortest"] = f"{min(times):.0f} ms"
    found["its processor time"] = f"{service.processor_time() - before:.0f} ms"

    end = time.perf_counter() + SECONDS
    searches = []

    def search():
        while time.perf_counter() < end:
            status, _, took = service.ask(SEARCH, "alice")
            searches.append((status, took))

    threads = [threading.Thread(target=search) for _ in range(20)]
    for thread in threads:
        thread.start()
    others = {"/files": [], "/files/" + "0" * 39 + "1": [], "/readyz": []}
    time.sleep(0.5)
    while time.perf_counter() < end:
        for path, answers in others.items():
            status, _, took = service.ask(path, None if path == "/readyz" else "other1")
            answers.append((status, took))
    for thread in threads:
        thread.join()
    names = ["another owner's first page", "another owner's file", "readiness"]
    for name, (path, answers) in zip(names, others.items()):
        statuses, times = zip(*answers)
        found[f"{name}, while 20 search (median / longest)"] = figures(times, statuses)
    found[f"searches answered in {SECONDS} s"] = str(sum(status == 200 for status, _ in searches))

    before = service.processor_time()
    head = f"GET {SEARCH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.tokens['alice']}\r\n\r\n"
    connections = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(200)]
    for connection in connections:
        connection.sendall(head.encode())
    for connection in connections:
        connection.close()
    began = time.perf_counter()
    found["another owner's first page after 200 searches hung up"] = f"{service.ask('/files', 'other1')[2]:.0f} ms"
    last, idle = service.processor_time(), 0
    while idle < 10:
        time.sleep(0.1)
        now = service.processor_time()
        idle = idle + 1 if now - last < 5 else 0
        last = now
    found["until the service is idle again"] = f"{max(0, time.perf_counter() - began - 1):.1f} s"
    found["processor time of these 200"] = f"{(service.processor_time() - before) / 1000:.2f} s"
    return found


def main():
    folder, where, *binaries = sys.argv[1:]
    if where == "sqlite":
        database = Sqlite(folder)
    elif where.startswith("mysql:"):
        database = MariaDb(where, folder)
    else:
        database = Postgres(where, folder)
    subprocess.run(
        [binaries[0], "migrate", "up", "--database-url", database.url, "--data-dir", folder],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    database.open()
    database.load(rows(0, 2 * ENTRIES, "alice"))
    if where == "sqlite":
        database.db.close()
    measured = []
    for binary in binaries:
        service = Service(binary, folder, database.url)
        try:
            measured.append(measure(service))
        finally:
            service.stop()
    print(f"\n### {database.name}\n")
    for name in measured[0]:
        print(f"| {name} | " + " | ".join(figures[name] for figures in measured) + " |")
    if where == "sqlite":
        os.remove(database.path)
    else:
        database.close()


if __name__ == "__main__":
    main()
