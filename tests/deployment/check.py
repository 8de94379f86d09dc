"""Checks the deployments: rendered Kubernetes objects, and the compose file.

    check.py RENDERED_FOLDER BINARY SCRATCH_FOLDER

TEST_MYSQL_URL and, if there are such, TEST_AMQP_URL, TEST_REDIS_URL and TEST_S3_... name real
servers that the pods are started with.
"""

import pathlib
import sys

import kubernetes_validate
import yaml

import compose
import routes
import rules
import running
import secrets_kept
from objects import WORKLOADS, containers, kinds, load_file, told
from program import Program

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "kubernetes"
COMPOSE = ROOT / "docker" / "compose.yaml"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
GUIDE = ROOT / "docs" / "kubernetes.md"

# The oldest supported release of Kubernetes, and the newest that the validator knows.
RELEASES = ("1.31", "1.37")

# Kinds of custom resources, which the validator does not know.
CUSTOM = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")

# The names of overlays with optional components.
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
    """Findings beyond the schema, without running anything."""
    yield from rules.findings(objects)
    yield from secrets_kept.findings(objects)
    yield from secrets_kept.settings_findings(objects, compose.image_variables())
    yield from routes.findings(objects, contract)
    yield from guide_findings(objects)
    yield from alert_findings(objects)


def alert_findings(objects):
    """The Prometheus operator gets the same rules as Prometheus."""
    alerts = yaml.safe_load(ALERTS.read_text())
    for each in kinds(objects, "PrometheusRule"):
        if each["spec"] != alerts:
            yield f"{told(each)} has other alerts than {ALERTS.relative_to(ROOT)}"


def guide_findings(objects):
    """The guide names each secret that is needed."""
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


def main():
    rendered, binary, scratch = map(pathlib.Path, sys.argv[1:])
    contract = yaml.load((ROOT / "openapi.yaml").read_text(), yaml.CSafeLoader)
    program = Program(binary.resolve(), scratch)
    wrong = list(secrets_kept.tree_findings(DEPLOYED))
    for path in sorted(rendered.glob("*.yaml")):
        objects = load_file(path)
        found = [*schema_findings(objects), *own_findings(objects, contract)]
        # Optional components have no pods of their own.
        if not path.stem.startswith(OPTIONAL):
            found += running.overlay_findings(path.stem, objects, contract, program)
        wrong += [f"{path.stem}: {each}" for each in found]
        print(f"{path.stem}: {len(objects)} objects, {len(found)} findings", flush=True)
    found = [*compose.schema_findings(COMPOSE), *running.compose_findings(COMPOSE, contract, program)]
    wrong += [f"compose.yaml: {each}" for each in found]
    print(f"compose.yaml: {len(found)} findings", flush=True)
    for each in wrong:
        print(each, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
