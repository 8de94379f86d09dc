"""Checks what is deployed: rendered Kubernetes objects, and the compose file.

    check.py RENDERED_FOLDER BINARY SCRATCH_FOLDER

TEST_MYSQL_URL and, if there are such, TEST_AMQP_URL, TEST_REDIS_URL and TEST_S3_... name real
servers that the pods are started with.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

import compose
import routes
import rules
import secrets_kept
from objects import WORKLOADS, containers, kinds, load_file, told
from program import Program

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "docker" / "kubernetes"
COMPOSE = ROOT / "docker" / "compose.yaml"
GUIDE = ROOT / "docs" / "kubernetes.md"

# The oldest release of Kubernetes that it is meant for, and the newest that the validator knows.
RELEASES = ("1.31", "1.37")

# What is described by custom resources, which the validator does not know.
CUSTOM = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")

NOWHERE = "127.0.0.1:9"

# How what is rendered with optional components is called.
OPTIONAL = "with-"


def schema_findings(objects):
    for each in objects:
        if each["apiVersion"].startswith(CUSTOM):
            continue
        for release in RELEASES:
            try:
                kubernetes_validate.validate(each, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{told(each)}: {error.message} ({release})"


def own_findings(objects, contract):
    """What is wrong beyond the schema, without running anything."""
    yield from rules.findings(objects)
    yield from secrets_kept.findings(objects)
    yield from routes.findings(objects, contract)
    yield from guide_findings(objects)


def guide_findings(objects):
    """The guide tells of each secret that is asked for."""
    guide = GUIDE.read_text()
    asked = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for workload in kinds(objects, *WORKLOADS)
        for container in containers(workload)
        for variable in container.get("env", [])
        if "valueFrom" in variable
    }
    for key in sorted(asked):
        if f"    {key}=" not in guide:
            yield f"{GUIDE.name} does not tell of the secret {key}"


def test_secrets(database):
    """What the operator's Secret has, in a test."""
    key = os.urandom(32).hex
    return {
        "database-url": database,
        "database-replicas": f"mysql://nobody:nothing@{NOWHERE}/files",
        "redis-url": os.environ.get("TEST_REDIS_URL", f"redis://{NOWHERE}"),
        "broker-url": os.environ.get("TEST_AMQP_URL", f"amqp://guest:guest@{NOWHERE}"),
        "cursor-key": key(),
        "link-keys": f"{key()},{key()}",
        "ceph-access-key": os.environ.get("TEST_S3_ACCESS_KEY", "nobody"),
        "ceph-secret-key": os.environ.get("TEST_S3_SECRET_KEY", "nothing"),
        "oss-access-key-id": "nobody",
        "oss-access-key-secret": "nothing",
    }


def overrides(files):
    """What has to be otherwise on one machine: who listens where, and where others are."""
    said = {"FILESERVER_LISTEN": "127.0.0.1:0"}
    text = "".join(files.values())
    if "[stores.ceph]" in text:
        said["FILESERVER_STORES_CEPH_ENDPOINT"] = os.environ.get("TEST_S3_ENDPOINT", f"http://{NOWHERE}")
        said["FILESERVER_STORES_CEPH_BUCKET"] = os.environ.get("TEST_S3_BUCKET", "files")
    if "[stores.oss]" in text:
        said["FILESERVER_STORES_OSS_ENDPOINT"] = f"http://{NOWHERE}"
    if "otlp_endpoint" in text:
        said["FILESERVER_OTLP_ENDPOINT"] = f"http://{NOWHERE}"
    return said


def running_findings(name, objects, contract, program, database):
    """Starts what an overlay would, first the job and then the pods, with what they are given."""
    secrets = test_secrets(database)
    for job in kinds(objects, "Job"):
        for container in containers(job):
            variables, files = secrets_kept.given(objects, job, container, secrets)
            place = f"{name}-{job['metadata']['name']}"
            refused = program.run(place, container["args"], variables, files, {})
            if refused:
                yield f"{told(job)} fails: {refused}"
                return
    sent = routes.routed(objects, contract)
    servers = []
    try:
        for workload in kinds(objects, "Deployment"):
            for container in containers(workload):
                variables, files = secrets_kept.given(objects, workload, container, secrets)
                place = f"{name}-{workload['metadata']['name']}"
                server = program.start(place, container["args"], variables, files, overrides(files))
                servers.append((workload, server))
        for workload, server in servers:
            refused = server.await_start()
            if refused:
                yield f"{told(workload)} does not start: {refused}"
                continue
            yield from served_findings(workload, server, sent.get(workload["metadata"]["name"], []))
    finally:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda it: it[1].stop(), servers))


def served_findings(workload, server, sent):
    """A pod answers the probes, and what it is sent; credentials it has none of."""
    for probe, good in (("/healthz", [200]), ("/readyz", [200])):
        status, body = server.ask("GET", probe)
        if status not in good:
            yield f"{told(workload)}: {probe} is {status}: {body}"
    for method, path in sent:
        status, body = server.ask(method, path)
        known = "no-such-resource" not in body and "misdirected" not in body
        if status in (405, 421, 500, 501) or not known:
            yield f"{told(workload)} is sent {method} {path}, and does not serve it: {status} {body}"


def compose_findings(program):
    found = compose.load(COMPOSE)
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True, text=True,
    )
    if checked.returncode != 0:
        yield f"compose.yaml: {checked.stdout}{checked.stderr}"
    values = {}
    some = False
    for name, service in compose.services(found):
        some = True
        variables = compose.environment(service, values)
        refused = program.refusal(f"compose-{name}", compose.command(service, values), variables, {}, {})
        if refused:
            yield f"compose.yaml, {name}: {refused}"
    if not some:
        yield "compose.yaml has no container of the service's"


def make_database(url, name):
    """A database of its own on the tests' server."""
    rest = url.removeprefix("mysql://")
    who, _, where = rest.rpartition("@")
    user, _, password = who.partition(":")
    host, _, port = where.partition(":")
    subprocess.run(
        ["mariadb", "--no-defaults", f"--user={user}", f"--host={host}", f"--port={port}",
         "--protocol=tcp", "--execute", f"CREATE OR REPLACE DATABASE {name} CHARACTER SET utf8mb4"],
        env={**os.environ, "MYSQL_PWD": password}, check=True,
    )
    return f"{url.rstrip('/')}/{name}"


def main():
    rendered, binary, scratch = map(pathlib.Path, sys.argv[1:])
    contract = yaml.load((ROOT / "openapi.yaml").read_text(), yaml.CSafeLoader)
    program = Program(binary.resolve(), scratch)
    wrong = list(secrets_kept.tree_findings(DEPLOYED))
    for path in sorted(rendered.glob("*.yaml")):
        objects = load_file(path)
        found = [*schema_findings(objects), *own_findings(objects, contract)]
        # What is optional has no pods of its own.
        if not path.stem.startswith(OPTIONAL):
            database = make_database(os.environ["TEST_MYSQL_URL"], f"deployment_{os.getpid()}_{path.stem}")
            found += running_findings(path.stem, objects, contract, program, database)
        wrong += [f"{path.stem}: {each}" for each in found]
        print(f"{path.stem}: {len(objects)} objects, {len(found)} findings", flush=True)
    wrong += compose_findings(program)
    for each in wrong:
        print(each, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
