"""PostgreSQL as compose.yaml sets it up, natively: never as root, which it refuses."""

import os
import pwd
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg2

OWNER = "postgres"
"""The user that Debian's package makes."""
VERSIONS = Path("/usr/lib/postgresql")


class Database:
    """A data directory with the user, the password and the database that the environment names."""

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        self.directory, self.port = directory, port
        self._user, self._password = environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]
        self._database = environment["POSTGRES_DB"]

    def prepare(self) -> None:
        """Makes the data directory."""
        if os.geteuid() == 0:
            os.chown(self.directory, pwd.getpwnam(OWNER).pw_uid, -1)
        secret = self.directory / "password"
        secret.write_text(self._password)
        secret.chmod(0o644)
        options = ["--auth=scram-sha-256", f"--username={self._user}", f"--pwfile={secret}", "--encoding=UTF8"]
        command = [*_as_owner(), _program("initdb"), "--no-sync", *options, str(self.directory / "data")]
        subprocess.run(command, check=True, capture_output=True, cwd=self.directory)

    @property
    def command(self) -> list[str]:
        """Starts the server."""
        place = ["-D", str(self.directory / "data"), "-k", str(self.directory)]
        return [*_as_owner(), _program("postgres"), *place, "-p", str(self.port), "-h", "127.0.0.1", "-c", "fsync=off"]

    def is_healthy(self) -> bool:
        """Whether the database can be used; makes it if it is not there, as the image does."""
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=self.port, user=self._user, password=self._password, dbname="postgres"
            )
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self._database])
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{self._database}"')
        connection.close()
        return True


def _as_owner() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]


def _program(name: str) -> str:
    return str(sorted(VERSIONS.glob(f"*/bin/{name}"))[-1])
