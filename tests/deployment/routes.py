"""Clients reach their operations, at a pod with the right role, and nothing else."""

import re

from objects import containers, find, kinds, selected, told

# Operations for the cluster, which clients must not reach.
INTERNAL = ("/healthz", "/readyz", "/metrics")

# Pages for people, which are not in the contract.
PAGES = [("GET", "/swagger-ui/", "any")]

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")

SAMPLES = {
    "{file_sha1}": "22596363b3de40b06f981fb85d82312e8c0ed511",
    "{link_token}": "token",
    "{upload_id}": "0123456789abcdef0123456789abcdef",
    "{claim_id}": "0123456789abcdef0123456789abcdef",
    "{transfer_id}": "1",
}

# The annotations that ingress-nginx needs.
PASSING = {
    "proxy-body-size": "0",
    "proxy-request-buffering": "off",
    "use-regex": "true",
}
LEAST_TIMEOUTS = ("proxy-read-timeout", "proxy-send-timeout")
NGINX = "nginx.ingress.kubernetes.io/"


def operations(contract):
    """Method, path as a client would send it, and role of each operation of the contract."""
    for path, methods in contract["paths"].items():
        sent = path
        for name, sample in SAMPLES.items():
            sent = sent.replace(name, sample)
        assert "{" not in sent, f"no sample for {path}"
        for method, operation in methods.items():
            if method in METHODS:
                yield method.upper(), sent, operation["x-role"]


class Routes:
    """The Service that a path is routed to."""

    def __init__(self, objects):
        self.rules = []
        for each in kinds(objects, "Ingress"):
            for rule in each["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    service = path["backend"]["service"]
                    # ingress-nginx: case does not count, and the longest pattern comes first.
                    pattern = re.compile("^" + path["path"], re.IGNORECASE)
                    port = service["port"]
                    port = port.get("name", port.get("number"))
                    self.rules.append((-len(path["path"]), pattern, told(each), service["name"], port))
        for each in kinds(objects, "HTTPRoute"):
            for rule in each["spec"]["rules"]:
                for match in rule["matches"]:
                    kind, value = match["path"]["type"], match["path"]["value"]
                    # The Gateway API: exact, then regular expressions in this order, then prefixes.
                    order, pattern = {
                        "Exact": (-3000, re.escape(value) + "$"),
                        "RegularExpression": (-2000, value + "$"),
                        "PathPrefix": (-len(value), re.escape(value) + "(/|$)"),
                    }[kind]
                    for backend in rule["backendRefs"]:
                        self.rules.append(
                            (order, re.compile("^" + pattern), told(each), backend["name"], backend["port"])
                        )
        self.rules.sort(key=lambda rule: rule[0])

    def find(self, path):
        return next((rule[3] for rule in self.rules if rule[1].match(path)), None)


def workload_of(objects, service):
    found = find(objects, "Service", service)
    taken = selected(objects, {"matchLabels": found["spec"]["selector"]}) if found else []
    return taken[0] if len(taken) == 1 else None


def routed(objects, contract):
    """The operations that are routed to each workload, by its name."""
    routes = Routes(objects)
    sent = {}
    for method, path, _ in [*operations(contract), *PAGES]:
        service = routes.find(path)
        workload = service and workload_of(objects, service)
        if workload:
            sent.setdefault(workload["metadata"]["name"], []).append((method, path))
    return sent


def findings(objects, contract):
    routes = Routes(objects)
    for _, _, source, service, port in routes.rules:
        found = find(objects, "Service", service)
        known = {key for each in found["spec"]["ports"] for key in (each["name"], each["port"])} if found else ()
        if port not in known:
            yield f"{source} leads to {service}:{port}, which there is not"
        elif workload_of(objects, service) is None:
            yield f"{source} leads to {service}, which is not one workload"
    for path in INTERNAL:
        if routes.find(path):
            yield f"{path} is open to clients"
    for method, path, _ in [*operations(contract), *PAGES]:
        if path not in INTERNAL and routes.find(path) is None:
            yield f"{method} {path} leads nowhere"
    yield from misdirected(objects, contract, routes)
    for each in kinds(objects, "Ingress"):
        said = each["metadata"].get("annotations", {})
        for name, value in PASSING.items():
            if said.get(NGINX + name) != value:
                yield f"{told(each)}: {name} is not {value}"
        for name in LEAST_TIMEOUTS:
            if int(said.get(NGINX + name, 60)) < 300:
                yield f"{told(each)}: {name} is too short for the end of a large upload"
        if "non_idempotent" in said.get(NGINX + "proxy-next-upstream", ""):
            yield f"{told(each)}: an upload may be sent twice"
        if not each["spec"].get("ingressClassName"):
            yield f"{told(each)} has no class"
        hosts = {rule.get("host") for rule in each["spec"]["rules"]}
        secured = {host for tls in each["spec"].get("tls", []) for host in tls["hosts"]}
        if hosts != secured:
            yield f"{told(each)} is not by TLS only"
    yield from let_in(objects)


def misdirected(objects, contract, routes):
    """Each operation belongs to a role, its `x-role`; processes without it answer 421."""
    for method, path, role in operations(contract):
        service = routes.find(path)
        workload = service and workload_of(objects, service)
        if not workload or role == "any":
            continue
        for container in containers(workload):
            has = roles(container)
            if has and role not in has:
                said = ", ".join(has)
                yield f"{told(workload)} is sent {method} {path}, and has the roles {said}, not {role}"


def roles(container):
    """The roles that a container has, or none if it has all."""
    args = container["args"]
    return args[args.index("--role") + 1].split(",") if "--role" in args else []


def let_in(objects):
    """The network policies let requests through to each workload that gets them."""
    policy = find(objects, "NetworkPolicy", "from-ingress")
    open_to = selected(objects, policy["spec"]["podSelector"]) if policy else []
    for _, _, source, service, _ in Routes(objects).rules:
        workload = workload_of(objects, service)
        if workload and workload not in open_to:
            yield f"{source} leads to {told(workload)}, which the network is closed to"
