#!/usr/bin/env python3
"""shoal append, get, keys, rm: what goes in comes out, byte for byte."""

import concurrent.futures
import json
import os
import random
import subprocess
import unittest

import tool_runner
from tool_runner import ToolTest

ALL_BYTES = bytes(range(256))


def random_bytes(size, seed):
    return random.Random(seed).randbytes(size)


class AppendAndGet(ToolTest):
    def test_what_append_reads_get_writes_byte_for_byte(self):
        data = random_bytes(5_000_001, seed=1) + ALL_BYTES
        self.shoal("append", self.store, "photo", stdin=data)
        self.assertEqual(self.shoal("get", self.store, "photo"), data)

    def test_a_file_and_a_pipe_give_the_same_record(self):
        data = random_bytes(3_000_000, seed=2)
        with open(self.write_file("input", data), "rb") as file:
            subprocess.run([tool_runner.shoal_path, "append", self.store, "file"], stdin=file, check=True)
        self.shoal("append", self.store, "pipe", stdin=data)
        self.assertEqual(self.shoal("get", self.store, "file"), data)
        self.assertEqual(self.shoal("get", self.store, "pipe"), data)
        self.assertEqual(self.stat()["records"], 2)

    def test_a_file_that_is_read_from_its_middle_gives_the_rest(self):
        path = self.write_file("input", b"headbody")
        with open(path, "rb", buffering=0) as file:
            file.seek(4)
            subprocess.run([tool_runner.shoal_path, "append", self.store, "key"], stdin=file, check=True)
        self.assertEqual(self.shoal("get", self.store, "key"), b"body")

    def test_empty_standard_input_is_one_empty_record(self):
        self.shoal("append", self.store, "key", stdin=b"")
        self.assertEqual(self.shoal("get", self.store, "key"), b"")
        self.assertEqual(self.stat()["records"], 1)

    def test_values_on_the_command_line_are_a_record_each(self):
        self.shoal("append", self.store, "key", "red", "", "green")
        self.assertEqual(self.shoal("get", self.store, "key"), b"redgreen")
        self.assertEqual(self.shoal("get", self.store, "key", "--records"), b"red\n\ngreen\n")

    def test_standard_input_is_left_alone_when_there_are_values(self):
        self.shoal("append", self.store, "key", "red", stdin=b"not this")
        self.assertEqual(self.shoal("get", self.store, "key"), b"red")

    def test_values_that_look_like_syntax_are_data(self):
        words = ["[1,2]", "{}", "++", "=x", "==", "[]", "-5", "get", "--", "-x", "--records", "--", "-"]
        self.shoal("append", self.store, "{}", *words[:8], "--", *words[9:])
        del words[8]
        expected = b"".join(word.encode() + b"\0" for word in words)
        self.assertEqual(self.shoal("get", self.store, "{}", "-0"), expected)
        self.assertEqual(self.shoal("get", "-0", "--", self.store, "{}"), expected)

    def test_a_later_append_goes_behind_an_earlier_one(self):
        for word in ("a", "b", "c"):
            self.shoal("append", self.store, "key", word)
        self.assertEqual(self.shoal("get", self.store, "key"), b"abc")

    def test_several_keys_come_in_the_order_asked(self):
        self.shoal("append", self.store, "a", "1")
        self.shoal("append", self.store, "b", "2")
        self.assertEqual(self.shoal("get", self.store, "b", "a", "b"), b"212")

    def test_records_can_be_separated_by_any_text(self):
        self.shoal("append", self.store, "key", "a", "b")
        self.assertEqual(self.shoal("get", self.store, "key", "--separator", "[;]"), b"a[;]b[;]")
        self.assertEqual(self.shoal("get", self.store, "key", "-s", ""), b"ab")

    def test_thousands_of_records_come_out_whole(self):
        lines = b"".join(b"%d\n" % number for number in range(50_000))
        self.shoal("append", self.store, "n", "--lines", stdin=lines)
        self.assertEqual(self.shoal("get", self.store, "n"), lines)
        self.assertEqual(self.shoal("get", self.store, "n", "-s", "."), lines.replace(b"\n", b"\n."))


