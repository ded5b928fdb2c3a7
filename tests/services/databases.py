"""Private servers of PostgreSQL and Redis, from the programs that are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Server = TypeVar("Server")


class Missing(Exception):
    """A program is not installed."""


@dataclass(frozen=True)
class PostgreSQL:
    """A server of PostgreSQL, of which everybody on this machine is the superuser."""

    port: int
    sockets: Path

    @property
    def dsn(self) -> str:
        """The address over TCP."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@dataclass(frozen=True)
class Redis:
    """A server of Redis."""

    port: int
    socket: Path

    @property
    def url(self) -> str:
        """The address over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"


def program(name: str, *folders: Path) -> str:
    """Return the path of a program, which may be in one of these folders in place of PATH."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


@contextmanager
def folder_for(user: dict[str, Any]) -> Iterator[Path]:
    """Give a folder of this user with a short name, as that of a Unix socket has to be."""
    folder = Path(tempfile.mkdtemp(prefix="services-"))
    try:
        if user:
            shutil.chown(folder, user["user"], user["group"])
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def on_a_free_port(start: Callable[[int], AbstractContextManager[Server]]) -> Iterator[Server]:
    """Start a server on a port that was free a moment ago, and on others if somebody else was quicker."""
    for last in (False, False, True):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        starting = start(port)
        try:
            server = starting.__enter__()
        except (ChildProcessError, subprocess.CalledProcessError):
            if last:
                raise
            continue
        try:
            yield server
        finally:
            starting.__exit__(None, None, None)
        return


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run PostgreSQL, which refuses to be run by root; what it stores need not survive."""
    # Debian keeps the programs of each version in a folder that is not on PATH; the newest comes first.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    initdb, pg_ctl = program("initdb", *debian), program("pg_ctl", *debian)
    user: dict[str, Any] = {}
    if sys.platform != "win32" and os.getuid() == 0:
        import pwd

        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}

    with folder_for(user) as folder:
        data, log = folder / "data", folder / "log"

        def run(*command: str) -> None:
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

        @contextmanager
        def start(port: int) -> Iterator[PostgreSQL]:
            settings = {
                "port": port,
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": folder,
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
            }
            options = " ".join(f"-c {name}={value}" for name, value in settings.items())
            try:
                run(pg_ctl, "start", "--wait", f"--pgdata={data}", f"--log={log}", f"--options={options}")
            except subprocess.CalledProcessError as error:
                error.add_note(log.read_text())
                raise
            try:
                yield PostgreSQL(port, folder)
            finally:
                run(pg_ctl, "stop", "--wait", "--mode=immediate", f"--pgdata={data}")

        run(initdb, f"--pgdata={data}", "--username=postgres", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8")
        with on_a_free_port(start) as server:
            yield server


@contextmanager
def redis() -> Iterator[Redis]:
    """Run Redis without anything that it stores."""
    redis_server = program("redis-server")

    with folder_for({}) as folder:

        @contextmanager
        def start(port: int) -> Iterator[Redis]:
            path = folder / "redis.sock"
            settings = {"bind": "127.0.0.1", "port": port, "unixsocket": path, "save": "", "dir": folder}
            options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
            with subprocess.Popen([redis_server, *options], stdout=subprocess.DEVNULL) as process:
                try:
                    wait_until_it_listens(port, process)
                    yield Redis(port, path)
                finally:
                    process.terminate()

        with on_a_free_port(start) as server:
            yield server


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once somebody accepts connections at this port."""
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise ChildProcessError(f"{process.args!r} ended with {process.returncode}")
