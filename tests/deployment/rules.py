"""The project's rules for all objects, beyond the schema. Each rule returns its findings."""

import re

from objects import (
    COMPONENT, NAME, WORKLOADS, containers, find, kinds, labels, pod, pod_labels, ports, selected,
    selects, told,
)

# Kubernetes' objects that belong to no namespace.
CLUSTERED = ("Namespace",)

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

PROBES = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}

# The time until a process has ended, in addition to draining and finishing.
TO_END = 10

MIB = 1 << 20
# The memory of a process without any requests or copies.
AT_REST = 192 * MIB
# The setting's default.
REQUEST_MEMORY = "256MiB"


def objects_are_named(objects):
    for each in objects:
        if each["kind"] not in CLUSTERED and each["metadata"].get("namespace") is None:
            yield f"{told(each)} has no namespace"
        if labels(each).get("app.kubernetes.io/part-of") != "fileserver":
            yield f"{told(each)} is not labelled as a part of fileserver"
        if each["kind"] in (*WORKLOADS, "Service", "PodDisruptionBudget") and not (
            labels(each).get(NAME) and labels(each).get(COMPONENT)
        ):
            yield f"{told(each)} lacks the label {NAME} or {COMPONENT}"


def pods_have_little_power(objects):
    for each in kinds(objects, *WORKLOADS):
        spec = pod(each)
        security = spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{told(each)} may run as root"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{told(each)} may make any system call"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{told(each)} gets a token of the cluster"
        if find(objects, "ServiceAccount", spec.get("serviceAccountName")) is None:
            yield f"{told(each)} has a service account that there is not"
        # FILESERVER_SERVICE_HOST and the like are no settings, and would stop the start.
        if spec.get("enableServiceLinks") is not False:
            yield f"{told(each)} gets a variable for each Service"
        for container in containers(each):
            if container.get("securityContext") != RESTRICTED:
                yield f"{told(each)}: {container['name']} has more power than it needs"


def containers_are_bounded(objects):
    for each in kinds(objects, *WORKLOADS):
        for container in containers(each):
            said = f"{told(each)}: {container['name']}"
            if not re.fullmatch(r"[^:@]+(:\d+/[^:@]+)?(:[\w][\w.-]*|@sha256:[0-9a-f]{64})",
                                container["image"]):
                yield f"{said} has an image without a tag, {container['image']}"
            if container["image"].endswith(":latest"):
                yield f"{said} has an image that changes, {container['image']}"
            resources = container.get("resources", {})
            for bound in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    if resource not in resources.get(bound, {}):
                        yield f"{said} has no {bound} of {resource}"


def servers_are_probed(objects):
    for each in kinds(objects, "Deployment", "StatefulSet"):
        for container in containers(each):
            for probe, path in PROBES.items():
                asked = container.get(probe, {}).get("httpGet", {})
                if asked.get("path") != path or asked.get("port") not in ports(each):
                    yield f"{told(each)}: {container['name']} has no {probe} at {path}"


def pods_may_finish(objects):
    for each in kinds(objects, "Deployment", "StatefulSet"):
        for container in containers(each):
            said = {name: value for name, value in plain_variables(container)}
            needed = [said.get(f"FILESERVER_{name}") for name in ("DRAIN", "SHUTDOWN_TIMEOUT")]
            if None in needed:
                yield f"{told(each)} does not say how it is stopped"
                continue
            needed = sum(map(int, needed)) + TO_END
            if pod(each).get("terminationGracePeriodSeconds", 30) < needed:
                yield f"{told(each)} is killed before it can have ended, which takes {needed} s"


def plain_variables(container):
    return [(it["name"], it["value"]) for it in container.get("env", []) if "value" in it]


