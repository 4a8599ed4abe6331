"""Validation as strict as the API server's with `fieldValidation=Strict`: defaults first, unknown fields refused.

========================== ===========================================================================================
KubeRay's kinds            the CRD files in the folder that `KUBERAY_CRD_DIR` names
Kubernetes' own            the schemas that the package kubernetes-validate carries
the Prometheus operator's  no schema is at hand: those fields that its API reference documents and that we use
========================== ===========================================================================================
"""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

KEPT = ("type", "enum", "pattern", "required", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_TEXT: dict[str, Any] = {"type": "string"}
_DURATION = {"type": "string", "pattern": r"^\d+(s|m|h)$"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_EXPRESSION = _object(("key", "operator"), key=_TEXT, operator=_TEXT, values=_list_of(_TEXT))
_RULE = _object(("alert", "expr"), alert=_TEXT, expr=_TEXT, **{"for": _DURATION}, labels=_TEXTS, annotations=_TEXTS)
PROMETHEUS = {
    "PodMonitor": _object(
        ("selector", "podMetricsEndpoints"),
        selector=_object(matchLabels=_TEXTS, matchExpressions=_list_of(_EXPRESSION)),
        podTargetLabels=_list_of(_TEXT),
        podMetricsEndpoints=_list_of(_object(("port",), port=_TEXT, interval=_DURATION)),
    ),
    "PrometheusRule": _object(
        ("groups",), groups=_list_of(_object(("name", "rules"), name=_TEXT, rules=_list_of(_RULE)))
    ),
}
"""What may be in the spec of a kind of `monitoring.coreos.com/v1`."""


def validate(document: dict[str, Any]) -> None:
    """Raises `jsonschema.ValidationError` where the API server would refuse an object; its kind tells by what."""
    group, _, version = document["apiVersion"].rpartition("/")
    if group in ("ray.io", "monitoring.coreos.com"):  # their schemas leave the metadata to Kubernetes
        _validate_own({"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]})
    if group == "ray.io":
        filled = with_defaults(document, crd_schema(document["kind"], version))
        _crd_validator(document["kind"], version).validate(filled)
    elif group == "monitoring.coreos.com":
        jsonschema.validate(document["spec"], PROMETHEUS[document["kind"]])
    else:
        _validate_own(document)


def _validate_own(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@cache
def _crd_validator(kind: str, version: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(strict(crd_schema(kind, version)))


@cache
def crd_schema(kind: str, version: str) -> dict[str, Any]:
    folder = os.environ.get("KUBERAY_CRD_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("KUBERAY_CRD_DIR names no folder with KubeRay's CRDs")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(Path(folder).glob("*.yaml")):
        crd = yaml.load(path.read_text(), Loader=loader)  # a safe loader either way
        if crd["spec"]["names"]["kind"] == kind:
            for served in crd["spec"]["versions"]:
                if served["name"] == version:
                    schema: dict[str, Any] = served["schema"]["openAPIV3Schema"]
                    return schema
    pytest.skip(f"KUBERAY_CRD_DIR holds no CRD of {kind} {version}")


def strict(schema: dict[str, Any], *, root: bool = True) -> dict[str, Any]:
    """A CRD's structural schema as JSON Schema that refuses unknown fields.

    The root's `metadata` is an ObjectMeta, which a CRD does not spell out; anything may be in it here.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("nullable") and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    if "items" in schema:
        kept["items"] = strict(schema["items"], root=False)
    if schema.get("type") == "object":
        kept["properties"] = {name: strict(part, root=False) for name, part in schema.get("properties", {}).items()}
        if root:
            kept["properties"]["metadata"] = {"type": "object"}
        values = schema.get("additionalProperties", False)
        if isinstance(values, dict):
            values = strict(values, root=False)
        kept["additionalProperties"] = True if schema.get("x-kubernetes-preserve-unknown-fields") else values
    return kept


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """The value as the API server sees it: absent fields that have a default, at every depth, are filled in."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name not in filled and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if name in filled:
                filled[name] = with_defaults(filled[name], part)
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            unnamed = filled.keys() - schema.get("properties", {}).keys()
            filled |= {name: with_defaults(filled[name], values) for name in unnamed}
        return filled
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(item, schema["items"]) for item in value]
    return value
