#!/usr/bin/env python3
"""shoal backup and shoal restore: one file of a store, and a store of it, by way of the command."""

import os
import pty
import stat
import subprocess

import tool_runner
from tool_runner import ToolTest


class Backup(ToolTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("backup")
        self.restored = self.path("restored")
        self.addCleanup(self.run_shoal, "destroy", "--force", self.restored)

    def fill(self, *options):
        self.shoal("append", self.store, "--memory", "64M", *options, "numbers", "--lines", stdin=self.lines())
        self.shoal("append", self.store, "apple", "red", "green")

    def lines(self):
        return b"".join(b"%d\n" % number for number in range(100_000))

    def check_restored(self):
        self.assertEqual(self.shoal("get", self.restored, "numbers"), self.lines())
        self.assertEqual(self.shoal("get", self.restored, "apple", "--records"), b"red\ngreen\n")
        self.shoal("verify", self.restored)

    def test_a_store_that_is_made_of_a_backup_holds_what_was_backed_up(self):
        self.fill()
        size = len(self.lines()) + 8
        said = self.shoal("backup", self.store, self.file).decode()
        self.assertEqual(
            said, f"2 keys, 100002 records of {size} bytes in {os.stat(self.file).st_size} bytes\n"
        )
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        said = self.shoal("restore", self.file, self.restored).decode()
        self.assertRegex(
            said, rf"\A2 keys, 100002 records of {size} bytes, as of \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n\Z"
        )
        self.check_restored()
        result = self.run_shoal("restore", self.file, self.restored)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"destroy that store first", result.stderr)
        self.check_restored()

    def test_a_backup_goes_through_a_pipe(self):
        self.fill("--durable", "--codec", "lz4")
        with subprocess.Popen([tool_runner.shoal_path, "backup", self.store, "-"], stdout=subprocess.PIPE) as backup:
            restore = subprocess.run(
                [tool_runner.shoal_path, "restore", "-", self.restored],
                stdin=backup.stdout,
                capture_output=True,
                timeout=tool_runner.WATCHDOG_S,
            )
        self.assertEqual((backup.returncode, restore.returncode), (0, 0), restore.stderr)
        self.assertTrue(restore.stdout.endswith(b"; synced\n"))
        self.check_restored()
        os.unlink(self.stat_of(self.restored)["arena_path"])
        self.check_restored()

    def stat_of(self, store):
        self.store, before = store, self.store
        try:
            return self.stat()
        finally:
            self.store = before

    def test_a_reader_that_goes_away_is_an_error_since_the_backup_is_not_whole(self):
        self.fill()
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as closed:
            result = self.run_shoal("backup", self.store, "-", stdout=closed)
        self.assertEqual(result.returncode, 4)
        self.assertEqual(result.stderr, b"shoal: cannot write to standard output: Broken pipe\n")

    def test_a_full_disk_and_missing_places_are_named_and_have_exit_code_4(self):
        self.fill()
        result = self.run_shoal("backup", self.store, "/dev/full")
        self.assertEqual(result.returncode, 4)
        self.assertIn(b"/dev/full: No space left on device", result.stderr)
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.run_shoal("backup", self.store, "-", stdout=full).returncode, 4)
        result = self.run_shoal("backup", self.store, self.path("none/backup"))
        self.assertEqual(result.returncode, 4)
        self.assertIn(b"none/backup.part: No such file", result.stderr)
        result = self.run_shoal("restore", self.path("none"), self.restored)
        self.assertEqual(result.returncode, 4)
        self.assertIn(b"No such file", result.stderr)
        self.assertEqual(self.run_shoal("backup", self.path("no store"), self.file).returncode, 3)
        self.assertFalse(os.path.exists(self.restored))

    def test_a_damaged_backup_and_what_is_none_have_exit_code_3(self):
        self.fill()
        self.shoal("backup", self.store, self.file)
        with open(self.file, "rb") as file:
            whole = file.read()
        for data, says in ((whole[:-1], b"cut off"), (whole[:-5000] + bytes(5000), b"damaged"), (b"text", b"no backup")):
            self.write_file("backup", data)
            result = self.run_shoal("restore", self.file, self.restored)
            self.assertEqual(result.returncode, 3)
            self.assertIn(says, result.stderr)
            self.assertIn(self.file.encode(), result.stderr)
            self.assertFalse(os.path.exists(self.restored))
        self.write_file("backup", b"\2" + whole[1:])
        result = self.run_shoal("restore", self.file, self.restored)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"version 2 of the format, and this build reads version 1", result.stderr)

    def test_an_interrupted_backup_says_how_to_go_on_and_goes_on(self):
        for key in range(60):
            self.shoal("append", self.store, "--memory", "64M", str(key), stdin=os.urandom(500_000))
        wanted = {key: self.shoal("get", self.store, str(key)) for key in range(60)}
        # As long as it may be, by ulimit -f in units of 1024 bytes.
        limited = ["bash", "-c", f"ulimit -f 20000; exec '{tool_runner.shoal_path}' backup '{self.store}' '{self.file}'"]
        result = subprocess.run(limited, capture_output=True, timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn(b"--resume goes on with it", result.stderr)
        self.assertFalse(os.path.exists(self.file))
        said = self.shoal("backup", self.store, self.file, "--resume")
        self.assertRegex(said, rb"; \d+ of them were there\n\Z")
        self.shoal("restore", self.file, self.restored, "--memory", "64M")
        self.assertEqual({key: self.shoal("get", self.restored, str(key)) for key in range(60)}, wanted)

    def test_progress_is_drawn_on_a_terminal_alone_and_no_backup_is_written_to_one(self):
        self.shoal("append", self.store, "--memory", "64M", "key", stdin=os.urandom(30_000_000))
        for arguments in (("backup", self.store, self.file), ("restore", self.file, self.restored)):
            drawn = self.run_on_terminal(*arguments)
            self.assertRegex(drawn, rb"%s \[#* *\] +\d+ %%  \d+ MB  \d+ MB/s" % arguments[0].encode())
            self.assertTrue(drawn.endswith(b"\r\x1b[K"), drawn)
        outer, inner = pty.openpty()
        result = self.run_shoal("backup", self.store, "-", stdout=inner)
        self.assertEqual(result.returncode, 2)
        os.close(inner)
        os.close(outer)


if __name__ == "__main__":
    tool_runner.main()
