"""Uploads a file with tuspy, so that the tests have a real client to disturb.

    python upload.py URL FILE MODE

It goes on trying for half a minute when the server is away. After every chunk that the server took
it says `progress BYTES` on standard error, and then waits for SLOW_MS milliseconds; a chunk has
CHUNK_BYTES bytes, unless given 256 KiB. At the end it prints one line of JSON.
"""

import json
import os
import sys
import time

import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

ATTEMPTS = 60
DELAY = 0.5
CHUNK = int(os.environ.get("CHUNK_BYTES", 256 * 1024))
SLOW = float(os.environ.get("SLOW_MS", 0)) / 1000

report = {
    "url": None,
    "location": None,
    "requests": {"POST": 0, "HEAD": 0, "PATCH": 0},
    "bytes_sent": 0,
}
send = requests.Session.send


def watched_send(session, request, **options):
    """Sends a request and counts it: tuspy itself has no hook for that."""
    report["requests"][request.method] += 1
    report["bytes_sent"] += len(request.body or b"")
    response = send(session, request, **options)
    report["location"] = response.headers.get("Content-Location", report["location"])
    if request.method == "PATCH" and response.ok:
        print("progress", response.headers["Upload-Offset"], file=sys.stderr, flush=True)
        time.sleep(SLOW)
    return response


def patiently(act):
    """Retries requests that tuspy does not retry itself: to create an upload, and to read its offset."""
    for _ in range(ATTEMPTS):
        try:
            return act()
        except TusCommunicationError as error:
            # A refusal is final.
            if 400 <= (error.status_code or 0) < 500:
                raise
            time.sleep(DELAY)
    return act()


def begin(client, file, **options):
    """Creates an upload, or resumes the one at `url`."""
    metadata = {
        "filename": os.path.basename(file),
        "filetype": "application/octet-stream",
    }
    uploader = patiently(
        lambda: client.uploader(
            file,
            chunk_size=CHUNK,
            metadata=metadata,
            retries=ATTEMPTS,
            retry_delay=DELAY,
            **options,
        )
    )
    if uploader.url is None:
        uploader.set_url(patiently(uploader.create_url))
    return uploader


def plain(client, file):
    uploader = begin(client, file)
    uploader.upload()
    return uploader.url


def checksum(client, file):
    uploader = begin(client, file, upload_checksum=True)
    uploader.upload()
    return uploader.url


def resume(client, file):
    """Stops after every quarter, and continues with a new uploader."""
    uploader = begin(client, file)
    size = uploader.get_file_size()
    for quarter in (1, 2, 3):
        # tuspy does not stop at offset 0.
        uploader.upload(stop_at=max(1, size * quarter // 4) if size else None)
        uploader = begin(client, file, url=uploader.url)
    uploader.upload()
    return uploader.url


MODES = {"plain": plain, "checksum": checksum, "resume": resume}


def main():
    url, file, mode = sys.argv[1:]
    requests.Session.send = watched_send
    try:
        report["url"] = MODES[mode](TusClient(url), file)
    except Exception as error:  # Whatever it is, the test wants to read it.
        sys.exit(f"{type(error).__name__}: {error} {getattr(error, 'response_content', '')}")
    print(json.dumps(report))


main()
