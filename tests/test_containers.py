"""The definitions in containers/ agree with the server's flags, the requirements and the files that they copy."""

from __future__ import annotations

import fnmatch
import http.client
import importlib.metadata
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from expman.serving.endpoint import available_port
from expman.serving.grpc_api import grpc_server
from expman.serving.server_flags import FLAGS, parse_flags
from tests.support.project import ROOT
from tests.test_architecture import imported_modules

CONTAINERS = ROOT / "containers"
DOCKERFILES = sorted(CONTAINERS.glob("*.Dockerfile"))
APPTAINER_FILES = sorted(CONTAINERS.glob("*.def"))
MANIFESTS = sorted(CONTAINERS.glob("k*/*.yaml"))
PAGE = ROOT / "docs" / "containers.md"
SERVING_REQUIREMENTS = CONTAINERS / "requirements-serving.txt"
PRETRAINED_MODEL = ROOT / "experiments" / "1Dsignals_clustering" / "pretrained" / "export" / "1Dsignals"


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, its arguments) in their order, lines that go on joined."""
    lines = "\n".join(line for line in dockerfile.read_text(encoding="utf-8").splitlines()
                      if not line.lstrip().startswith("#"))
    return [tuple(line.split(maxsplit=1)) for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def arguments_of(dockerfile: Path, instruction: str) -> list[str]:
    return [arguments for name, arguments in instructions(dockerfile) if name == instruction]


def copied_by_docker(dockerfile: Path) -> list[str]:
    """The sources of all COPY lines."""
    return [source for arguments in arguments_of(dockerfile, "COPY") for source in arguments.split()[:-1]]


def sections(definition: Path) -> dict[str, list[str]]:
    """Section of an Apptainer definition -> its lines without comments; '' for the header."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in definition.read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            found[name] = []
        elif line.strip() and not line.lstrip().startswith("#"):
            found[name].append(line.strip())
    return found


def copied_by_apptainer(definition: Path) -> list[str]:
    return [line.split()[0] for line in sections(definition)["files"]]


def resources() -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in MANIFESTS:
        for resource in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield file, resource


def pods() -> dict[str, dict[str, Any]]:
    """File -> what it says of its pods."""
    found = {}
    for file, resource in resources():
        if resource["kind"] == "Deployment":
            found[file.name] = resource["spec"]["template"]["spec"]
        elif resource["kind"] == "InferenceService" and "containers" in resource["spec"]["predictor"]:
            found[file.name] = resource["spec"]["predictor"]
    return found


def entrypoint() -> list[str]:
    """The flags that the server's image always gives."""
    text, = arguments_of(CONTAINERS / "serving.Dockerfile", "ENTRYPOINT")
    command = json.loads(text)
    assert command[:3] == ["python", "-m", "expman.serving"]
    return command[3:]


def flags_of(file_name: str) -> list[str]:
    """The flags of the server in a pod, those of its image among them."""
    container, = pods()[file_name]["containers"]
    return [*(() if "command" in container else entrypoint()), *container["args"]]


