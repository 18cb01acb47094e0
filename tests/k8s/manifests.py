"""The manifests under k8s/, parsed."""

import glob
import os

import yaml

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAIN = "k8s/dockercoins.yaml"
LESSONS = sorted(os.path.relpath(path, REPO) for path in glob.glob(f"{REPO}/k8s/lessons/*"))
PROGRAMS = ("rng", "hasher", "webui", "worker")
NAMES = (*PROGRAMS, "redis")


def read(path):
    with open(os.path.join(REPO, path), encoding="utf-8") as file:
        return file.read()


def objects(path):
    """All objects of a manifest."""
    return list(yaml.safe_load_all(read(path)))


def one(path, kind, name):
    """The object of that kind and name."""
    found = [each for each in objects(path) if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{path} has {len(found)} {kind} {name}"
    return found[0]


def pods_of(path):
    """[(name, pod spec)] of everything in the manifest that makes pods."""
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"])
            for each in objects(path) if "template" in each["spec"]]


def container_of(pod):
    assert len(pod["containers"]) == 1 and "initContainers" not in pod
    return pod["containers"][0]
