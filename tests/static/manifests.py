"""The manifests under k8s/ and lessons/, parsed."""

import glob
import os
import re

import yaml

from waiting import REPO

MAIN = "k8s/dockercoins.yaml"
LESSONS = sorted(glob.glob("lessons/*.yaml", root_dir=REPO))


def read(path):
    with open(os.path.join(REPO, path), encoding="utf-8") as file:
        return file.read()


def with_defaults(text):
    """A Compose or stack file as it is while no variable is set."""
    return re.sub(r"\$\{\w+-([^}]*)\}", r"\1", text)


def objects(path):
    """All objects of a manifest, by kind and name."""
    found = list(yaml.safe_load_all(read(path)))
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found), "two objects of the same name"
    return named