def requirements(file: Path) -> dict[str, Requirement]:
    """Distribution -> what the file asks for on this kind of machine."""
    found = [Requirement(line) for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#-"]
    return {canonicalize_name(one.name): one for one in found if one.marker is None or one.marker.evaluate()}


def probes(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: probe for key, probe in container.items() if key.endswith("Probe")}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_each_file_that_an_image_copies_exists_and_reaches_the_build(dockerfile):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    for source in copied_by_docker(dockerfile):
        assert list(ROOT.glob(source)), source
        assert any(fnmatch.fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), source


@pytest.mark.parametrize("definition", APPTAINER_FILES, ids=lambda file: file.name)
def test_an_apptainer_image_has_the_project_files_of_the_docker_image(definition):
    copied = copied_by_apptainer(definition)
    assert all((ROOT / source).exists() for source in copied)
    dockerfile = definition.with_suffix(".Dockerfile")
    assert {source for source in copied if not source.endswith(".txt")} == \
        {source for source in copied_by_docker(dockerfile) if not source.endswith((".txt", "healthcheck.py"))}


def test_the_same_python_is_under_all_images():
    bases = {arguments_of(file, "FROM")[0] for file in DOCKERFILES}
    bases |= {line.removeprefix("From: ") for file in APPTAINER_FILES for line in sections(file)[""] if line[:5] == "From:"}
    assert bases == {"python:3.11-slim-bookworm"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_runs_its_program_itself_and_not_as_root(dockerfile):
    assert arguments_of(dockerfile, "USER") == ["1000:1000"]
    for instruction in ("ENTRYPOINT", "CMD"):
        text, = arguments_of(dockerfile, instruction)
        assert all(isinstance(part, str) for part in json.loads(text))


@pytest.mark.parametrize("script", [
    *((file.name, text) for file in DOCKERFILES for text in arguments_of(file, "RUN")),
    *((file.name, "\n".join(sections(file)[name])) for file in APPTAINER_FILES for name in ("post", "environment", "runscript")),
    *((file.name, file.read_text(encoding="utf-8")) for file in CONTAINERS.glob("*.sh"))], ids=lambda script: script[0])
def test_shell_parts_can_be_read(script):
    answer = subprocess.run(["bash", "-n"], input=script[1], text=True, capture_output=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_server_is_installed_in_the_versions_of_the_requirements():
    project = requirements(ROOT / "requirements.txt")
    serving = requirements(SERVING_REQUIREMENTS)
    assert all(str(one.specifier).startswith("==") for one in serving.values())
    for name, one in serving.items():
        if (known := project.get(name.removesuffix("-cpu"))) is not None:
            assert one.specifier == known.specifier, name


def test_nothing_that_the_servers_packages_require_is_missing():
    listed = requirements(SERVING_REQUIREMENTS)
    for name in listed:
        if name.startswith("tensorflow"):  # Its requirements are those of its Python package, which is not used.
            continue
        for text in importlib.metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in listed, f"{name} requires {text}"


def project_files_of(module: str) -> set[str]:
    """All files of the project that a module can import, wherever the statements stand."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        parts = waiting.pop().split(".")
        for length in range(1, len(parts) + 1):
            path = ROOT.joinpath(*parts[:length])
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if file.exists() and file not in found:
                found.add(file)
                waiting += [name for name in imported_modules(file) if name.split(".")[0] == "expman"]
    return {str(file.relative_to(ROOT)) for file in found}


def test_the_servers_image_copies_what_the_server_imports_and_no_more():
    imported = project_files_of("expman.serving.__main__")
    copied = [source for source in copied_by_docker(CONTAINERS / "serving.Dockerfile") if source.startswith("expman")]
    assert [file for file in sorted(imported) if not any(f"{file}/".startswith(f"{source}/") for source in copied)] == []
    assert [source for source in copied if not any(f"{file}/".startswith(f"{source}/") for file in imported)] == []


def link_installed_packages(folder: Path) -> None:
    """Makes `folder` what `install_serving.sh` installs, by links to the packages that are installed here."""
    removed = re.search(r"^rm -r (.+)$", (CONTAINERS / "install_serving.sh").read_text(encoding="utf-8"), re.MULTILINE)
    left_out = {("tensorflow", name) for name in removed.group(1).split()}
    for name in requirements(SERVING_REQUIREMENTS):
        distribution = importlib.metadata.distribution(name.removesuffix("-cpu"))
        # Only a part of these two is linked: one has parts of other distributions, of the other one a part is removed.
        entries = {file.parts[:2] if file.parts[0] in ("google", "tensorflow") else file.parts[:1]
                   for file in distribution.files if ".." not in file.parts and "__pycache__" not in file.parts}
        for entry in entries - left_out:
            link = folder.joinpath(*entry)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(distribution.locate_file("/".join(entry)))


def link_project_files(folder: Path) -> None:
    for source in copied_by_docker(CONTAINERS / "serving.Dockerfile"):
        if not source.startswith("containers/"):
            (folder / source).parent.mkdir(parents=True, exist_ok=True)
            (folder / source).symlink_to(ROOT / source)


def is_healthy(rest_port: int) -> bool:
    return subprocess.run([sys.executable, CONTAINERS / "healthcheck.py", str(rest_port)], check=False).returncode == 0


def test_the_server_answers_with_nothing_but_what_its_image_has(tmp_path):
    packages, app = tmp_path / "packages", tmp_path / "app"
    link_installed_packages(packages)
    link_project_files(app)
    port, rest_port = (available_port("127.0.0.1", 0) for _ in range(2))
    # -S: without the packages that are installed here. Of the flags that are given twice the last one counts.
    command = [sys.executable, "-S", "-m", "expman.serving", *flags_of("embedded.yaml"), f"--port={port}",
               f"--rest_api_port={rest_port}", "--address=127.0.0.1", "--model_name=model",
               f"--model_base_path={PRETRAINED_MODEL}"]
    with subprocess.Popen(command, cwd=app, env={"PYTHONPATH": str(packages), "PATH": ""}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as server:
        try:
            ready_line = server.stdout.readline()
            assert "'model'" in ready_line, server.stderr.read()
            assert is_healthy(rest_port)
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=30)
            connection.request("POST", "/v1/models/model:predict", json.dumps({"instances": [[[0.0] * 6] * 64] * 2}))
            assert len(json.load(connection.getresponse())["predictions"]) == 2
        finally:
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    assert not is_healthy(rest_port)


@pytest.mark.parametrize("file_name", pods())
def test_a_pod_gives_flags_that_exist(file_name):
    parse_flags(flags_of(file_name))


def test_tensorflow_servings_own_image_gets_only_its_own_flags():
    own = {flag.name for flag in FLAGS if flag.is_own}
    given = {flag.lstrip("-").split("=")[0] for flag in flags_of("tensorflow-serving-gpu.yaml")}
    assert not given & own


@pytest.mark.parametrize("file_name", pods())
def test_a_pods_ports_and_probes_are_those_of_the_server(file_name):
    flags = parse_flags(flags_of(file_name))
    container, = pods()[file_name]["containers"]
    numbers = {port.get("name", port["containerPort"]): port["containerPort"] for port in container["ports"]}
    assert set(numbers.values()) <= {flags["port"], flags["rest_api_port"]}
    assert probes(container)
    for probe in probes(container).values():
        if "httpGet" in probe:
            assert numbers[probe["httpGet"]["port"]] == flags["rest_api_port"]
            assert probe["httpGet"]["path"] in ("/v1/health/live", "/v1/health/ready", f"/v1/models/{flags['model_name']}")
        elif "grpc" in probe:
            assert flags["enable_grpc_healthcheck_service"]
            assert probe["grpc"]["port"] == flags["port"]
        else:
            assert numbers[probe["tcpSocket"]["port"]] == flags["port"]


@pytest.mark.parametrize("file_name", pods())
def test_a_pod_serves_the_folder_into_which_its_model_is_mounted(file_name):
    flags = parse_flags(flags_of(file_name))
    container, = pods()[file_name]["containers"]
    mounts = {mount["mountPath"]: mount.get("readOnly") for mount in container.get("volumeMounts", ())}
    if any(variable["name"] == "STORAGE_URI" for variable in container.get("env", ())):
        mounts["/mnt/models"] = True  # KServe's place.
    assert mounts[flags["model_base_path"]] is True


def test_the_image_exposes_the_ports_on_which_its_server_listens():
    flags = parse_flags(entrypoint())
    exposed, = arguments_of(CONTAINERS / "serving.Dockerfile", "EXPOSE")
    assert exposed.split() == [str(flags["port"]), str(flags["rest_api_port"])]


def test_kubernetes_waits_until_the_server_has_drained():
    pod = pods()["embedded.yaml"]
    pause, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pause == "sleep"
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + grpc_server._DRAIN_SECONDS


def test_services_find_their_pods_and_ports():
    for file, service in resources():
        if service["kind"] == "Service":
            deployment, = [other for place, other in resources() if place == file and other["kind"] == "Deployment"]
            assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == \
                deployment["spec"]["template"]["metadata"]["labels"]
            ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} == ports


def test_the_versions_of_tensorflow_serving_are_that_of_the_exporter():
    version, = requirements(ROOT / "requirements.txt")["tensorflow"].specifier
    named = re.findall(r"tensorflow/serving:([\d.]+)|runtimeVersion: ([\d.]+)",
                       "".join(file.read_text(encoding="utf-8") for file in MANIFESTS))
    assert {one or other for one, other in named} == {version.version}


@pytest.mark.parametrize("file", [*DOCKERFILES, *APPTAINER_FILES, *MANIFESTS, PAGE], ids=lambda file: file.name)
def test_the_files_that_a_comment_or_the_page_names_exist(file):
    for name in re.findall(r"\b(?:containers|docs|examples|tests)/[\w./-]+\.[A-Za-z]+", file.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_the_page_tells_of_each_definition():
    page = PAGE.read_text(encoding="utf-8")
    for file in (*DOCKERFILES, *APPTAINER_FILES, *MANIFESTS):
        assert file.name in page, file.name