class Lines(ToolTest):
    def round_trip(self, data, records):
        self.shoal("append", self.store, "key", "--lines", stdin=data)
        self.assertEqual(self.shoal("get", self.store, "key"), data)
        self.assertEqual(self.stat()["records"], records)

    def test_each_line_is_a_record_with_its_newline(self):
        self.round_trip(b"one\ntwo\nthree\n", 3)

    def test_a_last_line_without_newline_is_a_record_too(self):
        self.round_trip(b"one\ntwo", 2)

    def test_empty_lines_nul_and_carriage_returns_are_kept(self):
        self.round_trip(b"\n\n\0\r\n\n", 4)

    def test_lines_longer_than_any_buffer_are_kept(self):
        self.round_trip(b"a\n" + b"x" * 5_000_000 + b"\nb\n" + b"y" * 3_000_000, 4)

    def test_many_lines_of_all_lengths_are_kept(self):
        generator = random.Random(3)
        data = b"".join(b"z" * generator.randrange(200) + b"\n" for _ in range(100_000))
        self.round_trip(data, 100_000)

    def test_empty_input_appends_nothing(self):
        self.shoal("append", self.store, "key", "--lines", stdin=b"")
        self.shoal("get", self.store, "key", exit_code=1)

    def test_a_line_is_in_the_store_before_the_input_ends(self):
        writer = self.start_shoal("append", self.store, "log", "--lines", stdin=subprocess.PIPE)
        writer.stdin.write(b"first\nhalf of the sec")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "log").stdout == b"first\n", writer)
        writer.stdin.close()
        self.assertEqual(writer.wait(tool_runner.WATCHDOG_S), 0)
        self.assertEqual(self.shoal("get", self.store, "log"), b"first\nhalf of the sec")

    def test_writers_at_once_lose_nothing_and_each_keeps_its_order(self):
        writers, lines = 4, 20_000

        def write(writer):
            data = b"".join(b"%d %d\n" % (writer, line) for line in range(lines))
            return self.run_shoal("append", self.store, "shared", "--lines", stdin=data).returncode

        with concurrent.futures.ThreadPoolExecutor(writers) as pool:
            self.assertEqual(list(pool.map(write, range(writers))), [0] * writers)
        by_writer = {}
        for line in self.shoal("get", self.store, "shared").splitlines():
            writer, number = map(int, line.split())
            by_writer.setdefault(writer, []).append(number)
        self.assertEqual(by_writer, {writer: list(range(lines)) for writer in range(writers)})


