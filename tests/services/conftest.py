"""Servers for the tests with real ones, and how such a test may go on."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.services import databases, elsewhere

Server = TypeVar("Server")

WEB_SERVER = Path(__file__).with_name("web_server.py")


# What these tests are about is not seen on uvloop, as the page on it says.
NOT_ON_UVLOOP = {
    "unix_streams": "Unix sockets",
    "datagrams": "datagrams",
    "test_so_it_does_by_a_unix_socket": "Unix sockets",
    "test_so_they_do_by_a_unix_socket": "Unix sockets",
    "sock_datagrams": "datagrams, which it cannot send by `sock_sendto`",
    "sock_datagrams_into_a_buffer": "datagrams, which it cannot send by `sock_sendto`",
    "test_a_server_that_reads_slowly_is_waited_for_while_it_reads": "when there is room to send more",
    "test_a_hopeless_wait_beside_an_idle_connection_is_told": "what could wake the loop",
    "test_a_server_that_takes_a_large_request_slowly_is_waited_for": "that a server goes on reading",
    "test_it_names_the_line_where_no_task_waits": "which line has sent something",
    "test_a_timeout_without_a_task_waits_for_the_parts_of_an_answer": "that a callback has asked",
    "test_a_tls_connection_may_be_older_than_the_block": "TLS that began before the block",
    "test_datagrams_between_two_sockets_of_this_loop": "datagrams, which it cannot send by `sock_sendto`",
    "closed server": "that a connection was accepted before the block, if its server does not listen any more",
    "test_a_server_of_datagrams_in_this_loop_may_be_named": "datagrams",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is not seen on uvloop."""
    for item in items if config.getoption("--uvloop") else ():
        parameters = getattr(getattr(item, "callspec", None), "id", "").split("-")
        for name in (item.path.stem, getattr(item, "originalname", item.name), *parameters):
            if name in NOT_ON_UVLOOP:
                item.add_marker(pytest.mark.skip(reason=f"not seen on uvloop: {NOT_ON_UVLOOP[name]}"))


@pytest.fixture(autouse=True)
def _takes_little_real_time() -> Iterator[None]:
    """Fail a test that took many seconds: all the minutes and hours in these tests are virtual."""
    with elsewhere.really_within(30):
        yield


def run_or_skip(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """Run a server for as long as it is needed; without its program skip the test, or fail it if it has to run."""
    try:
        running = server.__enter__()
    except databases.Missing as missing:
        if os.environ.get("MACHINERY_REQUIRE_SERVICES"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[databases.PostgreSQL]:
    """Run PostgreSQL."""
    yield from run_or_skip(databases.postgresql())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[databases.Redis]:
    """Run Redis."""
    yield from run_or_skip(databases.redis())


@pytest.fixture(scope="session")
def web_server() -> Iterator[str]:
    """Run a web server in a process of its own, and give its address."""
    with subprocess.Popen([sys.executable, str(WEB_SERVER)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.terminate()


@pytest.fixture
def lines() -> Iterator[elsewhere.Lines]:
    """Run a server of plain sockets in threads."""
    with elsewhere.answering() as running:
        yield running


@pytest.fixture(scope="session")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server at 127.0.0.1 shows, and what makes its client trust that."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    shows, trusts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(shows)
    authority.configure_trust(trusts)
    return shows, trusts
