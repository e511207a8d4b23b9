#!/usr/bin/python3
"""Writes an OCI image archive (a layout in a tar) without a daemon.

    oci.py OUT.tar [--have DIGEST]... IMAGE...

each IMAGE being `--image NAME:TAG` followed by what is in it:

    --layer FILE.tar         an existing tar as a layer (digest kept in FILE.tar.sha256)
    --dir PATH[:MODE]        these four make one layer, the last:
    --file SOURCE:PATH[:MODE]
    --text PATH=CONTENT
    --link PATH:TARGET
    --entrypoint WORD        repeated for more words; --cmd likewise
    --env NAME=VALUE  --user UID[:GID]  --workdir PATH

A layer whose digest is given with --have is not written again: whoever
imports the archive has it. The same input gives the same bytes.
"""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def full_name(name):
    """docker.io/library/NAME:TAG, as the kubelet and containerd spell it."""
    if ":" not in name.rsplit("/", 1)[-1] and "@" not in name:
        name += ":latest"
    first, _, rest = name.partition("/")
    if not rest:
        return "docker.io/library/" + name
    if "." in first or ":" in first or first == "localhost":
        return name
    return "docker.io/" + name


def digest_of(path):
    beside = path + ".sha256"
    if os.path.exists(beside) and os.path.getmtime(beside) >= os.path.getmtime(path):
        return open(beside).read().strip()
    sha = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            sha.update(block)
    digest = "sha256:" + sha.hexdigest()
    try:
        with open(beside, "w") as f:
            f.write(digest + "\n")
    except OSError:
        pass
    return digest


def entry(path, mode, kind=tarfile.REGTYPE, size=0):
    info = tarfile.TarInfo(path.strip("/"))
    info.mode, info.type, info.size, info.mtime = mode, kind, size, 0
    return info


class Image:
    def __init__(self, name):
        self.name = full_name(name)
        self.layers, self.config, self.made = [], {}, []

    def add(self, option, value):
        if option == "--layer":
            self.layers.append(value)
        elif option in ("--dir", "--file", "--text", "--link"):
            self.made.append((option, value))
        elif option == "--entrypoint":
            self.config.setdefault("Entrypoint", []).append(value)
        elif option == "--cmd":
            self.config.setdefault("Cmd", []).append(value)
        elif option == "--env":
            self.config.setdefault("Env", []).append(value)
        elif option == "--user":
            self.config["User"] = value
        elif option == "--workdir":
            self.config["WorkingDir"] = value
        else:
            sys.exit(f"oci.py: unknown option {option}\n{__doc__}")

    def top_layer(self):
        """The layer of what was given by --dir, --file, --text and --link."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            seen = set()

            def parents(path):
                parts = path.strip("/").split("/")[:-1]
                for i in range(len(parts)):
                    folder = "/".join(parts[: i + 1])
                    if folder not in seen:
                        seen.add(folder)
                        tar.addfile(entry(folder, 0o755, tarfile.DIRTYPE))

            for option, value in self.made:
                if option == "--dir":
                    path, _, mode = value.partition(":")
                    parents(path)
                    seen.add(path.strip("/"))
                    tar.addfile(entry(path, int(mode or "755", 8), tarfile.DIRTYPE))
                elif option == "--file":
                    source, path, mode = (value.split(":") + [""])[:3]
                    data = open(source, "rb").read()
                    parents(path)
                    mode = int(mode, 8) if mode else (0o755 if os.access(source, os.X_OK) else 0o644)
                    tar.addfile(entry(path, mode, size=len(data)), io.BytesIO(data))
                elif option == "--text":
                    path, _, text = value.partition("=")
                    parents(path)
                    tar.addfile(entry(path, 0o644, size=len(text.encode())), io.BytesIO(text.encode()))
                else:
                    path, _, target = value.partition(":")
                    parents(path)
                    info = entry(path, 0o777, tarfile.SYMTYPE)
                    info.linkname = target
                    tar.addfile(info)
        return out.getvalue()


def main(argv):
    if not argv or argv[0] in ("-h", "--help"):
        sys.exit(__doc__)
    out, argv, have, images = argv[0], argv[1:], set(), []
    while argv:
        if len(argv) < 2:
            sys.exit(f"oci.py: {argv[0]} needs a value")
        option, value, argv = argv[0], argv[1], argv[2:]
        if option == "--have":
            have.add(value)
        elif option == "--image":
            images.append(Image(value))
        elif not images:
            sys.exit("oci.py: the first thing after OUT must be --have or --image")
        else:
            images[-1].add(option, value)

    temporary = f"{out}.{os.getpid()}"
    written = set()
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:

        def blob(data):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            if digest not in written and digest not in have:
                written.add(digest)
                archive.addfile(entry("blobs/sha256/" + digest[7:], 0o644, size=len(data)), io.BytesIO(data))
            return digest, len(data)

        archive.addfile(entry("oci-layout", 0o644, size=30), io.BytesIO(b'{"imageLayoutVersion":"1.0.0"}'))
        manifests = []
        for image in images:
            layers = []
            for path in image.layers:
                digest, size = digest_of(path), os.path.getsize(path)
                if digest not in written and digest not in have:
                    written.add(digest)
                    with open(path, "rb") as f:
                        archive.addfile(entry("blobs/sha256/" + digest[7:], 0o644, size=size), f)
                layers.append((digest, size))
            if image.made:
                layers.append(blob(image.top_layer()))
            image.config.setdefault("Env", []).insert(0, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            config, config_size = blob(json.dumps({
                "architecture": ARCH,
                "os": "linux",
                "config": image.config,
                "rootfs": {"type": "layers", "diff_ids": [d for d, _ in layers]},
                "history": [{"created_by": "paramedic rig"} for _ in layers],
            }, sort_keys=True).encode())
            manifest, manifest_size = blob(json.dumps({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": s} for d, s in layers],
            }, sort_keys=True).encode())
            manifests.append({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest,
                "size": manifest_size,
                "platform": {"architecture": ARCH, "os": "linux"},
                "annotations": {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rsplit(":", 1)[-1]},
            })
        index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}).encode()
        archive.addfile(entry("index.json", 0o644, size=len(index)), io.BytesIO(index))
    os.rename(temporary, out)


if __name__ == "__main__":
    main(sys.argv[1:])
