"""The settings of the service's containers in the compose file and the image."""

import pathlib
import re
import subprocess
import sys

import yaml

DOCKER = pathlib.Path(__file__).resolve().parents[2] / "docker"

# The folder of a container's secrets.
SECRETS = "/run/secrets"

VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))")

# Variables that the operator has to set, without defaults.
STAND_IN = "stand-in"


def load(path):
    return yaml.safe_load(path.read_text())


def schema_findings(path):
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path],
        capture_output=True, text=True,
    )
    if checked.returncode != 0:
        yield f"{checked.stdout}{checked.stderr}"


def interpolated(text):
    """A text as compose expands it, with its defaults, and placeholders for the rest."""

    def put(match):
        if match[0] == "$$":
            return "$"
        return match[3] if (match[2] or "").endswith("-") else STAND_IN

    return VARIABLE.sub(put, str(text))


def services(described):
    """The containers of the service's own image, by name."""
    for name, service in described["services"].items():
        if "Dockerfile" in str(service.get("build", "")):
            yield name, service


def environment(service):
    said = service.get("environment") or {}
    if isinstance(said, list):
        said = dict(each.partition("=")[::2] for each in said)
    return {name: interpolated(value) for name, value in said.items() if value is not None}


def command(service):
    said = service.get("command") or ["serve"]
    said = said.split() if isinstance(said, str) else said
    return [interpolated(each) for each in said]


def secret_findings(name, service, folder):
    """Each secret's file that is read is mounted, and made by `make-secrets`."""
    given = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}
    asked = {
        value.removeprefix(f"file:{SECRETS}/")
        for value in environment(service).values()
        if value.startswith(f"file:{SECRETS}/")
    }
    for secret in sorted(asked - given):
        yield f"{name} asks for the secret {secret}, and is not given it"
    for secret in sorted(asked):
        if not (folder / secret).is_file():
            yield f"{name} asks for the secret {secret}, which make-secrets does not make"


def image_variables():
    """The image's default settings."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(re.findall(r"(FILESERVER_\w+)=(\S+)", " ".join(lines)))
