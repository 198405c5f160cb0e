"""Gets the clients, each by the ordinary client of its registry, once, into folders that git ignores.

A client in Python has a virtual environment of its own under ``.clients``: their dependencies contradict
each other's and ours. What was fetched bears the checksum of what asked for it, so that a changed version is
fetched anew. Where something is missing, ``MissingError`` says what, and the test is skipped with that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.interop.programs import PROJECT

SOURCES: Final = PROJECT / "tests" / "interop" / "clients"
FETCHED: Final = PROJECT / ".clients"
JARS: Final = PROJECT / ".kafka" / "lib"
POM: Final = PROJECT / "tests" / "interop" / "kafka-pom.xml"
_FETCH_LIMIT_S: Final = 600.0


class MissingError(Exception):
    """What a client needs is not here and cannot be fetched."""


def python_client(name: str, module: str) -> list[str]:
    """The command of a client program in Python, with the packages of ``<name>.txt``."""
    requirements = SOURCES / "requirements" / f"{name}.txt"
    folder = FETCHED / name
    python = folder / "bin" / "python"
    if _is_new(folder, requirements):
        _run([sys.executable, "-m", "venv", str(folder)], f"no virtual environment can be made for {name}")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, "--requirement", str(requirements)], f"the packages of {name} cannot be fetched")
        _mark(folder, requirements)
    return [str(python), "-m", f"tests.interop.clients.{module}"]


def kcat_client() -> list[str]:
    """The command of the program that runs kcat."""
    _need("kcat", "kcat is not installed (Debian's package kcat)")
    return [sys.executable, "-m", "tests.interop.clients.kcat_client"]


def kafkajs_client() -> list[str]:
    """The command of the program in JavaScript."""
    _need("node", "node is not installed")
    source = SOURCES / "kafkajs"
    folder = FETCHED / "kafkajs"
    lock = source / "package-lock.json"
    if _is_new(folder, lock):
        _need("npm", "npm is not installed and kafkajs is not fetched")
        for path in (source / "package.json", lock):
            shutil.copy(path, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund"], "kafkajs cannot be fetched", folder)
        _mark(folder, lock)
    # Modules are looked for beside the program, so the program goes to them.
    shutil.copy(source / "client.js", folder)
    return ["node", str(folder / "client.js")]


def franz_go_client() -> list[str]:
    """The command of the program in Go, built."""
    _need("go", "go is not installed")
    source = SOURCES / "franz-go"
    folder = FETCHED / "franz-go"
    files = [source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))]
    if _is_new(folder, *files):
        _run(["go", "build", "-o", str(folder / "client"), "."], "franz-go cannot be built", source)
        _mark(folder, *files)
    return [str(folder / "client")]


def java_program(name: str) -> list[str]:
    """The command of a program in Java, compiled."""
    jars = kafka_jars()
    source = SOURCES / "java"
    folder = FETCHED / "java"
    files = sorted(source.glob("*.java"))
    if _is_new(folder, *files):
        _need("javac", "javac is not installed")
        compiler = ["javac", "-cp", f"{jars}/*", "-d", str(folder), *map(str, files)]
        _run(compiler, "the programs in Java cannot be compiled")
        _mark(folder, *files)
    return [*java(f"{jars}/*", str(folder)), name]


def java(*class_path: str) -> list[str]:
    """The beginning of every command in Java: small, quick to start, and with little to say."""
    options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
    logging = f"-Dlog4j2.configurationFile={SOURCES / 'java' / 'log4j2.xml'}"
    return ["java", *options, logging, "-cp", os.pathsep.join(class_path)]


def kafka_jars() -> Path:
    """The folder with Kafka's jars."""
    _need("java", "java is not installed: Apache Kafka's programs cannot be run")
    if _is_new(JARS, POM):
        _need("mvn", "mvn is not installed and .kafka/lib is not complete: Apache Kafka's jars are missing")
        for old in JARS.glob("*.jar"):
            old.unlink()
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        _run([*command, f"-DoutputDirectory={JARS}"], "Apache Kafka's jars cannot be fetched")
        _mark(JARS, POM)
    return JARS


def _need(program: str, otherwise: str) -> None:
    if shutil.which(program) is None:
        raise MissingError(otherwise)


def _run(command: Sequence[str], otherwise: str, folder: Path = PROJECT) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{otherwise}: no answer in {_FETCH_LIMIT_S} s") from None
    if done.returncode:
        raise MissingError(f"{otherwise}: {(done.stdout + done.stderr).strip()[-500:]}")


def _is_new(folder: Path, *asked: Path) -> bool:
    """Whether what these files ask for is not in the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".made-from"
    return not stamp.exists() or stamp.read_text("ascii") != _checksum(asked)


def _mark(folder: Path, *asked: Path) -> None:
    (folder / ".made-from").write_text(_checksum(asked), "ascii")


def _checksum(files: Sequence[Path]) -> str:
    checksum = hashlib.sha256()
    for file in files:
        checksum.update(file.read_bytes())
    return checksum.hexdigest()
