"""Runs a command and measures it from outside: wall and CPU time, peak memory, bytes written, of all its processes.

Memory comes from a cgroup of the command's own, where one can be made (as root, or in a delegated tree), and else
from the sum of PSS over its processes, sampled. A cgroup can limit memory too, page cache included.
"""

import contextlib
import functools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

SAMPLE_SECONDS = 0.02
REMOVAL_SECONDS = 10  # a large process takes the kernel seconds to take apart


@dataclass(frozen=True)
class Measured:
    """Of one run of a command. Bytes written are those that went to a block device's page cache or past it."""

    returncode: int
    stdout: str
    stderr: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int  # anonymous and shared memory at once, sampled
    peak_with_cache_bytes: int  # the page cache of files too; 0 where there is no cgroup
    written_bytes: int
    memory_from: str
    timed_out: bool  # it did not end by itself


class MemoryGroup:
    """A memory cgroup, version 1 or 2, below the one that this process is in.

    A context manager: however its block is left, what still runs in the group is killed and the group is gone.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.folder, self.version = folder, version

    @classmethod
    def make(cls) -> Optional["MemoryGroup"]:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version = 1 if "memory" in controllers.split(",") else 2 if controllers == "" else 0
            root = Path("/sys/fs/cgroup/memory" if version == 1 else "/sys/fs/cgroup")
            folder = root / path.lstrip("/") / f"shoal-compare-{os.getpid()}-{time.monotonic_ns()}"
            if version == 0:
                continue
            with contextlib.suppress(OSError):
                folder.mkdir()
                if (folder / "memory.stat").exists():
                    return cls(folder, version)
                folder.rmdir()
        return None

    def __enter__(self) -> "MemoryGroup":
        return self

    def __exit__(self, *_: object) -> None:
        end = time.monotonic() + REMOVAL_SECONDS
        while self.folder.exists():
            self.kill()
            with contextlib.suppress(OSError):  # busy until the kernel is done with the last process
                self.folder.rmdir()
                return
            if time.monotonic() > end:
                print(f"bench/compare: {self.folder} cannot be removed", file=sys.stderr, flush=True)
                return
            time.sleep(SAMPLE_SECONDS)

    def kill(self) -> None:
        """Of everything inside, also what left the command's session."""
        with contextlib.suppress(OSError):
            for process in (self.folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)

    def limit(self, limit_bytes: int) -> None:
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.folder / name).write_text(str(limit_bytes))

    def enter(self) -> None:
        """Of the process that calls, between fork and exec."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def used(self) -> int:
        wanted = ("total_rss", "total_shmem") if self.version == 1 else ("anon", "shmem")
        rows = (line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return sum(int(value) for name, value in rows if name in wanted)

    def peak_with_cache(self) -> int:
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        with contextlib.suppress(OSError):
            return int((self.folder / name).read_text())
        return 0


@functools.cache
def can_limit() -> bool:
    with MemoryGroup.make() or contextlib.nullcontext() as group:
        return group is not None


def memory(name: str) -> int:
    """One of the sizes in /proc/meminfo, in bytes."""
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(rows[name].split()[0]) * 1024


def guard_bytes() -> int:
    """A limit for what needs none: a peer that takes more than the machine has is killed, and not its neighbours."""
    return memory("MemTotal") * 19 // 20 if can_limit() else 0


def descendants(root: int) -> Iterator[int]:
    yield root
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from descendants(int(child))


def pss(root: int) -> int:
    total = 0
    for process in descendants(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class Sampler(threading.Thread):
    def __init__(self, process: int, group: Optional[MemoryGroup]) -> None:
        super().__init__(daemon=True)
        self.process, self.group = process, group
        self.peak = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(OSError):
                self.peak = max(self.peak, self.group.used() if self.group else pss(self.process))


def kill(process: subprocess.Popen[str], group: Optional[MemoryGroup]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    if group:
        group.kill()


def run(
    command: Sequence[str], environment: dict[str, str], timeout_seconds: float, limit_bytes: int = 0
) -> Measured:
    """Ends the command and what it started when the time is over: then the return code is a negative one."""
    with MemoryGroup.make() or contextlib.nullcontext() as group:
        return run_in(group, command, environment, timeout_seconds, limit_bytes)


def run_in(
    group: Optional[MemoryGroup], command: Sequence[str], environment: dict[str, str], timeout_seconds: float,
    limit_bytes: int,
) -> Measured:
    if limit_bytes and group is None:
        raise RuntimeError("a memory limit needs a cgroup, and none can be made here (is this root?)")
    if limit_bytes and group is not None:
        group.limit(limit_bytes)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    process = subprocess.Popen(
        list(command), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=group.enter if group else None,
    )
    sampler = Sampler(process.pid, group)
    sampler.start()
    timed_out = False
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        kill(process, group)
        stdout, stderr = process.communicate()
        stderr += f"\nended after {timeout_seconds:.0f} s"
    except BaseException:
        kill(process, group)
        process.wait()
        sampler.over.set()
        raise
    wall = time.monotonic() - begun
    sampler.over.set()
    sampler.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(
        returncode=process.returncode,
        stdout=stdout,
        stderr=stderr,
        wall_seconds=wall,
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak_bytes=sampler.peak,
        peak_with_cache_bytes=group.peak_with_cache() if group else 0,
        written_bytes=(after.ru_oublock - before.ru_oublock) * 512,
        memory_from=f"cgroup v{group.version}" if group else "sum of PSS",
        timed_out=timed_out,
    )
