"""No secret is in the deployed files, and each secret is where it is needed."""

import collections
import re
import tomllib

from objects import WORKLOADS, containers, find, kinds, pod, texts, told

# Names of secrets.
NAMES = re.compile(r"(?i)(secret|password|passwd|token|access_key|cursor_key|link_keys?|broker"
                   r"|database_(url|replicas)|redis_url)")
# Values that look like secrets: a key, or a URL with a password.
VALUES = re.compile(r"(?i)(\b[0-9a-f]{64}\b|\w+://[^/\s:@]*:[^/\s@]+@|-----BEGIN)")
ELSEWHERE = re.compile(r"(env|file):")


def settings_files(objects):
    """The settings files in ConfigMaps, by the ConfigMaps' names."""
    for each in kinds(objects, "ConfigMap"):
        for name, text in each.get("data", {}).items():
            if name.endswith(".toml"):
                yield each["metadata"]["name"], name, tomllib.loads(text)


def flat(table, path=""):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}{name}.")
        else:
            for each in value if isinstance(value, list) else [value]:
                yield f"{path}{name}", str(each)


def findings(objects):
    for each in kinds(objects, "Secret"):
        yield f"{told(each)} is among what is applied: secrets are made by whoever operates it"
    for each in objects:
        for path, text in texts(each):
            if VALUES.search(text):
                yield f"{told(each)}: {path} looks like a secret"
    for each in kinds(objects, *WORKLOADS):
        for container in containers(each):
            for variable in container.get("env", []):
                if NAMES.search(variable["name"]) and "value" in variable:
                    yield f"{told(each)}: {variable['name']} is not from a Secret"
    for config, name, said in settings_files(objects):
        asked = {value[4:] for _, value in flat(said) if value.startswith("env:")}
        for path, value in flat(said):
            if NAMES.search(path) and not ELSEWHERE.match(value):
                yield f"ConfigMap/{config}: {path} in {name} stands there"
        for each in kinds(objects, *WORKLOADS):
            if config not in str(pod(each).get("volumes")):
                continue
            for container in containers(each):
                kept = {
                    variable["name"]
                    for variable in container["env"]
                    if "secretKeyRef" in variable.get("valueFrom", {})
                }
                for missing in sorted(asked - kept):
                    yield f"{told(each)} lacks {missing}, which {name} asks for"
                own = {one for one in kept if not one.startswith("FILESERVER_")}
                for needless in sorted(own - asked):
                    yield f"{told(each)} is given {needless}, which nothing asks for"


def settings_findings(objects, image):
    """A setting in two places has the same value in both: the environment overrides the file. And
    access needs credentials."""
    for each in kinds(objects, "Deployment"):
        for container in containers(each):
            variables, files = given(objects, each, container, collections.defaultdict(str))
            variables = image | variables
            file = tomllib.loads("".join(files.values()))
            for name, value in file.items():
                over = variables.get(f"FILESERVER_{name.upper()}")
                if over is not None and over != str(value):
                    yield f"{told(each)}: {name} is {value} in the file, and {over} in the environment"
            if variables.get("FILESERVER_AUTH", file.get("auth", "none")) == "none":
                yield f"{told(each)} lets everybody in"


def tree_findings(folder):
    """The same of files that are not rendered."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_text()
            if VALUES.search(text) or re.search(r"(?m)^kind:\s*Secret\b|secretGenerator", text):
                yield f"{path} has a secret"


def given(objects, workload, container, secrets):
    """The environment and the settings file of a container, with the Secrets' values of a test."""
    variables, files = {}, {}
    for variable in container.get("env", []):
        if "value" in variable:
            variables[variable["name"]] = variable["value"]
        else:
            variables[variable["name"]] = secrets[variable["valueFrom"]["secretKeyRef"]["key"]]
    volumes = {volume["name"]: volume for volume in pod(workload).get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        config = volumes.get(mount["name"], {}).get("configMap")
        mounted = config and find(objects, "ConfigMap", config["name"])
        if mounted:
            for name, text in mounted["data"].items():
                files[f"{mount['mountPath']}/{name}"] = text
    return variables, files
