#!/usr/bin/env python3
"""ps, gc and the sharing options: who is attached, what the killed leave, whose store it is."""

import json
import os
import shutil
import signal
import subprocess
import unittest

import tool_runner
from tool_runner import ToolTest


class Attached(ToolTest):
    def start_writer(self):
        """A process that has appended a line and waits for more."""
        writer = self.start_shoal("append", self.store, "key", "--lines",
                                  stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        writer.stdin.write(b"first\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "key").returncode == 0, writer)
        return writer

    def test_ps_lists_the_processes_that_are_attached(self):
        writer = self.start_writer()
        listed = json.loads(self.shoal("ps", "--json", self.store))
        self.assertEqual([each["process_id"] for each in listed], [writer.pid])
        self.assertEqual((listed[0]["command"], listed[0]["alive"], listed[0]["doing"]), ("shoal", True, "idle"))
        table = self.shoal("ps", self.store).decode().splitlines()
        self.assertEqual(len(table), 2)
        self.assertIn(str(writer.pid), table[1].split())
        writer.communicate(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(json.loads(self.shoal("ps", "--json", self.store)), [])

    def test_stat_names_nobody_when_nothing_is_held_back(self):
        self.start_writer()
        self.assertEqual(self.stat()["held_back_by"], [])


class Collecting(ToolTest):
    def setUp(self):
        super().setUp()
        self.arenas = self.path("arenas")
        os.mkdir(self.arenas)
        self.shoal("append", "--arena-dir", self.arenas, self.store, "key", "value")

    def gc(self, *arguments, min_age="0"):
        """The lines about this test's arenas."""
        lines = self.shoal("gc", "--only", "--min-age", min_age, *arguments, self.arenas).decode().splitlines()
        self.assertRegex(lines[-1], r"\A\d+ arenas?, \d+ bytes (freed|to free)\Z")
        return [line for line in lines if self.arenas in line]

    def test_gc_leaves_a_store_that_is_whole(self):
        self.assertEqual(self.gc(), [])
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")

    def test_gc_removes_an_arena_whose_directory_is_gone_and_says_why(self):
        arena = self.stat()["arena_path"]
        shutil.rmtree(self.store)
        for words in ("would remove", "removed"):
            arguments = ["--dry-run"] if words == "would remove" else []
            listed = self.gc(*arguments)
            self.assertEqual(len(listed), 1)
            self.assertTrue(listed[0].startswith(f"{words} {arena} ("), listed)
            self.assertTrue(listed[0].endswith(f"its directory {self.store} is gone"), listed)
        self.assertEqual(os.listdir(self.arenas), [])

    def test_gc_leaves_what_may_be_a_store_that_it_cannot_see_unless_by_force(self):
        shutil.rmtree(self.store)
        for age in ("60s", "5m", "1h", "1d"):
            (left,) = self.gc(min_age=age)
            self.assertRegex(left, r"\Aleft .*, but it was in use \d+ seconds ago \(--force takes it\)\Z")
        (taken,) = self.gc("--force", min_age="1d")
        self.assertRegex(taken, r"\Aremoved .*, but it was in use \d+ seconds ago\Z")
        self.assertEqual(os.listdir(self.arenas), [])

    def test_gc_leaves_what_a_process_has_open_and_takes_it_when_that_is_killed(self):
        writer = self.start_shoal("append", self.store, "key", "--lines", stdin=subprocess.PIPE)
        writer.stdin.write(b",line\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.shoal("get", self.store, "key") == b"value,line\n", writer)
        shutil.rmtree(self.store)
        self.assertRegex(self.gc()[0], r"\Aleft .* but processes have it open\Z")
        writer.send_signal(signal.SIGKILL)
        writer.wait(tool_runner.WATCHDOG_S)
        self.assertRegex(self.gc()[0], r"\Aremoved ")
        self.assertEqual(os.listdir(self.arenas), [])

    def test_gc_in_a_folder_that_is_not_there_is_an_error_that_names_it(self):
        result = self.run_shoal("gc", self.path("none"))
        self.assertEqual(result.returncode, 3)
        self.assertIn(self.path("none").encode(), result.stderr)


class Sharing(ToolTest):
    def test_a_store_of_a_group_is_made_so_and_needs_no_words_from_its_owner(self):
        self.shoal("append", "--group", str(os.getegid()), self.store, "key", "value")
        self.assertEqual(os.stat(self.store).st_mode & 0o7777, 0o2770)
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")

    def test_another_users_store_is_taken_only_by_any_owner(self):
        if os.geteuid() != 0:
            self.skipTest("giving files to another user needs root")
        self.shoal("append", self.store, "key", "value")
        for path in (self.stat()["arena_path"], os.path.join(self.store, "store.meta"), self.store):
            os.chown(path, 65534, -1)
        for command in (["get", self.store, "key"], ["stat", self.store], ["ps", self.store], ["keys", self.store],
                        ["verify", self.store], ["rm", self.store, "key"], ["drop", self.store], ["destroy", self.store]):
            with self.subTest(command=command):
                result = self.run_shoal(*command)
                self.assertEqual(result.returncode, 4)
                self.assertIn(b"--any-owner", result.stderr)
        self.assertEqual(self.shoal("get", "--any-owner", self.store, "key"), b"value")
        self.assertIn(b"sound", self.shoal("verify", "--any-owner", self.store))
        self.assertIn(b"sound", self.shoal("verify", "--any-owner", "--repair", self.store))
        self.shoal("destroy", "--any-owner", self.store)


if __name__ == "__main__":
    tool_runner.main()
