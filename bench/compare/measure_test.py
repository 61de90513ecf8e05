#!/usr/bin/env python3
"""What bench/compare leaves behind when a run takes too long or it is ended itself: nothing."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import appends
import measure
from tables import READS, Peer

HERE = Path(__file__).resolve().parent
WATCHDOG_S = 60

# Stands in for a peer's program: a child that has left its session tells its id, and nothing ends.
PEER = """#!/bin/sh
setsid sh -c 'echo $$ >"$0"; exec sleep 1000' {told} &
exec sleep 1000
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "XZ"
    except OSError:
        return False


@unittest.skipUnless(measure.can_limit(), "no cgroup can be made here: that takes root")
class EndedTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shoal-measure-test-"))
        self.told = self.folder / "told"
        os.mkfifo(self.told)
        programs = self.folder / "build/bench/compare"
        programs.mkdir(parents=True)
        self.peer = programs / "compare_shoal"
        self.peer.write_text(PEER.format(told=self.told))
        self.peer.chmod(0o700)

    def tearDown(self) -> None:
        shutil.rmtree(self.folder)

    def groups_of(self, driver: int) -> list[str]:
        with measure.MemoryGroup.make() as probe:
            found = probe.folder.parent.glob(f"shoal-compare-{driver}-*")
            return [str(group) for group in found if group != probe.folder]

    def end_driver_by(self, number: signal.Signals) -> None:
        memory, out = self.folder / "memory", self.folder / "out"
        memory.mkdir()
        command = [sys.executable, str(HERE), "--mode", "smoke", "--only", "append", "--peers", "^shoal$", "--build",
                   str(self.folder / "build"), "--out", str(out), "--memory-folder", str(memory)]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peer = int(self.told.read_text())
        self.assertEqual(len(self.groups_of(driver.pid)), 1)
        driver.send_signal(number)
        _, words = driver.communicate(timeout=WATCHDOG_S)
        self.assertEqual(driver.returncode, 1, words)
        self.assertIn("bench/compare: ended", words)
        self.assertFalse(is_alive(peer))
        self.assertEqual(self.groups_of(driver.pid), [])
        self.assertEqual(list(memory.iterdir()), [])

    def test_a_driver_that_is_interrupted_leaves_no_process_no_cgroup_and_no_folder(self) -> None:
        self.end_driver_by(signal.SIGINT)

    def test_a_driver_that_is_terminated_leaves_no_process_no_cgroup_and_no_folder(self) -> None:
        self.end_driver_by(signal.SIGTERM)

    def test_a_command_that_takes_too_long_is_killed_with_all_that_it_has_started(self) -> None:
        told = os.open(self.told, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, told)
        words = b""
        for seconds in (1, 4, 16):  # the shortest in which the child comes to tell who it is
            measured = measure.run([str(self.peer)], dict(os.environ), seconds)
            with contextlib.suppress(BlockingIOError):
                words = os.read(told, 4096)
                break
        peer = int(words)
        self.assertEqual(measured.returncode, -signal.SIGKILL)
        self.assertTrue(measured.timed_out)
        self.assertIn(f"ended after {seconds} s", measured.stderr)
        self.assertFalse(is_alive(peer))
        self.assertEqual(self.groups_of(os.getpid()), [])

    def test_a_peer_that_is_ended_has_no_part_in_further_rounds_and_others_have(self) -> None:
        for name, words in (("hangs", "sleep 1000"), ("answers", """echo '{"error": "", "version": "1"}'""")):
            program = self.peer.with_name(name)
            program.write_text(f"#!/bin/sh\n{words}\n")
            program.chmod(0o700)
        peers = [Peer(name, name, (name,)) for name in ("hangs", "answers")]
        found = appends.nothing()
        place = appends.Place(self.folder / "build", Path(sys.executable), self.folder)
        with mock.patch.object(appends, "RUN_SECONDS", 0), contextlib.redirect_stderr(io.StringIO()):
            appends.turns(peers, next(iter(READS.values())), place, lambda peer: 3, appends.Limits(1, 0), found,
                          lambda peer: None)
        self.assertEqual([row["peer"] for row in found["thrown_out"]], ["hangs"])
        self.assertEqual([(row["peer"], row["round"]) for row in found["samples"]],
                         [("answers", 0), ("answers", 1), ("answers", 2)])

    def test_a_group_is_gone_after_a_failure_in_its_block(self) -> None:
        with self.assertRaises(ZeroDivisionError), measure.MemoryGroup.make():
            self.assertEqual(len(self.groups_of(os.getpid())), 1)
            raise ZeroDivisionError
        self.assertEqual(self.groups_of(os.getpid()), [])


if __name__ == "__main__":
    program = unittest.main(exit=False)
    ran, bad = program.result, len(program.result.failures) + len(program.result.errors)
    for case, reason in ran.skipped:
        print(f"SKIPPED: {case}: {reason}")
    print(f"{ran.testsRun - bad - len(ran.skipped)} passed, {bad} failed, {len(ran.skipped)} skipped")
    sys.exit(1 if bad else 0)