def memory_is_enough(objects):
    """The bytes of uploads, downloads and copies are in memory, up to a setting."""
    for each in kinds(objects, "Deployment"):
        for container in containers(each):
            said = dict(plain_variables(container))
            of_requests = said.get("FILESERVER_REQUEST_MEMORY", REQUEST_MEMORY)
            limit = container.get("resources", {}).get("limits", {}).get("memory", "0Mi")
            limit = int(limit[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[limit[-2:]]
            needed = int(of_requests.removesuffix("MiB")) * MIB + AT_REST
            if limit < needed:
                yield f"{told(each)} may take {needed // MIB} MiB, and has {limit // MIB}"


def volumes_are_there(objects):
    for each in kinds(objects, *WORKLOADS):
        volumes = {volume["name"]: volume for volume in pod(each).get("volumes", [])}
        mounted = {
            mount["name"] for one in containers(each) for mount in one.get("volumeMounts", [])
        }
        if mounted != set(volumes):
            yield f"{told(each)} mounts {sorted(mounted)}, and has {sorted(volumes)}"
        for name, volume in volumes.items():
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{told(each)}: the volume {name} may fill its node"
            config = volume.get("configMap", {}).get("name")
            if config and find(objects, "ConfigMap", config) is None:
                yield f"{told(each)}: there is no ConfigMap {config}"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and find(objects, "PersistentVolumeClaim", claim) is None:
                yield f"{told(each)}: there is no PersistentVolumeClaim {claim}"
            if claim and each["spec"].get("strategy", {}).get("type") != "Recreate":
                yield f"{told(each)} would have two pods on one volume while it is replaced"
            if claim and each["spec"].get("replicas") != 1:
                yield f"{told(each)} does not say that there is one pod for the volume"


def selectors_select(objects):
    workloads = kinds(objects, "Deployment", "StatefulSet")
    for each in workloads:
        taken = selected(objects, each["spec"]["selector"])
        if taken != [each]:
            yield f"{told(each)} selects the pods of {list(map(told, taken))}"
    for each in kinds(objects, "Service"):
        taken = selected(objects, {"matchLabels": each["spec"]["selector"]})
        if not taken:
            yield f"{told(each)} selects no pods"
        for workload in taken:
            for port in each["spec"]["ports"]:
                if port.get("targetPort") not in ports(workload):
                    yield f"{told(each)}: {told(workload)} has no port {port.get('targetPort')}"


def replicated_workloads_scale_and_stay(objects):
    for each in kinds(objects, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        workload = find(objects, target["kind"], target["name"])
        if workload is None:
            yield f"{told(each)} scales {target['name']}, which there is not"
            continue
        if "replicas" in workload["spec"]:
            yield f"{told(workload)} says how many there are, and so does {told(each)}"
        if not 2 <= each["spec"].get("minReplicas", 1) <= each["spec"]["maxReplicas"]:
            yield f"{told(each)} allows for a single pod, or for none"
        if not each["spec"].get("behavior", {}).get("scaleDown", {}).get("policies"):
            yield f"{told(each)} may take all pods away at once"
        rolling = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0:
            yield f"{told(workload)} has fewer pods than it needs while it is replaced"
        if not pod(workload).get("topologySpreadConstraints"):
            yield f"{told(workload)} may have all pods on one node"
        budgets = [
            budget
            for budget in kinds(objects, "PodDisruptionBudget")
            if selects(budget["spec"]["selector"], pod_labels(workload))
        ]
        if len(budgets) != 1:
            yield f"{told(workload)} has {len(budgets)} PodDisruptionBudgets"
    for each in kinds(objects, "PodDisruptionBudget"):
        if len(selected(objects, each["spec"]["selector"])) != 1:
            yield f"{told(each)} is not for one workload"
    for workload in kinds(objects, "Deployment"):
        scaled = [
            each
            for each in kinds(objects, "HorizontalPodAutoscaler")
            if each["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]
        ]
        if not scaled and workload["spec"].get("replicas") != 1:
            yield f"{told(workload)} is not scaled"


def networks_are_closed(objects):
    policies = kinds(objects, "NetworkPolicy")
    if not any(
        each["spec"]["podSelector"] == {}
        and set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
        for each in policies
    ):
        yield "nothing closes the network"
    for each in policies:
        taken = selected(objects, each["spec"]["podSelector"])
        if not taken:
            yield f"{told(each)} is about no pods"
        for way, rules in (("Ingress", "ingress"), ("Egress", "egress")):
            if each["spec"].get(rules) and way not in each["spec"]["policyTypes"]:
                yield f"{told(each)} has rules for {way}, and is not about that"
            for rule in each["spec"].get(rules, []):
                if not rule.get("from", rule.get("to")) or not rule.get("ports"):
                    yield f"{told(each)} lets anybody through, or to any port"
        for rule in each["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                for workload in taken:
                    if port["port"] not in ports(workload):
                        yield f"{told(each)}: {told(workload)} has no port {port['port']}"
    for workload in kinds(objects, *WORKLOADS):
        names = [
            rule
            for each in policies
            if selects(each["spec"]["podSelector"], pod_labels(workload))
            for rule in each["spec"].get("egress", [])
            if {"protocol": "UDP", "port": 53} in rule.get("ports", [])
        ]
        if not names:
            yield f"{told(workload)} may not look names up"


def scrapers_find_pods(objects):
    for each in kinds(objects, "PodMonitor"):
        taken = selected(objects, each["spec"]["selector"])
        serving = kinds(objects, "Deployment")
        if taken != serving:
            yield f"{told(each)} does not scrape all that serves"
        for endpoint in each["spec"]["podMetricsEndpoints"]:
            for workload in taken:
                if endpoint["port"] not in ports(workload):
                    yield f"{told(each)}: {told(workload)} has no port {endpoint['port']}"


def jobs_are_of_a_release(objects):
    tags = {
        container["image"].rpartition(":")[2]
        for each in kinds(objects, "Deployment")
        for container in containers(each)
    }
    if len(tags) != 1:
        yield f"the pods are of several releases: {sorted(tags)}"
    for each in kinds(objects, "Job"):
        if not any(each["metadata"]["name"].endswith(f"-{tag}") for tag in tags):
            yield f"{told(each)} is not called by its release, so that the next cannot be applied"
        if "configMap" in str(pod(each)):
            yield f"{told(each)} has settings, so that it cannot be applied when these change"
        if not each["spec"].get("ttlSecondsAfterFinished"):
            yield f"{told(each)} stays for ever"
    # Otherwise all of them would change the schema at the same time.
    for each in kinds(objects, "Deployment"):
        alone = each["spec"].get("replicas") == 1
        for container in containers(each):
            kept = dict(plain_variables(container)).get("FILESERVER_NO_MIGRATE") == "true"
            if kept == alone:
                yield f"{told(each)}: who changes the schema?"
            if kept and not kinds(objects, "Job"):
                yield f"{told(each)}: nobody changes the schema"


ALL = [
    objects_are_named,
    pods_have_little_power,
    containers_are_bounded,
    servers_are_probed,
    pods_may_finish,
    memory_is_enough,
    volumes_are_there,
    selectors_select,
    replicated_workloads_scale_and_stay,
    networks_are_closed,
    scrapers_find_pods,
    jobs_are_of_a_release,
]


def findings(objects):
    for rule in ALL:
        yield from rule(objects)
