#!/usr/bin/env python3
"""shoal export and import: what leaves as Arrow or JSON lines comes back, record by record."""

import base64
import json
import os
import random
import struct
import subprocess
import unittest

import tool_runner
from tool_runner import ToolTest

END_OF_STREAM = struct.pack("<II", 0xFFFFFFFF, 0)


def random_store(seed, keys=60):
    """Keys and their records, of all bytes and lengths."""
    chance = random.Random(seed)

    def value(most):
        size = chance.choice([0, 1, chance.randrange(30), chance.randrange(most)])
        return bytes(chance.choices(b"ab\n\"\\\xc3\xa4\x00", k=size)) if chance.random() < 0.5 else chance.randbytes(size)

    return {value(300): [value(5000) for _ in range(chance.randrange(1, 20))] for _ in range(keys)}


def line_of(key, record):
    def member(name, value):
        try:
            return {name: value.decode()}
        except UnicodeDecodeError:
            return {name + "_base64": base64.b64encode(value).decode()}

    return json.dumps({**member("key", key), **member("record", record)}).encode() + b"\n"


def rows_of(lines):
    def value(row, name):
        return row[name].encode() if name in row else base64.b64decode(row[name + "_base64"], validate=True)

    return [(value(row, "key"), value(row, "record")) for row in map(json.loads, lines.split(b"\n")[:-1])]


