"""The image as a running container, spoken to over REST."""

import contextlib
import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from image.commands import Disproved, output, until
from image.engine import Engine

READY_SECONDS = 300
STOP_SECONDS = 60


class Container:
    """The image as a container, as little allowed as it needs; its volume outlives it."""

    def __init__(self, engine: Engine, image: str, model: Path) -> None:
        self._engine, self._image, self._model = engine, image, model
        self._name = f"lifelong-image-test-{uuid.uuid4().hex[:8]}"
        volumes = [f"{self._name}:/var/lib/lifelong", f"{self._model}:/etc/lifelong/model.yaml:ro"]
        self._mounts = [word for volume in volumes for word in ("--volume", volume)]
        self._token = ""
        self.address = ""

    def refuses_to_start(self) -> bool:
        """Whether the container ends by itself for want of a token."""
        try:
            self._engine("run", "--rm", *self._mounts, self._image)
        except Disproved as fault:
            return "lifelong token add" in str(fault)
        return False

    def make_token(self) -> None:
        """Puts a token into the volume and sends it with every request from now on."""
        command = ("token", "add", "model.yaml", "image-test", "--role", "admin")
        self._token = self._engine("run", "--rm", *self._mounts, self._image, *command).strip()

    def start(self) -> None:
        """Returns once the container's own health check passes and the service is ready."""
        bounds = ["--read-only", "--tmpfs=/tmp:exec", "--shm-size=64m", "--cap-drop=all"]
        bounds += ["--security-opt=no-new-privileges", "--publish=127.0.0.1::8000"]
        self._engine("run", "--detach", "--name", self._name, *bounds, *self._mounts, self._image)
        self.address = "http://" + self._engine("port", self._name, "8000").split()[0]
        until(self._is_ready, READY_SECONDS, "the container is healthy")

    def _is_ready(self) -> bool:
        if self._engine("inspect", "--format", "{{.State.Running}}", self._name).strip() != "true":
            raise Disproved("the container ended by itself")
        check = json.loads(
            self._engine("inspect", "--type=image", "--format={{json .Config.Healthcheck}}", self._image)
        )
        with contextlib.suppress(Disproved):
            self.execute(*check["Test"][1:])
            return self.request("/v2/health/ready")[0] == 200
        return False

    def execute(self, *command: str) -> str:
        """What a command prints inside of the container."""
        return self._engine("exec", self._name, *command)

    def request(self, path: str, body: Any = None, is_stranger: bool = False) -> tuple[int, Any]:
        """Status and document of an answer; if none came, status 0 and why. A stranger has no token."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if not is_stranger:
            headers["authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.address + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError as error:
            return 0, {"error": f"{type(error).__name__}: {error}"}

    def document(self, path: str, body: Any = None) -> Any:
        """The document of an answer that must be a success."""
        status, document = self.request(path, body)
        if status not in {200, 202}:
            raise Disproved(f"{path}: {status} {document}")
        return document

    def kill(self) -> None:
        """Ends every process of the container at once, and removes it; the volume stays."""
        self._engine("kill", "--signal=KILL", self._name)
        self._engine("wait", self._name)
        self._engine("rm", self._name)

    def stop(self) -> int:
        """Ends the container as an operator does once it has said that it is up, and returns its exit status."""
        until(lambda: "ready after" in self.logs(), READY_SECONDS, "the service says that it is ready")
        self._engine("stop", f"--time={STOP_SECONDS}", self._name)
        return int(self._engine("inspect", "--format", "{{.State.ExitCode}}", self._name))

    def logs(self) -> str:
        """The last lines that the container printed."""
        with contextlib.suppress(Disproved):
            return output([*self._engine.run, "logs", "--tail=40", self._name], self._engine.environment, 60, both=True)
        return ""

    def remove(self) -> None:
        """Leaves neither container nor volume behind."""
        for arguments in (("rm", "--force", self._name), ("volume", "rm", "--force", self._name)):
            with contextlib.suppress(Disproved):
                self._engine(*arguments)
