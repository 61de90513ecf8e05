#!/usr/bin/env python3
"""shoal sync, recover, append --durable: what outlives the machine's memory, by way of the command."""

import os
import re
import shutil

import tool_runner
from tool_runner import ToolTest


class Sync(ToolTest):
    def setUp(self):
        super().setUp()
        self.spills = self.path("spills")
        os.mkdir(self.spills)
        self.spilling = ("--memory", "16M", "--spill-dir", self.spills)

    def lose_memory(self):
        os.unlink(self.stat()["arena_path"])

    def test_a_synced_store_comes_back_by_any_command_and_recover_says_what_is_there(self):
        self.shoal("append", self.store, *self.spilling, "key", "a", "bc")
        self.assertIn(b"never", self.shoal("stat", self.store))
        self.assertEqual(self.shoal("sync", self.store), b"1 keys, 2 records of 3 bytes; 3 of them written now\n")
        self.assertEqual(self.shoal("sync", self.store), b"1 keys, 2 records of 3 bytes; 0 of them written now\n")
        self.assertGreater(self.stat()["synced_unix_s"], 0)
        self.shoal("append", self.store, "key", "not synced")
        self.lose_memory()
        lines = self.shoal("recover", self.store).decode().splitlines()
        self.assertEqual(lines[0], "restored")
        self.assertRegex(lines[1], r"\Asynced \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\Z")
        self.assertEqual(lines[2:], ["1 keys, 2 records of 3 bytes"])
        self.assertEqual(self.shoal("get", self.store, "key"), b"abc")
        self.assertTrue(self.shoal("recover", self.store).startswith(b"its arena is there"))
        self.lose_memory()
        self.assertEqual(self.shoal("get", self.store, "key"), b"abc")

    def test_append_durable_needs_no_folder_of_its_own(self):
        self.shoal("append", self.store, "--durable", "key", "value")
        self.assertEqual(len([name for name in os.listdir(self.store) if re.search(r"-checkpoint-\d+\Z", name)]), 1)
        self.lose_memory()
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")
        self.shoal("destroy", self.store)
        self.assertFalse(os.path.exists(self.store))

    def test_a_copy_is_refused_while_its_original_lives_and_recover_makes_it_a_store_of_its_own(self):
        copy = self.path("copy")
        self.addCleanup(self.run_shoal, "destroy", "-f", copy)
        self.shoal("append", self.store, "--durable", "key", "value,")
        shutil.copytree(self.store, copy)
        self.shoal("append", self.store, "key", "later")
        for command in (("get", copy, "key"), ("append", copy, "key", "x"), ("stat", copy), ("destroy", "-f", copy)):
            refused = self.run_shoal(*command)
            self.assertEqual(refused.returncode, 3, command)
            self.assertIn(f"shoal recover {copy}".encode(), refused.stderr)
        self.assertTrue(self.shoal("recover", copy).startswith(b"restored\n"))
        self.shoal("append", copy, "key", "of the copy")
        self.assertEqual(self.shoal("get", copy, "key"), b"value,of the copy")
        self.assertEqual(self.shoal("get", self.store, "key"), b"value,later")
        self.shoal("destroy", copy)
        self.assertFalse(os.path.exists(copy))
        self.assertEqual(self.shoal("get", self.store, "key"), b"value,later")

    def test_a_renamed_store_is_found_with_its_files_and_without_its_arena(self):
        self.shoal("append", self.store, "--durable", "key", "value")
        renamed = self.path("renamed")
        os.rename(self.store, renamed)
        self.store = renamed
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")
        self.assertEqual(self.shoal("verify", self.store).splitlines()[-1], b"sound")
        self.lose_memory()
        self.assertEqual(self.shoal("get", self.store, "key"), b"value")
        self.shoal("destroy", self.store)
        self.assertEqual(os.listdir(self.folder), ["spills"])

    def test_recover_names_what_is_damaged_and_leaves_the_rest(self):
        for key in ("one", "two"):
            self.shoal("append", self.store, *self.spilling, key, stdin=key.encode() * 50000)
        self.shoal("sync", self.store)
        self.lose_memory()
        [file] = [name for name in os.listdir(self.spills) if name.endswith(".spill")]
        with open(os.path.join(self.spills, file), "r+b") as spill:
            bytes_of_file = spill.read()
            at = bytes_of_file.index(b"twotwotwo")
            spill.seek(at)
            spill.write(b"X")
        result = self.run_shoal("recover", self.store)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"damaged: ", result.stdout)
        self.assertIn(file.encode(), result.stdout)
        self.assertEqual(self.shoal("get", self.store, "one"), b"one" * 50000)
        self.assertEqual(self.run_shoal("get", self.store, "two").returncode, 3)
        verified = self.run_shoal("verify", self.store)
        self.assertEqual(verified.returncode, 3)
        self.assertIn(file.encode(), verified.stdout)
        self.assertEqual(self.run_shoal("verify", "--no-files", self.store).returncode, 0)

    def test_a_damaged_checkpoint_is_named_and_a_store_without_one_has_nothing_to_recover(self):
        self.shoal("append", self.store, *self.spilling, "key", "value")
        arena = self.stat()["arena_path"]
        os.unlink(arena)
        result = self.run_shoal("recover", self.store)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"never synced", result.stderr)
        self.shoal("destroy", self.store)
        self.shoal("append", self.store, *self.spilling, "key", "value")
        self.shoal("sync", self.store)
        self.lose_memory()
        [checkpoint] = [name for name in os.listdir(self.spills) if re.search(r"-checkpoint-\d+\Z", name)]
        os.truncate(os.path.join(self.spills, checkpoint), 100)
        result = self.run_shoal("get", self.store, "key")
        self.assertEqual(result.returncode, 3)
        self.assertIn(checkpoint.encode(), result.stderr)

    def test_recover_and_verify_draw_how_far_they_are_on_a_terminal(self):
        keys = b"".join(b'{"key": "%d", "record": "%s"}\n' % (key, b"x" * 200) for key in range(50000))
        self.shoal("import", self.store, "--jsonl", "--memory", "64M", "--spill-dir", self.spills, stdin=keys)
        self.shoal("sync", self.store)
        self.lose_memory()
        drawn = self.run_on_terminal("recover", self.store)
        for what in (b"restore", b"check"):
            self.assertRegex(drawn, rb"%s \[#* *\] +\d+ %%  \d+ MB  \d+ MB/s" % what)
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), drawn)
        self.assertRegex(self.run_on_terminal("verify", self.store), rb"check \[#* *\] +\d+ %")

    def test_sync_of_a_store_that_does_not_spill_says_what_is_missing(self):
        self.shoal("append", self.store, "key", "value")
        result = self.run_shoal("sync", self.store)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"spill_dir", result.stderr)


if __name__ == "__main__":
    tool_runner.main()
