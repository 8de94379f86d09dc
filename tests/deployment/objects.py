"""Kubernetes objects as they would be applied, and the references between them."""

import pathlib

import yaml

# Kinds that have pods.
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def load(text):
    return [each for each in yaml.safe_load_all(text) if each]


def load_file(path):
    return load(pathlib.Path(path).read_text())


def told(each):
    """An object's name in findings."""
    return f"{each['kind']}/{each['metadata']['name']}"


def kinds(objects, *wanted):
    return [each for each in objects if each["kind"] in wanted]


def find(objects, kind, name):
    return next((each for each in kinds(objects, kind) if each["metadata"]["name"] == name), None)


def labels(each):
    return each["metadata"].get("labels", {})


def template(workload):
    return workload["spec"]["template"]


def pod_labels(workload):
    return template(workload)["metadata"].get("labels", {})


def pod(workload):
    return template(workload)["spec"]


def containers(workload):
    return pod(workload).get("initContainers", []) + pod(workload)["containers"]


def selects(selector, found):
    """Returns whether a label selector (`matchLabels`, `matchExpressions`) selects these labels."""
    for name, value in selector.get("matchLabels", {}).items():
        if found.get(name) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        value, values = found.get(expression["key"]), expression.get("values", [])
        fits = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[expression["operator"]]
        if not fits:
            return False
    return True


def selected(objects, selector, *wanted):
    """The workloads whose pods a label selector selects."""
    found = kinds(objects, *(wanted or WORKLOADS))
    return [each for each in found if selects(selector, pod_labels(each))]


def ports(workload):
    return {
        port["name"]: port["containerPort"]
        for container in containers(workload)
        for port in container.get("ports", [])
    }


def texts(value, path=""):
    """All texts below a value, with their paths."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from texts(below, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from texts(below, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, value
