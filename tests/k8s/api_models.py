"""Checks an object strictly against the Kubernetes API's models, offline, like `--validate=strict`.

The models come with Debian's python3-kubernetes; each knows its fields' names and types.
"""

import re

import kubernetes.client

# By apiVersion, because the same kind may exist in several.
KINDS = {
    "v1": ("PersistentVolumeClaim", "Service"),
    "apps/v1": ("DaemonSet", "Deployment"),
    "networking.k8s.io/v1": ("NetworkPolicy",),
}

# Debian 12's models are those of API 1.22. These fields are newer. (Debian 13's models have them.)
NEWER = {"V1Handler": {"sleep": "V1SleepAction"}, "V1SleepAction": {"seconds": "int"}}

SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": (str, int)}


def problems(thing):
    """What the API would refuse, one sentence each."""
    version, kind = thing.get("apiVersion"), thing.get("kind")
    if kind not in KINDS.get(version, ()):
        return [f"{version} {kind}: not known"]
    return list(_problems(thing, f"V1{kind}", kind))


def _problems(value, model, path):
    if model in SCALARS:
        # In Python, True is an int.
        if not isinstance(value, SCALARS[model]) or isinstance(value, bool) != (model == "bool"):
            yield f"{path}: {value!r} is not a {model}"
    elif found := re.fullmatch(r"list\[(.+)\]", model):
        if isinstance(value, list):
            for at, entry in enumerate(value):
                yield from _problems(entry, found.group(1), f"{path}[{at}]")
        else:
            yield f"{path}: {value!r} is not a list"
    elif not isinstance(value, dict):
        yield f"{path}: {value!r} is not a mapping"
    elif found := re.fullmatch(r"dict\(str, (.+)\)", model):
        for key, entry in value.items():
            yield from _problems(key, "str", path)
            yield from _problems(entry, found.group(1), f"{path}.{key}")
    else:
        fields, required = _fields(model)
        for name, entry in value.items():
            if name in fields:
                yield from _problems(entry, fields[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown field"
        for name in required - set(value):
            yield f"{path}.{name}: missing"


def _fields(model):
    """({name in the API: type}, names of required fields: their setters refuse None)"""
    if not hasattr(kubernetes.client, model):
        return NEWER[model], set(NEWER[model])
    known = getattr(kubernetes.client, model)
    required = set()
    empty = known.__new__(known)
    empty.local_vars_configuration = kubernetes.client.Configuration()
    for attribute, name in known.attribute_map.items():
        try:
            setattr(empty, attribute, None)
        except ValueError:
            required.add(name)
    fields = {known.attribute_map[attribute]: kind for attribute, kind in known.openapi_types.items()}
    return {**NEWER.get(model, {}), **fields}, required
