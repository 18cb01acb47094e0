"""The Kubernetes API knows every field of every manifest, by the models of Debian's python3-kubernetes."""

import json
import types

import kubernetes.client
import pytest

from manifests import LESSONS, MAIN, objects

VERSIONS = {"NetworkPolicy": "networking.k8s.io/v1", "PersistentVolumeClaim": "v1", "Service": "v1"}


@pytest.mark.parametrize("path", [MAIN, *LESSONS])
def test_the_api_knows_every_field(path):
    """A missing field is refused. One that is unknown, or of another type, does not come back as it went in."""
    client = kubernetes.client.ApiClient()
    for (kind, _), thing in objects(path).items():
        assert thing["apiVersion"] == VERSIONS.get(kind, "apps/v1")
        for container in thing["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            # Debian 12's models are those of API 1.22, which does not know it. Its value: test_our_rules.py.
            container.get("lifecycle", {}).get("preStop", {}).pop("sleep", None)
        known = client.deserialize(types.SimpleNamespace(data=json.dumps(thing)), f"V1{kind}")
        assert client.sanitize_for_serialization(known) == thing