class Interchange(ToolTest):
    def tearDown(self):
        self.run_shoal("destroy", "-f", self.copy())
        super().tearDown()

    def fill(self, store, model):
        lines = b"".join(line_of(key, record) for key, records in model.items() for record in records)
        self.shoal("import", store, "--jsonl", "--memory", "64M", stdin=lines)

    def contents(self, store):
        """The store's rows, by key, through JSON that Python reads."""
        found = {}
        for key, record in rows_of(self.shoal("export", store, "--jsonl")):
            found.setdefault(key, []).append(record)
        return found

    def copy(self):
        return self.path("copy")

    def test_what_is_exported_is_imported_in_each_format_by_files_and_pipes(self):
        for seed, options in enumerate(([], ["--jsonl"], ["--max-batch", "100"], ["--jsonl", "--max-batch", "1"])):
            with self.subTest(options=options):
                model = random_store(seed)
                self.fill(self.store, model)
                self.assertEqual(self.contents(self.store), model)
                rows = self.shoal("export", self.store, *options)
                self.shoal("import", self.copy(), "--memory", "64M", *options, stdin=rows)
                self.assertEqual(self.contents(self.path("copy")), model)
                self.shoal("drop", self.path("copy"))
                self.shoal("export", self.store, self.path("file"), *options)
                self.shoal("import", self.path("copy"), self.path("file"), *options)
                self.assertEqual(self.contents(self.path("copy")), model)
                self.assertFalse(os.path.exists(self.path("file.part")))
                self.shoal("destroy", self.path("copy"))
                self.shoal("destroy", self.store)

    def test_import_appends_and_keeps_the_order_within_a_key(self):
        self.shoal("append", self.store, "key", "first")
        lines = b"".join(line_of(b"key", b"%d" % number) for number in range(5000))
        self.shoal("import", self.store, "-", "--jsonl", "--max-batch", "1K", stdin=lines)
        expected = [b"first"] + [b"%d" % number for number in range(5000)]
        self.assertEqual(self.contents(self.store), {b"key": expected})
        through_arrow = self.shoal("export", self.store, "--max-batch", "1K")
        self.shoal("import", self.copy(), "--memory", "64M", stdin=through_arrow)
        self.assertEqual(self.contents(self.path("copy")), {b"key": expected})

    def test_a_prefix_chooses_keys(self):
        self.fill(self.store, {b"user:1": [b"a"], b"user:2": [b"b"], b"other": [b"c"]})
        some = rows_of(self.shoal("export", self.store, "--jsonl", "--prefix", "user:"))
        self.assertEqual(sorted(some), [(b"user:1", b"a"), (b"user:2", b"b")])
        self.shoal("import", self.copy(), "-p", "oth", "--memory", "64M", stdin=self.shoal("export", self.store))
        self.assertEqual(self.contents(self.path("copy")), {b"other": [b"c"]})

    def test_a_huge_record_and_spilled_ones_come_through(self):
        huge = random.Random(1).randbytes(40_000_000)
        self.shoal("append", self.store, "--memory", "64M", "--spill-dir", self.folder, "huge", stdin=huge)
        self.shoal("append", self.store, "huge", "a", "")
        self.shoal("spill", self.store)
        self.shoal("import", self.copy(), "--memory", "128M", stdin=self.shoal("export", self.store))
        self.assertEqual(self.shoal("get", self.path("copy"), "huge"), huge + b"a")
        self.assertEqual(json.loads(self.shoal("stat", "--json", self.path("copy")))["records"], 3)

    def test_an_empty_store_is_a_stream_without_rows(self):
        self.shoal("append", self.store, "key", "value")
        self.shoal("rm", self.store, "key")
        self.assertEqual(self.shoal("export", self.store, "--jsonl"), b"")
        rows = self.shoal("export", self.store)
        self.assertTrue(rows.endswith(END_OF_STREAM))
        self.shoal("import", self.copy(), "--memory", "64M", stdin=rows)
        self.assertEqual(self.contents(self.path("copy")), {})

    def test_export_reads_only_where_it_is_told_to(self):
        self.fill(self.store, {b"key": [b"a", b"b"]})
        self.assertEqual(rows_of(self.shoal("export", self.store, "--read-only", "--jsonl")), [(b"key", b"a"), (b"key", b"b")])

    def test_a_reader_that_goes_away_ends_an_export_in_silence(self):
        self.shoal("append", self.store, "--memory", "64M", "key", stdin=bytes(20_000_000))
        for options in ([], ["--jsonl"]):
            export = self.start_shoal("export", self.store, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            export.stdout.read(1000)
            export.stdout.close()
            self.assertEqual(export.stderr.read(), b"")
            self.assertEqual(export.wait(tool_runner.WATCHDOG_S), 0)

    def test_a_full_disk_ends_an_export_and_leaves_no_file(self):
        self.fill(self.store, {b"key": [b"value"]})
        with open("/dev/full", "wb") as full:
            result = self.run_shoal("export", self.store, stdout=full)
        self.assertEqual(result.returncode, 4)
        self.assertRegex(result.stderr, rb"\Ashoal: cannot write to standard output: No space left")
        self.shoal("export", self.store, "/dev/full", exit_code=4)
        self.shoal("export", self.store, self.path("none/file"), exit_code=4)
        self.write_file("file", b"as it was")
        limited = f"ulimit -f 1; exec {tool_runner.shoal_path} export {self.store} {self.path('file')} --jsonl"
        self.shoal("append", self.store, "long", stdin=bytes(3_000_000))
        result = subprocess.run(["bash", "-c", "trap '' XFSZ; " + limited], stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 4, result.stderr)
        with open(self.path("file"), "rb") as file:
            self.assertEqual(file.read(), b"as it was")
        self.assertFalse(os.path.exists(self.path("file.part")))

    def test_a_stream_that_is_cut_off_says_so_after_its_rows(self):
        self.fill(self.store, {b"key": [b"a", b"b", b"c"]})
        rows = self.shoal("export", self.store, "--max-batch", "1")
        result = self.run_shoal("import", self.copy(), "--memory", "64M", stdin=rows[: -len(END_OF_STREAM)])
        self.assertEqual(result.returncode, 5)
        self.assertEqual(
            result.stderr,
            b"shoal: the Arrow stream behind row 3: it is cut off\n"
            b"shoal: 3 rows before that were appended, and none behind it\n",
        )
        self.assertEqual(self.contents(self.path("copy")), {b"key": [b"a", b"b", b"c"]})

    def test_a_row_that_cannot_be_is_named_and_all_before_it_are_there(self):
        good = line_of(b"key", b"a") + line_of(b"key", b"b")
        for bad, message in (
            (b'{"key":"c"}\n', b"row 3, line 3: it has no record"),
            (b"junk\n", b"row 3, line 3: "),
            (line_of(b"k" * 70_000, b"c"), b"row 3: its key has 70000 bytes; the maximum is 65536"),
        ):
            with self.subTest(message=message):
                result = self.run_shoal(
                    "import", self.store, "--jsonl", "--memory", "64M", stdin=good + bad + line_of(b"key", b"d")
                )
                self.assertEqual(result.returncode, 5)
                self.assertTrue(result.stderr.startswith(b"shoal: " + message), result.stderr)
                self.assertIn(b"2 rows before that were appended", result.stderr)
                self.assertEqual(self.contents(self.store), {b"key": [b"a", b"b"]})
                self.shoal("destroy", self.store)

    def test_a_row_that_memory_does_not_hold_is_named(self):
        lines = line_of(b"small", b"a") + line_of(b"large", b"x" * 20_000_000) + line_of(b"small", b"b")
        result = self.run_shoal("import", self.store, "--jsonl", "--memory", "8M", stdin=lines)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"shoal: row 2 was not appended\n", result.stderr)
        self.assertEqual(self.contents(self.store), {b"small": [b"a"]})

    def test_input_that_is_nothing_of_the_kind_makes_no_store(self):
        for options, data in (([], b"a,b\n"), ([], b'{"key":"a","record":"b"}\n'), (["--jsonl"], b"ARROW1\0\0"), ([], b"")):
            self.shoal("import", self.store, *options, stdin=data, exit_code=5)
            self.assertFalse(os.path.exists(self.store))
        self.shoal("import", self.store, self.path("none"), exit_code=4)
        self.shoal("import", self.store, self.folder, exit_code=4)
        self.assertFalse(os.path.exists(self.store))

    def test_neither_way_holds_more_than_batches(self):
        with open(tool_runner.shoal_path, "rb") as program:
            if b"__asan_init" in program.read():
                self.skipTest("AddressSanitizer has more memory for itself than the limit")
        self.shoal("append", self.store, "--memory", "512M", "many", "--lines", stdin=b"%s\n" % (b"x" * 99) * 2_000_000)

        def shoal_in_60_mb(*arguments):  # beside the arena, which is shared memory
            command = ["bash", "-c", 'ulimit -d 60000; exec "$@"', "bash", tool_runner.shoal_path, *arguments]
            subprocess.run(command, check=True, timeout=tool_runner.WATCHDOG_S)

        for options in ([], ["--jsonl"]):
            with self.subTest(options=options):
                shoal_in_60_mb("export", self.store, self.path("out"), *options)
                self.assertGreater(os.stat(self.path("out")).st_size, 200_000_000)
                shoal_in_60_mb("import", self.copy(), self.path("out"), "--memory", "512M", *options)
                self.assertEqual(json.loads(self.shoal("stat", "--json", self.path("copy")))["records"], 2_000_000)
                self.shoal("destroy", self.path("copy"))
                os.unlink(self.path("out"))


if __name__ == "__main__":
    tool_runner.main()
