"""Processes that watch each other: who died, of what, and who said good-bye."""

import socket
import threading

import jax
import pytest

from identax.run import mesh, peers
from identax.run.mesh import agree


@pytest.fixture
def watched(monkeypatch):
    """A watch of process 1 out of 2, the other end of its connection, and what it heard of losses."""
    own, other = socket.socketpair()
    heard, event = [], threading.Event()

    def on_loss(text):
        heard.append(text)
        event.set()

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(peers, "_connect", lambda: {1: own})
    monkeypatch.setattr(peers, "_GRACE", 0.2)
    monkeypatch.setattr(peers, "_LINGER", 0.2)
    peers.watch(on_loss)
    yield other, heard, event
    peers.finished()
    own.close()
    other.close()


def test_a_closed_connection_is_a_death(watched):
    other, heard, event = watched
    other.close()
    assert event.wait(10) and heard == ["process 1 died"]


def test_the_last_words_are_passed_on_after_a_grace(watched):
    other, heard, event = watched
    other.sendall(b"fail process 1 ended: OSError: full\n")
    assert not event.wait(0.05)
    assert event.wait(10) and heard == ["process 1 ended: OSError: full"]
    assert other.makefile().readline() == "fail process 1 ended: OSError: full\n"  # so process 0 tells the others


def test_what_all_processes_raise_is_no_loss(watched):
    other, heard, event = watched
    other.sendall(b"fail process 1 ended: ValueError: found 1\n")
    peers.failed("ValueError: found\n1")
    assert not event.wait(0.5) and not heard
    assert other.makefile().readline() == "fail process 0 ended: ValueError: found 1\n"


def test_a_good_bye_is_no_loss(watched):
    other, heard, event = watched
    other.sendall(b"bye\n")
    other.close()
    assert not event.wait(0.3) and not heard
    peers.finished()
    peers.failed("nobody is watched any more")


def test_processes_find_each_other(monkeypatch):
    said, mine = [], threading.local()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: getattr(mine, "index", 0))
    there = threading.Event()

    def exchange(text):
        if jax.process_index() == 0:
            said.append(text)
            there.set()
        return said if there.wait(10) else []

    monkeypatch.setattr(peers, "exchange", exchange)
    found = {}

    def other():
        mine.index = 1
        found[1] = peers._connect()

    thread = threading.Thread(target=other)
    thread.start()
    found[0] = peers._connect()
    thread.join(20)
    found[1][0].sendall(b"bye\n")
    assert found[0][1].recv(10) == b"bye\n"
    found[0][1].close()
    found[1][0].close()


@pytest.mark.parametrize("kind", [OSError, FileNotFoundError, ValueError, UnicodeDecodeError])
def test_an_error_of_one_process_is_raised_by_all(kind, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    error = UnicodeDecodeError("ascii", b"x", 0, 1, "not\nASCII") if kind is UnicodeDecodeError else kind("no\nsuch")
    told = []

    def exchange(text):
        told.append(text)
        return [text, ""]

    def check():
        raise error

    monkeypatch.setattr(mesh, "exchange", exchange)
    with pytest.raises(ValueError if issubclass(kind, ValueError) else kind):
        agree(check)
    monkeypatch.setattr(mesh, "exchange", lambda text: [told[0], text])
    with pytest.raises(ValueError if issubclass(kind, ValueError) else kind) as raised:
        agree(lambda: None)
    assert str(raised.value) == str(error)
