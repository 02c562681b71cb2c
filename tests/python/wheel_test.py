"""The wheel: it holds all of the package, and works from where it is unpacked."""

import base64
import csv
import hashlib
import io
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "python"


class Wheel(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, str(PYTHON))
        import build_wheel

        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / build_wheel.build_wheel(self.folder.name)

    def tearDown(self):
        sys.path.remove(str(PYTHON))
        self.folder.cleanup()

    def test_holds_every_file_as_its_record_says(self):
        with zipfile.ZipFile(self.path) as wheel:
            names = set(wheel.namelist())
            record = next(name for name in names if name.endswith("RECORD"))
            told = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode()))}
            self.assertEqual(set(told), names)
            for name in names - {record}:
                data = wheel.read(name)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                self.assertEqual(told[name], [f"sha256={digest}", str(len(data))], name)
        sources = {f"muster/{path.name}" for path in (PYTHON / "muster").glob("*.py")}
        self.assertLessEqual(sources | {"muster/libmuster_worker.so", "muster/py.typed"}, names)

    def test_works_from_where_it_is_unpacked(self):
        with zipfile.ZipFile(self.path) as wheel:
            wheel.extractall(self.folder.name)
        env = {key: value for key, value in os.environ.items() if not key.startswith("MUSTER_")}
        env["PYTHONPATH"] = self.folder.name
        code = "import muster; job = muster.init(); print(muster.__file__, job.rank, job.size)"
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        self.assertEqual(run.stdout.split()[1:], ["0", "1"], run.stderr)
        self.assertTrue(run.stdout.startswith(self.folder.name))

    def test_a_library_of_another_version_is_refused(self):
        with zipfile.ZipFile(self.path) as wheel:
            wheel.extractall(self.folder.name)
        (pathlib.Path(self.folder.name) / "muster/_version.py").write_text('__version__ = "9.9"\n')
        env = {key: value for key, value in os.environ.items() if not key.startswith("MUSTER_")}
        env["PYTHONPATH"] = self.folder.name
        run = subprocess.run([sys.executable, "-c", "import muster; muster.init()"], env=env, capture_output=True, text=True)
        self.assertNotEqual(run.returncode, 0)
        self.assertRegex(run.stderr, "of version 0.*, the package muster of 9.9; install both from one wheel")

    def test_a_worker_of_another_version_is_refused_by_both_versions(self):
        path = f"{self.folder.name}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            env = {**os.environ, "MUSTER_SOCKET": path}
            run = subprocess.Popen([sys.executable, "-c", "import muster; muster.init()"], env=env, stderr=subprocess.PIPE, text=True)
            listener.settimeout(60)
            program, _ = listener.accept()
            hello = program.recv(96, socket.MSG_WAITALL)
            protocol, words = 77, b"9.9"
            world = hello[:4] + struct.pack("<HxxQ8q2d", 101, len(words), 0, 2, 1, 1, 1, 1, 1, protocol, 0, 0)
            program.sendall(world + words)
            self.assertRegex(run.communicate(timeout=60)[1], "this program has muster .*, the worker beside it 9.9; install the worker's version")
            program.close()

    def test_the_library_needs_the_c_library_alone(self):
        found = subprocess.run(["ldd", os.environ["MUSTER_LIBRARY"]], capture_output=True, text=True).stdout
        for line in found.splitlines():
            name = line.split()[0].split("/")[-1]
            self.assertRegex(name, r"^(linux-vdso|libm\.|libc\.|ld-linux|libpthread|lib(asan|ubsan|tsan))", found)


if __name__ == "__main__":
    unittest.main()