class Keys(ToolTest):
    def test_a_key_of_any_bytes_can_be_given_in_hex(self):
        self.shoal("append", self.store, "--hex-key", ALL_BYTES.hex(), "value")
        self.assertEqual(self.shoal("get", self.store, "-x", ALL_BYTES.hex().upper()), b"value")
        self.assertEqual(self.shoal("keys", "--hex", self.store), ALL_BYTES.hex().encode() + b"\n")
        self.shoal("rm", self.store, "-x", ALL_BYTES.hex())
        self.assertEqual(self.shoal("keys", self.store), b"")

    def test_a_key_can_be_the_content_of_a_file(self):
        key = self.write_file("key", ALL_BYTES)
        self.shoal("append", self.store, "--key-file", key, "a", "b")
        self.shoal("append", "--key-file", key, self.store, stdin=b"c")
        self.shoal("append", self.store, "plain", "d")
        self.assertEqual(self.shoal("get", self.store, "plain", "--key-file", key), b"dabc")
        self.assertEqual(self.keys(), sorted([ALL_BYTES, b"plain"]))

    def test_the_empty_key_is_a_key(self):
        self.shoal("append", self.store, "", "value")
        self.assertEqual(self.shoal("get", self.store, ""), b"value")
        self.assertEqual(self.keys(), [b""])

    def test_the_longest_key_is_taken_and_a_longer_one_is_wrong_use(self):
        longest = self.write_file("longest", b"k" * 65536)
        too_long = self.write_file("too_long", b"k" * 65537)
        self.shoal("append", self.store, "--key-file", longest, "value")
        self.assertEqual(self.shoal("get", self.store, "--key-file", longest), b"value")
        self.shoal("append", self.store, "--key-file", too_long, "value", exit_code=2)
        self.assertEqual(self.keys(), [b"k" * 65536])

    def test_keys_that_file_systems_would_mangle_stay_apart(self):
        names = ["Foo", "foo", "Foo!", "../x", "/", ".", "é", "e\u0301", "con", "a/b", " "]
        for name in names:
            self.shoal("append", self.store, name, name)
        self.assertEqual(self.keys(), sorted(name.encode() for name in names))
        for name in names:
            self.assertEqual(self.shoal("get", self.store, name), name.encode())

    def test_keys_go_into_a_pipe_as_they_are(self):
        self.shoal("append", self.store, "a\nb", "1")
        self.assertEqual(self.shoal("keys", self.store), b"a\nb\n")
        self.assertEqual(self.shoal("keys", "-0", self.store), b"a\nb\0")

    def test_a_store_is_read_without_a_place_in_it(self):
        self.shoal("append", self.store, "apple", "red,", "green,")
        self.assertEqual(self.shoal("get", self.store, "apple", "--read-only"), b"red,green,")
        self.assertEqual(self.shoal("get", self.store, "apple", "--read-only", "-s", ";"), b"red,;green,;")
        self.assertEqual(self.shoal("keys", self.store, "--read-only"), b"apple\n")
        stats = json.loads(self.shoal("stat", self.store, "--json", "--read-only"))
        self.assertEqual((stats["keys"], stats["records"], stats["slots_in_use"]), (1, 2, 0))
        self.assertEqual(json.loads(self.shoal("stat", self.store, "--json"))["slots_in_use"], 1)
        self.assertEqual(self.shoal("get", self.store, "pear", "--read-only", exit_code=1), b"")
        self.shoal("append", self.store, "apple", "brown,", "--read-only", exit_code=2)

    def test_a_prefix_selects_keys(self):
        for name in ("user:1", "user:2", "group:1", "[x]"):
            self.shoal("append", self.store, name, "1")
        listed = self.shoal("keys", self.store, "--prefix", "user:")
        self.assertEqual(sorted(listed.splitlines()), [b"user:1", b"user:2"])
        self.assertEqual(self.shoal("keys", self.store, "-p", "["), b"[x]\n")
        self.assertEqual(self.shoal("keys", self.store, "-p", "nobody"), b"")

    def test_a_terminal_gets_keys_that_are_safe_to_show(self):
        names = {"a\nb": rb"a\nb", "\x1b[31m": rb"\x1b[31m", "back\\slash": rb"back\\slash", "é": "é".encode()}
        for name in names:
            self.shoal("append", self.store, name, "1")
        self.shoal("append", self.store, "-x", "ff00", "1")
        expected = sorted([*names.values(), rb"\xff\x00"])
        self.assertEqual(sorted(self.shoal("keys", "--escape", self.store).splitlines()), expected)
        ours, theirs = os.openpty()
        with os.fdopen(theirs, "wb") as terminal:
            self.assertEqual(self.run_shoal("keys", self.store, stdout=terminal).returncode, 0)
        with os.fdopen(ours, "rb") as screen:
            shown = os.read(screen.fileno(), 4096)
        self.assertEqual(sorted(shown.replace(b"\r\n", b"\n").splitlines()), expected)

    def test_many_keys_are_all_listed(self):
        names = [f"key-{number}" for number in range(300)]
        for name in names:
            self.shoal("append", self.store, name, "1")
        self.assertEqual(self.keys(), sorted(name.encode() for name in names))

    def test_the_keys_of_a_store_without_keys_are_none(self):
        self.shoal("append", self.store, "key", "1")
        self.shoal("rm", self.store, "key")
        self.assertEqual(self.shoal("keys", self.store), b"")


