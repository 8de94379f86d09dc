"""Starts the real binary with exactly the settings of the deployments.

What has to be otherwise on one machine is said in `overrides`: who listens where, and where others
are. The rest is what the manifests say, and a Secret's values are a test's.
"""

import collections
import concurrent.futures
import os
import subprocess
import tomllib

import compose
import routes
import secrets_kept
from objects import containers, kinds, told

# An address on which no server listens.
NOWHERE = "127.0.0.1:9"

# A process to start: its name in findings, its arguments, and the requests that it gets.
Start = collections.namedtuple("Start", "told args variables files overrides sent")


def of_tests(name, otherwise):
    return os.environ.get(f"TEST_{name}", otherwise)


def elsewhere(variables, files, database):
    """The values of settings on this machine, for those that are set at all."""
    file = tomllib.loads("".join(files.values()))
    said = {*variables, *(f"FILESERVER_{name.upper()}" for name in file)}
    here = {
        "FILESERVER_DATABASE_URL": database,
        "FILESERVER_DATABASE_REPLICAS": f"mysql://nobody:nothing@{NOWHERE}/files",
        "FILESERVER_REDIS_URL": of_tests("REDIS_URL", f"redis://{NOWHERE}"),
        "FILESERVER_TRANSFER_BROKER": of_tests("AMQP_URL", f"amqp://guest:guest@{NOWHERE}"),
        "FILESERVER_OTLP_ENDPOINT": f"http://{NOWHERE}",
    }
    here = {name: value for name, value in here.items() if name in said}
    stores = [f"FILESERVER_STORES_{name.upper()}_ENDPOINT" for name in file.get("stores", {})]
    for name in [*variables, *stores]:
        if name.startswith("FILESERVER_STORES_") and name.endswith("_ENDPOINT"):
            here[name] = f"http://{NOWHERE}"
    if "FILESERVER_STORES_CEPH_ENDPOINT" in stores and "TEST_S3_ENDPOINT" in os.environ:
        here["FILESERVER_STORES_CEPH_ENDPOINT"] = os.environ["TEST_S3_ENDPOINT"]
        here["FILESERVER_STORES_CEPH_BUCKET"] = os.environ["TEST_S3_BUCKET"]
    return here


def secrets():
    """The operator's Secret in a test; the addresses of servers come from `elsewhere`."""
    key = os.urandom(32).hex
    return {
        "database-url": "mysql://nobody@nowhere/files",
        "database-replicas": "mysql://nobody@nowhere/files,mysql://nobody@nowhere/files",
        "redis-url": "redis://nowhere",
        "broker-url": "amqp://nowhere",
        "cursor-key": key(),
        "link-keys": f"{key()},{key()}",
        "ceph-access-key": of_tests("S3_ACCESS_KEY", "nobody"),
        "ceph-secret-key": of_tests("S3_SECRET_KEY", "nothing"),
        "oss-access-key-id": "nobody",
        "oss-access-key-secret": "nothing",
    }


def overlay_findings(overlay, objects, contract, program):
    """Runs the job that makes the schema, and starts a pod of each Deployment."""
    database = make_database(overlay)
    values = secrets()
    sent = routes.routed(objects, contract)
    image = compose.image_variables()
    starts = {"Job": [], "Deployment": []}
    for kind, into in starts.items():
        for workload in kinds(objects, kind):
            for container in containers(workload):
                variables, files = secrets_kept.given(objects, workload, container, values)
                into.append(
                    Start(
                        told(workload), container["args"], image | variables, files,
                        elsewhere(variables, files, database),
                        sent.get(workload["metadata"]["name"], []),
                    )
                )
    # The primary store is Ceph, or a disk: a pod is ready if the tests' servers are there.
    ready = [200] if "TEST_S3_ENDPOINT" in os.environ else [200, 503]
    yield from findings(overlay, starts["Job"], starts["Deployment"], program, ready)


def compose_findings(path, contract, program):
    """The same with the service's containers in the compose file."""
    database = make_database("compose")
    described = compose.load(path)
    folder = program.folder / "secrets"
    subprocess.run([path.parent / "make-secrets", folder], check=True, stdout=subprocess.DEVNULL)
    image = compose.image_variables()
    jobs, services = [], []
    everything = [(method, sent) for method, sent, _ in routes.operations(contract)]
    for name, service in compose.services(described):
        yield from compose.secret_findings(name, service, folder)
        # A script is not run here; its settings are checked.
        args = ["openapi"] if "entrypoint" in service else compose.command(service)
        variables = {
            each: value.replace(compose.SECRETS, str(folder))
            for each, value in compose.environment(service).items()
        }
        has = routes.roles({"args": args})
        # nginx, or another proxy, sends everything to all replicas.
        sent = [] if has == ["worker"] else everything
        start = Start(name, args, image | variables, {}, elsewhere(variables, {}, database), sent)
        (services if args[0] in ("serve", "worker") else jobs).append(start)
        yield from health_findings(name, service, program)
    if not services:
        yield "none of its containers is the service's"
    yield from findings("compose", jobs, services, program, [200, 503])


def health_findings(name, service, program):
    """The health checks use a subcommand that the binary has."""
    test = service.get("healthcheck", {}).get("test", [])
    if test[:2] == ["CMD", "fileserver"]:
        asked = subprocess.run([program.binary, *test[2:], "--help"], capture_output=True, text=True)
        if asked.returncode != 0:
            yield f"{name}: {asked.stderr.strip()}"


def findings(place, jobs, services, program, ready):
    for each in jobs:
        refused = program.run(f"{place}-{each.told}", each.args, each.variables, each.files, each.overrides)
        if refused:
            yield f"{each.told} fails: {refused}"
            return
    loopback = {"FILESERVER_LISTEN": "127.0.0.1:0"}
    servers = []
    try:
        for each in services:
            overrides = each.overrides | loopback
            server = program.start(f"{place}-{each.told}", each.args, each.variables, each.files, overrides)
            servers.append(server)
        for each, server in zip(services, servers, strict=True):
            refused = server.await_start()
            if refused:
                yield f"{each.told} does not start: {refused}"
                continue
            for finding in served_findings(server, each.sent, ready):
                yield f"{each.told} {finding}"
    finally:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda server: server.stop(), servers))


def served_findings(server, sent, ready):
    """A process answers the probes, and its requests, which have no credentials."""
    for probe, good in (("/healthz", [200]), ("/readyz", ready)):
        status, body = server.ask("GET", probe)
        if status not in good:
            yield f"answers {probe} with {status}: {body}"
    for method, path in sent:
        status, body = server.ask(method, path)
        # Such a request fails for lack of credentials, or of a body.
        if status in (405, 421) or status >= 500 and path not in routes.INTERNAL or "no-such-resource" in body:
            yield f"is sent {method} {path}, and does not serve it: {status} {body}"


def make_database(name):
    """A database of its own on the tests' server."""
    url = os.environ["TEST_MYSQL_URL"].rstrip("/")
    who, _, where = url.removeprefix("mysql://").rpartition("@")
    user, _, password = who.partition(":")
    host, _, port = where.partition(":")
    name = f"deployment_{os.getpid()}_{name}"
    subprocess.run(
        ["mariadb", "--no-defaults", f"--user={user}", f"--host={host}", f"--port={port}",
         "--protocol=tcp", "--execute", f"CREATE OR REPLACE DATABASE {name} CHARACTER SET utf8mb4"],
        env={**os.environ, "MYSQL_PWD": password}, check=True,
    )
    return f"{url}/{name}"
