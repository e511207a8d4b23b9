#!/usr/bin/python3
"""Turns PrometheusRule resources into rule files for Prometheus.

    rules.py FROM-FOLDER TO-FOLDER

Every *.yaml below FROM with documents of kind PrometheusRule becomes a file
with their groups; one that already is a rule file (`groups:` at the top) is
taken as it is; others (promtool's tests, kustomizations) are passed over.
"""
import pathlib
import sys

import yaml


def main(source, target):
    source, target = pathlib.Path(source), pathlib.Path(target)
    for path in sorted([*source.rglob("*.yaml"), *source.rglob("*.yml")]):
        groups = []
        for document in yaml.safe_load_all(path.read_text()):
            if not isinstance(document, dict):
                continue
            items = document.get("items") if document.get("kind") == "List" else [document]
            for item in items or []:
                if item.get("kind") == "PrometheusRule":
                    groups += item["spec"].get("groups") or []
                elif "groups" in item and "kind" not in item:
                    groups += item["groups"] or []
        if groups:
            name = "-".join(path.relative_to(source).with_suffix("").parts) + ".yaml"
            (target / name).write_text(yaml.safe_dump({"groups": groups}, sort_keys=False))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
