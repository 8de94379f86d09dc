"""What the compose file gives the service's containers."""

import re

import yaml

VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))")

# What an operator has to say, for whom nothing stands there.
STAND_IN = "stand-in"


def load(path):
    return yaml.safe_load(path.read_text())


def interpolated(text, values):
    """A text as compose reads it, with the defaults that it names and stand-ins for the rest."""

    def put(match):
        if match[0] == "$$":
            return "$"
        name = match[1] or match[4]
        default = match[3] if (match[2] or "").endswith("-") else None
        return values.get(name, STAND_IN if default is None else default)

    return VARIABLE.sub(put, text)


def services(compose):
    """The containers of the service's own image, by name."""
    for name, service in compose["services"].items():
        build = service.get("build", "")
        if "fileserver" in service.get("image", "") or "Dockerfile" in str(build):
            yield name, service


def environment(service, values):
    said = service.get("environment") or {}
    if isinstance(said, list):
        said = dict(each.partition("=")[::2] for each in said)
    return {name: interpolated(str(value), values) for name, value in said.items() if value is not None}


def command(service, values):
    said = service.get("command") or ["serve"]
    said = said.split() if isinstance(said, str) else said
    return [interpolated(str(each), values) for each in said]
