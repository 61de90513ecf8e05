#!/usr/bin/env python3
"""Stores larger than their memory, as the command makes, shows and removes them."""

import os
import random

import tool_runner
from tool_runner import ToolTest


class Spilling(ToolTest):
    def setUp(self):
        super().setUp()
        self.spills = self.path("spills")
        os.mkdir(self.spills)

    def make(self, *options):
        return ("--memory", "8M", "--spill-dir", self.spills, *options)

    def test_a_store_takes_four_times_its_memory_and_gives_it_back_byte_for_byte(self):
        data = random.Random(4).randbytes(32 << 20)
        for i in range(32):
            self.shoal("append", self.store, "key", *self.make(), stdin=data[i << 20 : i + 1 << 20])
        self.assertEqual(self.shoal("get", self.store, "key"), data)
        stat = self.stat()
        self.assertGreater(stat["spilled_bytes"], 20 << 20)
        self.assertGreaterEqual(stat["stored_bytes"], stat["spilled_bytes"])
        self.assertEqual(stat["payload_bytes"], len(data))
        self.assertEqual(stat["spill_files"], len(os.listdir(self.spills)))
        self.shoal("destroy", self.store)
        self.assertEqual(os.listdir(self.spills), [])

    def test_spill_writes_out_what_there_is_and_says_how_much_memory_that_freed(self):
        self.shoal("append", self.store, "key", *self.make("--codec", "zstd:3"), stdin=b"abc" * 100000)
        self.assertEqual(self.stat()["spilled_bytes"], 0)
        self.assertGreater(int(self.shoal("spill", self.store)), 300000)
        stat = self.stat()
        self.assertEqual(stat["spilled_bytes"], 300000)
        self.assertLess(stat["stored_bytes"], 30000)
        self.assertEqual(stat["codec"], "zstd:3")
        self.assertEqual(stat["spill_dir"], os.path.realpath(self.spills))
        self.assertEqual(self.shoal("get", self.store, "key"), b"abc" * 100000)
        self.assertEqual(self.shoal("spill", self.store, "--bytes", "1M"), b"0\n")

    def test_stat_shows_what_is_in_files_and_who_writes_them(self):
        self.shoal("append", self.store, "key", *self.make("--codec", "lz4"), stdin=b"x" * 1048576)
        self.shoal("spill", self.store)
        table = dict(line.split(None, 1) if line[:12].strip().count(" ") == 0 else (line[:16].strip(), line[16:])
                     for line in self.shoal("stat", self.store).decode().splitlines())
        self.assertEqual(table["resident"], "0 bytes")
        self.assertRegex(table["spilled"], r"\A1\.0 MiB \(1048576 bytes\), [1-9]\d* of the segments\Z")
        self.assertRegex(table["stored"], r"bytes\), \d{2,}\.\d\d times smaller by codec lz4\Z")
        self.assertEqual(table["spill folder"], os.path.realpath(self.spills))
        self.assertRegex(table["spill files"], r"\A1, .* on disk\Z")
        self.assertRegex(table["written by"], r"\A(io_uring|threads: .+)\Z")
        self.assertNotIn("last error", table)

    def test_stat_of_a_store_that_does_not_spill_has_nothing_to_say_of_files(self):
        self.shoal("append", self.store, "key", "value")
        self.assertNotIn(b"spill", self.shoal("stat", self.store))
        self.assertEqual(self.stat()["spill_dir"], "")
        result = self.run_shoal("spill", self.store)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"spill_dir", result.stderr)

    def test_a_folder_or_a_codec_that_does_not_do_is_named_and_nothing_is_made(self):
        for options, told in (
            (["--spill-dir", self.path("nowhere")], self.path("nowhere")),
            (["--spill-dir", tool_runner.shoal_path], tool_runner.shoal_path),
            (["--spill-dir", self.spills, "--codec", "gzip"], "zstd"),
            (["--spill-dir", self.spills, "--codec", "zstd:99"], "zstd"),
        ):
            with self.subTest(options=options):
                result = self.run_shoal("append", self.store, "key", "value", *options)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(told.encode(), result.stderr)
                self.assertEqual(os.listdir(self.folder), ["spills"])

    def test_a_disk_error_is_in_stat_and_the_data_stay(self):
        self.shoal("append", self.store, "key", *self.make(), "value")
        os.rmdir(self.spills)
        result = self.run_shoal("spill", self.store)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertEqual(self.stat()["spill_errno"], 2)
        self.assertIn(b"No such file", self.shoal("stat", self.store))
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")


if __name__ == "__main__":
    tool_runner.main()
