"""Which addresses the studio is shared at, which certificates do, and the command line of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import ifaddr
import pytest

from tests.fake import write_model
from tests.server.sharing import NAVIGATE
from tests.test_cli import ROOT, webui
from webui.errors import UserError
from webui.server import addresses, lan, tls
from webui.server.lan import Lan
from webui.server.listen import listen


def machine(monkeypatch: pytest.MonkeyPatch, *ips: str, route: str | None = None) -> None:
    """A machine with these addresses, whose packets to the network leave from `route`."""
    adapters = [SimpleNamespace(ips=[SimpleNamespace(ip=ip, is_IPv4=":" not in ip)]) for ip in ips]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    monkeypatch.setattr(addresses, "_route", lambda: route)


def test_private_addresses_are_shared_and_the_one_that_leads_out_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(
        monkeypatch, "127.0.0.1", "172.17.0.1", "192.168.1.5", "169.254.3.3", "100.100.1.1", "203.0.114.7", "fe80::1", route="192.168.1.5"
    )
    assert addresses.found(None) == ("192.168.1.5", "172.17.0.1", "100.100.1.1")
    assert addresses.found("203.0.114.7") == ("203.0.114.7",), "a public one only if it is named"


@pytest.mark.parametrize("ips", [("127.0.0.1",), ("127.0.0.1", "8.8.8.8"), ("127.0.0.1", "169.254.1.1"), ()])
def test_without_a_local_network_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch, ips: tuple[str, ...]) -> None:
    machine(monkeypatch, *ips)
    with pytest.raises(UserError, match="no address on a local network"):
        addresses.found(None)


@pytest.mark.parametrize("wanted", ["192.168.1.6", "0.0.0.0", "127.0.0.1", "::1", "atelier", "", "192.168.1.5:80", "1"])
def test_an_address_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    machine(monkeypatch, "127.0.0.1", "192.168.1.5")
    with pytest.raises(UserError, match=r"Its addresses are: 127\.0\.0\.1, 192\.168\.1\.5"):
        addresses.found(wanted)


def test_a_port_that_is_taken_there_is_a_sentence_and_nothing_stays_open() -> None:
    with listen(0) as first, listen(first.getsockname()[1], "127.0.0.3"):
        wide = Lan(first.getsockname()[1], "127.0.0.3")
        with pytest.raises(UserError, match=r"127\.0\.0\.3 is taken.*--port"):
            wide.check()
        assert not wide.open and wide.hosts == frozenset()


@pytest.mark.parametrize("kind", ["missing", "no certificate", "another's key", "a folder"])
def test_a_certificate_that_will_not_do_is_a_sentence(tmp_path: Path, kind: str) -> None:
    one, other = (tls.self_signed(tmp_path / name, ["192.168.1.5"], []) for name in ("one", "other"))
    if kind == "no certificate":
        one.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    cert = {"missing": tmp_path / "none.pem", "a folder": tmp_path}.get(kind, one)
    key = other if kind == "another's key" else None
    with pytest.raises(UserError, match="--tls-cert"):
        tls.context(cert, key)


def test_a_new_address_gets_a_new_certificate(tmp_path: Path) -> None:
    first = tls.self_signed(tmp_path, ["192.168.1.5"], ["atelier.local"]).read_bytes()
    assert tls.self_signed(tmp_path, ["192.168.1.5"], []).read_bytes() == first
    assert tls.self_signed(tmp_path, ["192.168.1.5", "10.0.0.2"], []).read_bytes() != first
    assert re.fullmatch("(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", tls.fingerprint(tmp_path / "self-signed.pem"))


def test_another_network_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "LOOK_AGAIN", 0.01)
    now: list[str] = ["127.0.0.4", "127.0.0.5"]
    monkeypatch.setattr(addresses, "found", lambda _: tuple(now))
    open_now: list[str] = []

    class Opened:
        def __init__(self, address: str) -> None:
            self.address = address
            open_now.append(address)

        def close(self) -> None:
            open_now.remove(self.address)

    async def serve(address: str, _: object) -> Opened:
        return Opened(address)

    async def story() -> None:
        wide = Lan(1234)
        wide.attach(serve)
        await wide.start()
        assert open_now == ["127.0.0.4", "127.0.0.5"] and wide.link("x") == "http://127.0.0.4:1234/?key=x"
        now.reverse()
        await asyncio.sleep(0.1)
        assert wide.link("x") == "http://127.0.0.5:1234/?key=x", "packets leave by the other way now"
        now[:] = ["127.0.0.5", "127.0.0.6"]
        await asyncio.sleep(0.2)
        assert sorted(open_now) == ["127.0.0.5", "127.0.0.6"] and wide.link("x") == "http://127.0.0.5:1234/?key=x"
        assert "127.0.0.6:1234" in wide.hosts and "127.0.0.4:1234" not in wide.hosts
        wide.stop()
        now[:] = ["127.0.0.7"]
        await asyncio.sleep(0.1)
        assert open_now == [] and not wide.open

    asyncio.run(story())


def test_a_listener_that_stays_shows_the_new_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lan, "LOOK_AGAIN", 0.01)
    now = ["127.0.0.2"]
    monkeypatch.setattr(addresses, "found", lambda _: tuple(now))

    async def story() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.2", 0))
            port: int = free.getsockname()[1]

        async def serve(address: str, context: ssl.SSLContext | None) -> asyncio.Server:
            return await asyncio.start_server(lambda _, writer: writer.close(), address, port, ssl=context)

        async def shown(address: str) -> str:
            return await asyncio.to_thread(ssl.get_server_certificate, (address, port))

        wide = Lan(port, sign=tmp_path)
        wide.attach(serve)
        await wide.start()
        first = await shown("127.0.0.2")
        assert first in (tmp_path / "self-signed.pem").read_text()
        now.append("127.0.0.3")
        while len(wide._listeners) < 2:
            await asyncio.sleep(0.01)
        second = await shown("127.0.0.2")
        assert second != first and second == await shown("127.0.0.3")
        assert wide.fingerprint.replace(":", "").lower() == hashlib.sha256(ssl.PEM_cert_to_DER_cert(second)).hexdigest()
        wide.stop()

    asyncio.run(story())


# --- the command line ---

PROGRAM = """
import sys
from tests.fake import FakeWorker
from webui.cli import running
running.LocalWorker = lambda *_, **__: FakeWorker(pace=0.02)
from webui.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def port() -> int:
    """One that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def started(tmp_path: Path, port: int, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What `webui` prints at its start with these flags."""
    write_model(tmp_path / "models" / "fake")
    flags = [
        "--no-browser",
        "--port",
        str(port),
        "--models",
        str(tmp_path / "models"),
        "--outputs",
        str(tmp_path / "outputs"),
        *request.param,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STEPWISE_PASSWORD": "correct horse", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *flags], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    lines = [process.stdout.readline().strip() for _ in range(9 if "--lan" in flags else 1)]
    yield lines
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0 and list(tmp_path.glob("stepwise-*")) == [], "what was uploaded is gone"


@pytest.mark.parametrize("started", [["--lan", "--lan-address", "127.0.0.2"]], indirect=True)
def test_lan_prints_links_that_work(started: list[str], port: int) -> None:
    own, maker, viewer = (line for line in started if line.startswith("http"))
    assert own.startswith(f"http://127.0.0.1:{port}/?key=") and all(
        line.startswith(f"http://127.0.0.2:{port}/?key=") for line in (maker, viewer)
    )
    with httpx.Client(timeout=60) as browser:
        assert browser.get(own, headers=NAVIGATE, follow_redirects=True).status_code == 200
        assert browser.get(f"http://127.0.0.1:{port}/api/me").json()["role"] == "owner"
    with httpx.Client(timeout=60) as browser:
        assert 'name="password"' in browser.get(maker, headers=NAVIGATE, follow_redirects=True).text
        assert browser.post(f"http://127.0.0.2:{port}/sign-in", data={"password": "correct horse"}).status_code == 303


@pytest.mark.parametrize("started", [["--owner-link"], []], indirect=True, ids=["--owner-link", ""])
def test_alone_the_address_is_enough_unless_a_link_is_asked_for(
    started: list[str], port: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    strict = "owner-link" in request.node.name
    assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/(\?key=.{{32}})?", started[0]) and ("key=" in started[0]) == strict
    assert httpx.get(f"http://127.0.0.1:{port}/api/me", timeout=60).status_code == (401 if strict else 200)
    with httpx.Client(timeout=60) as browser:
        assert browser.get(started[0], headers=NAVIGATE, follow_redirects=True).status_code == 200
        assert browser.get(f"http://127.0.0.1:{port}/api/me").json()["role"] == "owner"
        (uploaded,) = browser.post(f"http://127.0.0.1:{port}/gradio_api/upload", files={"files": ("a.txt", b"a")}).json()
    (folder,) = tmp_path.glob("stepwise-*")
    assert folder in Path(uploaded).parents and folder.stat().st_mode & 0o777 == 0o700, "this account's alone"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{port}/")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--lan", "--lan-address", "10.9.8.7"], "not an IPv4 address of this machine"),
        (["--lan", "--lan-address", "127.0.0.2", "--tls-cert", "none.pem"], "--tls-cert none.pem"),
        (["--tls-key", "key.pem"], "--tls-key needs --tls-cert"),
        (["--tls-self-signed", "--tls-cert", "c.pem"], "Choose one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_will_not_do_are_one_sentence_and_nothing_is_started(flags: list[str], sentence: str, tmp_path: Path, port: int) -> None:
    ended = webui("--no-browser", "--port", str(port), *flags, cwd=tmp_path)
    assert ended.returncode == 2 and sentence in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
    assert ended.stdout == "" and list(tmp_path.iterdir()) == []
