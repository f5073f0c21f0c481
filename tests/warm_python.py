"""Runs Python programs, each in a copy of this process, which has imported what takes seconds.

Only packages of others are imported here: a program imports runwright as at any other start.
`programs.py` asks for a program by sending one byte and file descriptors: standard input, output
and error, a JSON file that says what to run, and a pipe for the process number and, when the
program has ended, its status.
"""

import gc
import importlib
import io
import json
import multiprocessing.process
import os
import runpy
import signal
import socket
import struct
import sys
import types
from typing import Final, TypedDict

import numpy as np

# All that a small run and a sweep import, and what every optimiser imports: torch's compiler.
PACKAGES: Final = ("hydra.main", "matplotlib.figure", "optuna", "torch._dynamo")
STATUS: Final = struct.Struct("i")


class Request(TypedDict):
    """What to run, as after `python`, where, and with what to begin the path of imports."""

    arguments: list[str]
    cwd: str
    env: dict[str, str]
    path: list[str]
    new_session: bool
    is_new: bool  # a new Python has to read the environment


def next_program(control: socket.socket) -> Request:
    """Return in a new process, every time that a program is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and they end this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes between
    while True:
        _, fds, *_ = socket.recv_fds(control, 1, 5)
        if not fds:
            os._exit(0)  # whoever asked has ended
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            *program_fds, status = fds
            program = os.fork()
            if program == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                request = _take_over(program_fds)
                os.write(status, STATUS.pack(os.getpid()))
                os.close(status)
                return request
            _tell_status(program, program_fds, status)
        for fd in fds:
            os.close(fd)


def _tell_status(program: int, program_fds: list[int], status: int) -> None:
    """Be the parent that waits for the program, out of reach of what is sent to its group."""
    os.setsid()
    for fd in (0, 1, 2, *program_fds):
        os.close(fd)
    _, ended = os.waitpid(program, 0)
    os.write(status, STATUS.pack(ended))
    os._exit(0)


def _take_over(fds: list[int]) -> Request:
    *standard, said = fds
    with open(said) as file:  # noqa: PTH123  # it is a descriptor
        request: Request = json.load(file)
    for number, fd in enumerate(standard):
        os.dup2(fd, number)
    for fd in standard:
        os.close(fd)
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    # What multiprocessing noted when it was imported.
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]  # pyright: ignore[reportAttributeAccessIssue]
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[1:1] = request["path"]
    np.random.seed()
    sys.stdin = sys.__stdin__ = _text(0, "r")
    sys.stdout = sys.__stdout__ = _text(1, "w")
    sys.stderr = sys.__stderr__ = _text(2, "w")
    return request


def _text(fd: int, mode: str) -> io.TextIOWrapper:
    """A standard stream as Python opens it: errors by the line, output so on a terminal only."""
    errors = "backslashreplace" if fd == 2 else "strict"
    text = open(fd, mode, errors=errors, closefd=False)  # noqa: SIM115
    assert isinstance(text, io.TextIOWrapper)
    text.reconfigure(line_buffering=fd == 2 or text.isatty())
    return text


def run(arguments: list[str]) -> None:
    """Do what `python ARGUMENTS` does: `-c CODE …`, `-m MODULE …` or `SCRIPT …`."""
    sys.orig_argv[1:] = arguments
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if arguments[0] == "-m":
        sys.path[0] = os.getcwd()  # noqa: PTH109
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    if arguments[0] == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *arguments[2:]]
        code = compile(arguments[1], "<string>", "exec")
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(arguments[0]))  # noqa: PTH120
        sys.argv = arguments
        main.__file__ = os.path.abspath(arguments[0])  # noqa: PTH100
        with open(arguments[0], "rb") as file:  # noqa: PTH123
            code = compile(file.read(), main.__file__, "exec")
    exec(code, main.__dict__)


if __name__ == "__main__":
    for package in PACKAGES:
        importlib.import_module(package)
    gc.freeze()  # so that the copies share it
    program = next_program(socket.socket(fileno=int(sys.argv[1])))
    if program["is_new"]:
        os.execv(sys.executable, [sys.executable, *program["arguments"]])
    run(program["arguments"])
