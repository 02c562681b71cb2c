"""Makes the wheel of the package muster: its Python files and libmuster_worker.so, and needs nothing but Python.

python3 python/build_wheel.py [--library build/release/lib/libmuster_worker.so] [--into dist]

Also the build backend of `pip install ./python` (PEP 517), which takes the library of MUSTER_LIBRARY, else that of
build/release. The tag names no Python: any from 3.8 on loads it by ctypes; it needs the glibc of Debian 12.
"""

import argparse
import base64
import hashlib
import os
import pathlib
import re
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TAG = "py3-none-manylinux_2_36_" + os.uname().machine
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file: the same sources make the same wheel


def version():
    return re.search(r'__version__ = "(.+)"', (HERE / "muster/_version.py").read_text()).group(1)


def metadata():
    return (
        f"Metadata-Version: 2.1\nName: muster\nVersion: {version()}\nSummary: Train a model of your own in a job of Muster\n"
        "License: Apache-2.0\nRequires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n"
        "Train a PyTorch or NumPy model in a DistributedJob of Muster, or alone: docs/python.md.\n"
    )


def write_wheel(library, into):
    """Writes the wheel into the folder `into`; returns its file name."""
    library = pathlib.Path(library)
    if not library.exists():
        raise SystemExit(f"{library} is missing; build it (ninja -C build/release muster_worker_abi), or name it by --library")
    info = f"muster-{version()}.dist-info"
    files = {f"muster/{path.name}": path.read_bytes() for path in sorted((HERE / "muster").glob("*.py"))}
    files["muster/py.typed"] = b""
    files["muster/libmuster_worker.so"] = library.read_bytes()
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: muster\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode()
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    name = f"muster-{version()}-{TAG}.whl"
    pathlib.Path(into).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(pathlib.Path(into) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = (0o755 if path.endswith(".so") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def usual_library():
    return os.environ.get("MUSTER_LIBRARY") or HERE.parent / "build/release/lib/libmuster_worker.so"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return write_wheel(usual_library(), wheel_directory)


def get_requires_for_build_wheel(config_settings=None):
    return []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=usual_library())
    parser.add_argument("--into", default="dist")
    given = parser.parse_args()
    print(pathlib.Path(given.into) / write_wheel(given.library, given.into))
