"""When a process of several dies, the others end at once and say so, instead of waiting for it in a collective.

JAX notices by its heartbeat, after 100 s, and ends the process with the stack of its own code; a process that ends with
an error waits for the others before it may leave. So every process holds a connection to process 0, which its system
closes whatever it dies of. A process that is stopped but not dead is left to JAX.
"""

import contextlib
import json
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import jax
import psutil

from identax.run.mesh import exchange

EXIT_PEER = 76
"""Exit code of the others after one process died; what was saved before is intact (the shell's EX_PROTOCOL)."""
_GRACE = 2.0  # seconds: an error that all processes raise is told by each of them
_LINGER = 5.0  # seconds for which process 0, whose end JAX answers with a stack, waits until the others have left
_CONNECT = 3.0
_BYE, _FAIL = "bye", "fail "

_watch: "_Watch | None" = None


def watch(on_loss: Callable[[str], None]) -> None:
    """Watches the other processes from now on; to be called by all, after `jax.distributed.initialize`.

    `on_loss(text)` is called in a thread when one has died, and has to end this process; `text` says which and, if
    that is known, of what. Where no connection can be made, that is a `RuntimeWarning`, and nobody is watched.
    """
    global _watch
    if jax.process_count() > 1:
        _watch = _Watch(on_loss)


def failed(reason: str) -> None:
    """Tells the others that this process ends with an error; if one of them died before, that is the error."""
    if _watch is not None:
        _watch.fail(reason)


def finished() -> None:
    """Says good-bye: what this process does from now on is no loss. To be called by all."""
    global _watch
    if _watch is not None:
        _watch.close()
        _watch = None


class _Watch:
    def __init__(self, on_loss: Callable[[str], None]) -> None:
        self._on_loss = on_loss
        self._lock, self._reason = threading.Lock(), ""
        self._failing, self._leaving, self._lost = threading.Event(), threading.Event(), threading.Event()
        self._peers = _connect()
        self._threads = [
            threading.Thread(target=self._hear, args=(process, peer), name=f"identax-peer-{process}", daemon=True)
            for process, peer in self._peers.items()
        ]
        for thread in self._threads:
            thread.start()

    def _hear(self, process: int, peer: socket.socket) -> None:
        text = f"process {process} died"
        with contextlib.suppress(OSError), peer.makefile("r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip() == _BYE:
                    return
                if line.startswith(_FAIL):
                    text = line.removeprefix(_FAIL).strip()
                    self._failing.wait(_GRACE)
                    if text.endswith(f" ended: {self._reason}"):
                        return
                    break
        with self._lock:
            if self._leaving.is_set() or self._lost.is_set():
                return
            self._lost.set()
        self._tell(_FAIL + text)  # process 0 knows all others
        self._linger()
        self._on_loss(text)

    def _tell(self, text: str) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.sendall(f"{text}\n".encode())

    def _linger(self) -> None:
        end = time.monotonic() + _LINGER
        for thread in self._threads if jax.process_index() == 0 else ():
            if thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0))

    def fail(self, reason: str) -> None:
        self._reason = " ".join(reason.split())
        self._failing.set()
        # The collective that a death interrupts may be heard of before the death is.
        if self._lost.wait(1.0):
            time.sleep(2 * _LINGER)  # `on_loss` ends this process
        with self._lock:
            self._leaving.set()
        self._tell(f"{_FAIL}process {jax.process_index()} ended: {self._reason}")
        self._linger()

    def close(self) -> None:
        self._leaving.set()
        self._tell(_BYE)
        for thread in self._threads:
            thread.join(_LINGER)
        for peer in self._peers.values():
            peer.close()


def _connect() -> dict[int, socket.socket]:
    """The other processes of process 0, process 0 of the others."""
    with (
        contextlib.closing(socket.create_server(("", 0)))
        if jax.process_index() == 0
        else contextlib.nullcontext() as door
    ):
        said = (
            {} if door is None else {"hosts": _hosts(), "port": door.getsockname()[1], "token": secrets.token_hex(16)}
        )
        said = json.loads(exchange(json.dumps(said))[0])
        try:
            return _reach(said) if door is None else _welcome(door, said["token"])
        except OSError as error:
            warnings.warn(f"processes do not watch each other: {error}", RuntimeWarning, stacklevel=4)
            return {}


def _hosts() -> list[str]:
    """Names and addresses of this machine, the name first."""
    addresses = [one.address for of in psutil.net_if_addrs().values() for one in of if one.family == socket.AF_INET]
    return [socket.gethostname(), *(address for address in addresses if not address.startswith("127."))]


def _reach(said: dict) -> dict[int, socket.socket]:
    same = said["hosts"][0] == socket.gethostname()
    fault = OSError("process 0 has no address")
    for host in [*(["127.0.0.1"] if same else []), *said["hosts"]]:
        try:
            peer = socket.create_connection((host, said["port"]), _CONNECT)
            peer.sendall(f"{said['token']} {jax.process_index()}\n".encode())
            if _line(peer) == said["token"]:
                return {0: _kept(peer)}
            peer.close()
        except OSError as error:
            fault = error
    raise fault


def _welcome(door: socket.socket, token: str) -> dict[int, socket.socket]:
    found: dict[int, socket.socket] = {}
    end = time.monotonic() + 10 * _CONNECT
    while len(found) < jax.process_count() - 1:
        door.settimeout(max(end - time.monotonic(), 0.1))
        peer, _ = door.accept()
        peer.settimeout(_CONNECT)
        with contextlib.suppress(OSError, ValueError):
            given, process = _line(peer).split()
            if secrets.compare_digest(given, token):
                peer.sendall(f"{token}\n".encode())
                found[int(process)] = _kept(peer)
                continue
        peer.close()
    return found


def _line(peer: socket.socket) -> str:
    return "".join(_characters(peer))


def _characters(peer: socket.socket) -> Iterator[str]:
    """Of one short line, one by one: what comes after it is for the thread."""
    for _ in range(100):
        byte = peer.recv(1)
        if byte in (b"", b"\n"):
            return
        yield byte.decode("ascii", "replace")


def _kept(peer: socket.socket) -> socket.socket:
    """Without time limits, and asked by the system whether the other machine is still there: within 20 s."""
    peer.settimeout(None)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return peer