class Remove(ToolTest):
    def test_a_removed_key_is_gone_and_can_be_made_again(self):
        self.shoal("append", self.store, "a", "old")
        self.shoal("append", self.store, "b", "kept")
        self.shoal("rm", self.store, "a")
        self.shoal("get", self.store, "a", exit_code=1)
        self.shoal("append", self.store, "a", "new")
        self.assertEqual(self.shoal("get", self.store, "a", "b"), b"newkept")

    def test_removing_a_missing_key_is_a_no_and_the_others_go(self):
        self.shoal("append", self.store, "a", "1")
        self.shoal("append", self.store, "b", "1")
        self.shoal("rm", self.store, "a", "missing", "b", exit_code=1)
        self.assertEqual(self.keys(), [])

    def test_force_makes_no_complaint_about_a_missing_key(self):
        self.shoal("append", self.store, "a", "1")
        self.shoal("rm", "-f", self.store, "missing")

    def test_drop_removes_every_key_and_keeps_the_store(self):
        for name in ("a", "b", "c"):
            self.shoal("append", self.store, name, "1")
        store_id = self.stat()["store_id"]
        self.shoal("drop", self.store)
        self.assertEqual(self.keys(), [])
        self.assertEqual(self.stat()["store_id"], store_id)

    def test_destroy_leaves_no_trace(self):
        self.shoal("append", self.store, "a", "1")
        arena = self.stat()["arena_path"]
        self.assertTrue(os.path.exists(arena))
        self.shoal("destroy", self.store)
        self.assertFalse(os.path.exists(arena))
        self.assertFalse(os.path.exists(self.store))

    def test_after_destroy_a_store_starts_clean(self):
        self.shoal("append", self.store, "a", "1")
        self.shoal("destroy", self.store)
        self.shoal("append", self.store, "b", "2")
        self.assertEqual(self.keys(), [b"b"])


class Stat(ToolTest):
    def test_stat_counts_keys_records_and_bytes(self):
        self.shoal("append", self.store, "a", "12345", "678")
        self.shoal("append", self.store, "b", "9")
        fields = self.stat()
        self.assertEqual((fields["keys"], fields["records"], fields["payload_bytes"]), (2, 3, 9))
        self.assertEqual(os.path.realpath(fields["path"]), os.path.realpath(self.store))

    def test_stat_for_people_has_the_same_figures(self):
        self.shoal("append", self.store, "a", "12345", "678")
        table = dict(line.split(None, 1) for line in self.shoal("stat", self.store).decode().splitlines())
        self.assertEqual(table["keys"], "1")
        self.assertEqual(table["records"], "2")
        self.assertEqual(table["payload"], "8 bytes")

    def test_a_new_store_takes_the_options_and_an_old_one_keeps_its_own(self):
        arena_folder = self.path("arena")
        os.mkdir(arena_folder)
        options = ("--memory", "64M", "--arena-dir", arena_folder, "--group", str(os.getegid()))
        self.shoal("append", self.store, *options, "key", "1")
        first = self.stat()
        self.assertEqual(first["memory_limit_bytes"], 64 << 20)
        self.assertEqual(os.path.dirname(os.path.realpath(first["arena_path"])), os.path.realpath(arena_folder))
        self.assertEqual(os.stat(first["arena_path"]).st_mode & 0o777, 0o660)
        self.shoal("append", self.store, "--memory", "128MiB", "key", "2")
        self.assertEqual(self.stat()["memory_limit_bytes"], 64 << 20)


if __name__ == "__main__":
    tool_runner.main()
