#!/usr/bin/python3
"""Copies an OCI archive, giving its (only) image a name for containerd.

    rename.py FROM.tar TO.tar docker.io/library/NAME:TAG
"""
import io
import json
import sys
import tarfile


def main(source, target, name):
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            path = member.name.removeprefix("./")
            if path == "manifest.json":  # docker's own index beside it: would name it too
                continue
            data = old.extractfile(member) if member.isfile() else None
            if path == "index.json":
                index = json.load(data)
                if len(index["manifests"]) != 1:
                    sys.exit(f"{source} holds {len(index['manifests'])} images, not one: load it without a name")
                annotations = index["manifests"][0].setdefault("annotations", {})
                annotations["io.containerd.image.name"] = name
                annotations["org.opencontainers.image.ref.name"] = name.rsplit(":", 1)[-1]
                text = json.dumps(index).encode()
                member.size = len(text)
                data = io.BytesIO(text)
            new.addfile(member, data)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
