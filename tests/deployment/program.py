"""The real binary, started with the settings of a container."""

import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

STARTED_WITHIN = 30


class Program:
    """A binary, and a folder for its data."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)

    def prepared(self, name, variables, files, overrides):
        """A folder and an environment like a container's, without anything of the test's environment."""
        place = self.folder / name.replace("/", "-")
        place.mkdir(parents=True)
        variables = dict(variables)
        config = variables.get("FILESERVER_CONFIG")
        # If nothing is mounted there, the binary reports it.
        if config in files:
            path = place / "fileserver.toml"
            path.write_text(files[config])
            variables["FILESERVER_CONFIG"] = str(path)
        variables |= {"FILESERVER_DATA_DIR": str(place / "data"), **overrides}
        return place, variables

    def run(self, name, args, variables, files, overrides):
        """Runs it to its end, and returns its error output if it fails."""
        place, variables = self.prepared(name, variables, files, overrides)
        ended = subprocess.run(
            [self.binary, *args], env=variables, cwd=place,
            capture_output=True, text=True, timeout=300,
        )
        return None if ended.returncode == 0 else ended.stderr.strip()

    def start(self, name, args, variables, files, overrides):
        place, variables = self.prepared(name, variables, files, overrides)
        return Server(name, [self.binary, *args], variables, place)


class Server:
    """A running process of the service."""

    def __init__(self, name, command, variables, place):
        self.name, self.log = name, place / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=variables, cwd=place, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )
        self.address = None

    def await_start(self):
        """Waits until it listens; returns its log if it does not."""
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline:
            found = re.search(r'"address":"([^"]+)"', self.log.read_text())
            if found:
                self.address = found[1]
                return None
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        return self.log.read_text().strip()[-2000:] or "it says nothing"

    def ask(self, method, path):
        """The status and the body of an answer."""
        request = urllib.request.Request(f"http://{self.address}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read(65536).decode(errors="replace")
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read(65536).decode(errors="replace")

    def stop(self):
        """Sends SIGTERM twice, so that it stops at once."""
        for _ in range(2):
            if self.process.poll() is None:
                os.kill(self.process.pid, signal.SIGTERM)
                time.sleep(0.2)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
