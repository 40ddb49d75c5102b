"""The fork server: a process that has imported what parties need and forks one whenever it is asked to.

It imports but never computes, so its children share its memory until they write to it. It speaks over one
SOCK_SEQPACKET socket: a request is the log's path with the child's control socket attached; it answers `("forked",
pid)` in order (or `("failed", reason)`), and `("exited", pid, status)` as soon as a child ends. When its launcher is
gone it ends every child; when it is killed itself, the kernel does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

import msgspec
import setproctitle

from .link import SocketStream
from .parent import end_with_parent
from .play import play

MAX_REQUEST = 8192
_LOOK_EVERY = 0.2


class ForkServer:
    """Forks parties and reaps them; one thread, so that forking is safe."""

    def __init__(self, launcher: socket.socket) -> None:
        self._launcher = launcher
        self._children: set[int] = set()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)

    def serve(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_in.fileno(), warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._launcher, select.POLLIN)
        poll.register(self._wake_out, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake_out.fileno():
                    self._wake_out.recv(4096)
                    self._reap()
                elif not self._request():
                    self._end_all()
                    return

    def _request(self) -> bool:
        """Fork one child; False when the launcher is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._launcher, MAX_REQUEST, 1)
        except OSError:
            return False
        if not data:
            return False
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell("failed", str(error.strerror))
        else:
            if pid == 0:
                self._become_party(data.decode(), descriptors[0], parent)
            self._children.add(pid)
            self._tell("forked", pid)
        os.close(descriptors[0])
        return True

    def _become_party(self, log: str, descriptor: int, parent: int) -> NoReturn:
        status = 70
        try:
            end_with_parent(parent)  # a signal for the end of a thread; here that is the server's only one
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._launcher.close()
            self._wake_in.close()
            self._wake_out.close()
            to_log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(to_log, 1)
            os.dup2(to_log, 2)
            os.close(to_log)
            play(SocketStream(socket.socket(fileno=descriptor)))
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)  # the interpreter's own ending would run what belongs to the parent

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                self._tell("exited", pid, os.waitstatus_to_exitcode(status))

    def _end_all(self) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _tell(self, *message: str | int | float) -> None:
        with contextlib.suppress(OSError):
            self._launcher.send(msgspec.msgpack.encode(message))


def _end_with(launcher: socket.socket) -> None:
    """Until the timer is taken off: see now and then whether the launcher is gone, and end if so. Imports take long."""

    def look(*_: object) -> None:
        try:
            gone = not launcher.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY, _LOOK_EVERY)


def main() -> None:
    """`python -m unfed.console.party.forkserver DESCRIPTOR MODULE…`: preload the modules, then serve."""
    launcher = socket.socket(fileno=int(sys.argv[1]))
    setproctitle.setproctitle("unfed fork-server")
    began = time.perf_counter()
    end_with_parent()  # at once, even while a library loads or when stopped; the console's main thread started us
    _end_with(launcher)
    gc.disable()  # it would look for garbage a quarter of the time, and imports leave none to speak of
    for module in sys.argv[2:]:
        try:
            importlib.import_module(module)
        except Exception as error:  # a party that needs it will say so itself
            print(f"cannot load {module} ahead: {error}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()  # or the children's collector would write to every shared page
    gc.enable()
    signal.setitimer(signal.ITIMER_REAL, 0)
    server = ForkServer(launcher)
    server._tell("warm", time.perf_counter() - began)
    server.serve()


if __name__ == "__main__":
    main()
