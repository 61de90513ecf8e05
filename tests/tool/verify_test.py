#!/usr/bin/env python3
"""shoal verify: what it says of sound and of damaged stores."""

import json
import os

import tool_runner
from tool_runner import ToolTest

TREE = 1352  # in the arena's header: src/FORMAT.md


class Verify(ToolTest):
    def verify(self, exit_code=0):
        result = self.run_shoal("verify", "--json", self.store)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        return json.loads(result.stdout)

    def overwrite(self, offset, data):
        with open(self.arena, "r+b") as arena:
            arena.seek(offset)
            before = arena.read(len(data))
            arena.seek(offset)
            arena.write(data)
        return before

    def setUp(self):
        super().setUp()
        self.shoal("append", self.store, "--memory", "16M", "apple", "red", "green")
        self.shoal("append", self.store, "pear", "yellow")
        self.arena = self.stat()["arena_path"]

    def test_a_sound_store_is_counted_and_exit_code_0(self):
        report = self.verify()
        self.assertTrue(report["sound"] and report["at_rest"])
        self.assertEqual((report["keys"], report["records"], report["payload_bytes"]), (2, 3, 14))
        self.assertEqual((report["damage"], report["not_checked"], report["blocks_leaked"]), ([], [], 0))
        text = self.shoal("verify", self.store).decode()
        self.assertTrue(text.endswith("\nsound\n"), text)
        self.assertIn(self.arena, text)

    def test_damage_is_named_and_exit_code_3(self):
        before = self.overwrite(TREE, (64 << 20).to_bytes(8, "little"))
        self.assertEqual(self.verify(3)["damage"][0]["invariant"], "layout I2")
        self.overwrite(TREE, before)
        with open(self.arena, "rb") as arena:
            offset = arena.read().index(b"\x05\x00\x00\x00apple")
        before = self.overwrite(offset + 4, b"A")
        report = self.verify(3)
        self.assertEqual([damage["invariant"] for damage in report["damage"]], ["chain I5"])
        self.assertEqual(report["damage"][0]["offset"], offset - 24)  # of the chain's hash
        result = self.run_shoal("verify", self.store)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"chain I5, at 0x%x: " % (offset - 24), result.stdout)
        self.assertRegex(result.stderr, rb"\Ashoal: the store .* is damaged")
        self.overwrite(offset + 4, before)
        self.verify()

    def test_a_store_in_use_is_checked_as_far_as_that_goes(self):
        writer = self.start_shoal("append", self.store, "log", "--lines", stdin=tool_runner.subprocess.PIPE)
        writer.stdin.write(b"a line\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "log").returncode == 0, writer)
        report = self.verify()
        self.assertEqual((report["at_rest"], report["slots_attached"], report["keys"]), (False, 1, 3))
        self.assertTrue(report["not_checked"])
        self.assertIn(b"not checked", self.shoal("verify", self.store))

    def test_what_a_killed_process_left_is_no_damage(self):
        writer = self.start_shoal("append", self.store, "log", "--lines", stdin=tool_runner.subprocess.PIPE)
        writer.stdin.write(b"a line\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "log").returncode == 0, writer)
        writer.kill()
        writer.wait()
        report = self.verify()
        self.assertEqual((report["at_rest"], report["slots_dead"], report["keys"]), (True, 1, 3))

    def test_a_repair_needs_the_store_for_itself(self):
        self.assertIn(b"sound", self.shoal("verify", "--repair", self.store))
        writer = self.start_shoal("append", self.store, "log", "--lines", stdin=tool_runner.subprocess.PIPE)
        writer.stdin.write(b"a line\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "log").returncode == 0, writer)
        self.assertIn(b"not repaired", self.shoal("verify", "--repair", self.store, exit_code=1))
        writer.kill()
        writer.wait()
        result = json.loads(self.shoal("verify", "--repair", "--json", self.store))
        self.assertEqual((result["slots_dead"], result["blocks_leaked"], result["not_repaired"]), (0, 0, ""))

    def test_a_store_that_is_not_there_or_without_its_arena_is_exit_code_3(self):
        self.shoal("verify", self.path("nowhere"), exit_code=3)
        os.rename(self.arena, self.arena + "-aside")
        self.shoal("verify", self.store, exit_code=3)
        os.rename(self.arena + "-aside", self.arena)

    def test_noise_in_the_arena_is_told_and_nothing_worse(self):
        with open(self.arena, "rb") as arena:
            before = arena.read()
        for byte in (b"\x00", b"\xff", b"\x41"):
            for offset in (4096, 1 << 20, 6 << 20, len(before) - (2 << 20)):
                self.overwrite(offset, byte * (1 << 20))
                self.assertIn(self.run_shoal("verify", self.store).returncode, (0, 3))
                self.overwrite(offset, before[offset:offset + (1 << 20)])
        self.verify()


if __name__ == "__main__":
    tool_runner.main()
