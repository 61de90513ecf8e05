#!/usr/bin/env python3
"""What the command answers when something is wrong, or is asked: exit codes, messages, help, completion."""

import os
import re
import shutil
import subprocess
import sys
import unittest

import tool_runner
from tool_runner import ToolTest

COMPLETION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/tool/completion.bash")


def commands_in_help():
    text = subprocess.run([tool_runner.shoal_path, "--help"], capture_output=True, check=True).stdout.decode()
    listed = text.split("Subcommands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


class ExitCodes(ToolTest):
    def test_a_missing_key_is_exit_code_1_and_the_others_are_written(self):
        self.shoal("append", self.store, "a", "1")
        self.shoal("append", self.store, "b", "2")
        result = self.run_shoal("get", self.store, "a", "gone\x1b", "b")
        self.assertEqual((result.returncode, result.stdout), (1, b"12"))
        self.assertIn(rb"gone\x1b", result.stderr)

    def test_a_missing_key_is_told_apart_from_an_empty_value(self):
        self.shoal("append", self.store, "empty", "")
        self.assertEqual(self.shoal("get", self.store, "empty"), b"")
        self.assertEqual(self.shoal("get", self.store, "missing", exit_code=1), b"")

    def test_wrong_use_is_exit_code_2_and_touches_nothing(self):
        wrong = [
            [],
            ["nonsense"],
            ["append"],
            ["append", self.store],
            ["append", self.store, "key", "--nonsense", "value"],
            ["append", self.store, "key", "--memory", "lots", "value"],
            ["append", self.store, "key", "--memory", "99999999999G", "value"],
            ["append", self.store, "key", "--memory", "-1", "value"],
            ["append", self.store, "key", "--group", "no such group", "value"],
            ["append", self.store, "key", "--lines", "value"],
            ["append", self.store, "-x", "abc", "value"],
            ["append", self.store, "-x", "zz", "value"],
            ["get"],
            ["get", self.store],
            ["get", self.store, "key", "-0", "--separator", "x"],
            ["keys"],
            ["keys", self.store, "more"],
            ["keys", self.store, "-0", "--hex"],
            ["rm", self.store],
            ["stat"],
            ["stat", self.store, "more"],
            ["drop", self.store, "more"],
            ["destroy"],
            ["destroy", self.store, "more"],
        ]
        for arguments in wrong:
            with self.subTest(arguments=arguments):
                result = self.run_shoal(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, b"")
                self.assertRegex(result.stderr, rb"\Ashoal: .")
        self.assertEqual(os.listdir(self.folder), [])

    def test_only_append_makes_a_store(self):
        for command in (["get", self.store, "k"], ["keys", self.store], ["stat", self.store],
                        ["rm", self.store, "k"], ["drop", self.store], ["destroy", self.store]):
            with self.subTest(command=command):
                self.shoal(*command, exit_code=3)
                self.assertFalse(os.path.exists(self.store))

    def test_destroy_with_force_does_not_mind_that_there_is_none(self):
        self.shoal("destroy", "-f", self.store)

    def test_a_full_store_is_exit_code_3_and_keeps_what_it_acknowledged(self):
        lines = [b"%07d" % number + b"x" * 1000 + b"\n" for number in range(60_000)]
        result = self.run_shoal("append", self.store, "--memory", "16M", "key", "--lines", stdin=b"".join(lines))
        self.assertEqual(result.returncode, 3)
        appended = int(re.search(rb"the first (\d+) lines", result.stderr)[1])
        self.assertGreater(appended, 0)
        self.assertEqual(self.shoal("get", self.store, "key"), b"".join(lines[:appended]))
        self.shoal("append", self.store, "key", stdin=b"x" * (20 << 20), exit_code=3)
        self.assertEqual(self.shoal("get", self.store, "key"), b"".join(lines[:appended]))

    def test_a_full_store_takes_records_again_once_a_key_is_removed(self):
        self.shoal("append", self.store, "--memory", "16M", "big", "--lines", stdin=b"x\n" * 10_000_000, exit_code=3)
        self.shoal("rm", self.store, "big")
        self.shoal("append", self.store, "key", stdin=b"y" * (1 << 20))
        self.assertEqual(self.shoal("get", self.store, "key"), b"y" * (1 << 20))

    def test_damaged_metadata_is_exit_code_3(self):
        self.shoal("append", self.store, "key", "1")
        arena = self.stat()["arena_path"]
        self.addCleanup(lambda: os.path.exists(arena) and os.remove(arena))
        for name in os.listdir(self.store):
            path = os.path.join(self.store, name)
            if os.path.isfile(path) and not os.path.islink(path) and not os.path.samefile(path, arena):
                with open(path, "r+b") as file:
                    file.write(b"\xa5" * 64)
        self.shoal("get", self.store, "key", exit_code=3)

    def test_a_lost_arena_is_exit_code_3_and_named(self):
        self.shoal("append", self.store, "key", "1")
        arena = self.stat()["arena_path"]
        os.remove(arena)
        result = self.run_shoal("get", self.store, "key")
        self.assertEqual(result.returncode, 3)
        self.assertIn(arena.encode(), result.stderr)

    def test_a_store_that_is_destroyed_under_a_writer_is_exit_code_3(self):
        writer = self.start_shoal("append", self.store, "key", "--lines",
                                  stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        writer.stdin.write(b"first\n")
        writer.stdin.flush()
        self.wait_until(lambda: self.run_shoal("get", self.store, "key").returncode == 0, writer)
        refused = self.run_shoal("destroy", self.store)
        self.assertEqual(refused.returncode, 3)
        self.assertIn(f"process {writer.pid} ".encode(), refused.stderr)
        self.shoal("destroy", "--force", self.store)
        _, complaint = writer.communicate(b"second\n", timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(writer.returncode, 3, complaint)

    def test_a_store_of_somebody_else_is_exit_code_4(self):
        self.shoal("append", self.store, "key", "1")
        os.chmod(self.folder, 0o755)
        if os.geteuid() != 0:
            self.skipTest("acting as another user needs root")
        shoal = shutil.copy(tool_runner.shoal_path, self.path("shoal"))
        result = subprocess.run([shoal, "get", self.store, "key"], capture_output=True, user=65534, group=65534)
        self.assertEqual((result.returncode, result.stdout), (4, b""), result.stderr)
        self.assertRegex(result.stderr, rb"\Ashoal: ")

    def test_a_store_below_a_folder_that_is_not_there_is_wrong_use(self):
        self.shoal("append", self.path("no/such/store"), "key", "1", exit_code=2)
        self.assertFalse(os.path.exists(self.path("no")))

    def test_an_arena_without_room_is_exit_code_4(self):
        script = (
            'mkdir "$1" && mount -t tmpfs -o size=1m tmpfs "$1" || exit 99\n'
            'head -c 900000 /dev/zero > "$1/fill"\n'
            '"$2" append --arena-dir "$1" "$3" key value'
        )
        result = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", self.path("small"),
             tool_runner.shoal_path, self.store],
            capture_output=True, timeout=tool_runner.WATCHDOG_S)
        if result.returncode == 99 or b"unshare" in result.stderr:
            self.skipTest("a tmpfs of its own cannot be mounted here")
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn(self.path("small").encode(), result.stderr)
        self.assertFalse(os.path.exists(self.store))

    def test_an_output_that_cannot_be_written_is_exit_code_4(self):
        self.shoal("append", self.store, "key", "value")
        for arguments in (["get", self.store, "key"], ["keys", self.store], ["stat", self.store], ["--help"]):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                self.assertEqual(self.run_shoal(*arguments, stdout=full).returncode, 4)

    def test_an_input_that_cannot_be_read_is_exit_code_4(self):
        for arguments in (["key"], ["key", "--lines"]):
            with self.subTest(arguments=arguments):
                folder = os.open(self.folder, os.O_RDONLY)
                self.addCleanup(os.close, folder)
                result = subprocess.run([tool_runner.shoal_path, "append", self.store, *arguments],
                                        stdin=folder, capture_output=True, timeout=tool_runner.WATCHDOG_S)
                self.assertEqual(result.returncode, 4)
                self.assertIn(b"standard input", result.stderr)

    def test_a_key_file_that_cannot_be_read_is_exit_code_4(self):
        self.shoal("append", self.store, "--key-file", self.path("none"), "value", exit_code=4)
        self.shoal("append", self.store, "--key-file", self.folder, "value", exit_code=4)
        self.assertFalse(os.path.exists(self.store))

    def test_a_reader_that_goes_away_is_no_error(self):
        lines = b"".join(b"%d\n" % number for number in range(1_000_000))
        self.shoal("append", self.store, "key", "--lines", stdin=lines)
        for arguments in (["get", self.store, "key"], ["get", self.store, "key", "--records"]):
            with self.subTest(arguments=arguments):
                process = self.start_shoal(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual(process.stdout.readline(), b"0\n")
                process.stdout.close()
                self.assertEqual(process.stderr.read(), b"")
                self.assertEqual(process.wait(tool_runner.WATCHDOG_S), 0)

    def test_in_a_shell_pipe_everything_fits_together(self):
        script = (
            'set -euo pipefail; seq 100000 | "$1" append "$2" n --lines\n'
            '"$1" get "$2" n | head -n 1\n'
            '"$1" keys -0 "$2" | xargs -0 "$1" get "$2" -- | tail -n 1'
        )
        result = subprocess.run(["bash", "-c", script, "bash", tool_runner.shoal_path, self.store],
                                capture_output=True, timeout=tool_runner.WATCHDOG_S)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"1\n100000\n", b""))


class Help(ToolTest):
    def test_every_command_has_help_with_examples(self):
        for command in commands_in_help():
            with self.subTest(command=command):
                text = self.shoal(command, "--help").decode()
                self.assertIn(f"Usage: shoal {command}", text)
                self.assertRegex(text, rf"Examples?:\n(.*\n)*.*shoal {command}")

    def test_the_commands_are_those_that_the_documents_name(self):
        commands = set(commands_in_help())
        self.assertLessEqual({"append", "get", "keys", "stat", "rm", "drop", "destroy"}, commands)

    def test_the_help_names_every_exit_code(self):
        text = self.shoal("--help").decode()
        for code in range(6):
            self.assertRegex(text, rf"\b{code} ")

    def test_help_lines_fit_a_terminal(self):
        for command in commands_in_help():
            for line in self.shoal(command, "--help").decode().splitlines():
                self.assertLessEqual(len(line), 116, line)

    def test_version_is_one_line(self):
        self.assertRegex(self.shoal("--version"), rb"\Ashoal \d+\.\d+\.\d+\n\Z")


class Completion(ToolTest):
    def complete(self, line):
        """What bash would offer at the end of the line; `shoal` in it is the command under test."""
        script = (
            'source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _shoal\n'
            '((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"'
        )
        folder = self.path("bin")
        if not os.path.exists(folder):
            os.mkdir(folder)
            os.symlink(tool_runner.shoal_path, os.path.join(folder, "shoal"))
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": self.folder}
        result = subprocess.run(["bash", "-c", script, "bash", COMPLETION, line], cwd=self.folder,
                                env=environment, capture_output=True, timeout=tool_runner.WATCHDOG_S)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return sorted(result.stdout.decode().splitlines())

    def test_a_shell_that_sources_it_completes_shoal_with_it(self):
        result = subprocess.run(["bash", "-c", 'source "$1"; complete -p shoal', "bash", COMPLETION],
                                capture_output=True, check=True)
        self.assertEqual(result.stdout, b"complete -F _shoal shoal\n")

    def test_it_completes_every_command(self):
        offered = self.complete("shoal ")
        self.assertLessEqual(set(commands_in_help()), set(offered))
        self.assertEqual(self.complete("shoal ap"), ["append"])
        self.assertEqual(self.complete("shoal --v"), ["--version"])

    def test_it_completes_every_option_of_every_command(self):
        for command in commands_in_help():
            with self.subTest(command=command):
                text = self.shoal(command, "--help").decode()
                options = re.findall(r"^  (?:-\w,)?(--[\w-]+)", text, re.M)
                self.assertIn("--help", options)
                self.assertEqual(self.complete(f"shoal {command} --"), sorted(options))

    def test_it_completes_stores_as_folders(self):
        os.mkdir(self.path("folder"))
        self.write_file("file", b"")
        self.assertEqual(self.complete("shoal get f"), ["folder"])

    def test_it_completes_the_keys_of_the_store(self):
        for name in ("apple", "apricot", "user:1", "user:2", "my key", "new\nline"):
            self.shoal("append", self.store, name, "1")
        self.assertEqual(self.complete("shoal get store ap"), ["apple", "apricot"])
        self.assertEqual(self.complete("shoal get ~/store ap"), ["apple", "apricot"])
        self.assertEqual(self.complete("shoal rm -f store apple apr"), ["apricot"])
        self.assertEqual(self.complete("shoal append --memory 1G store app"), ["apple"])
        self.assertEqual(self.complete("shoal get store my"), [r"my\ key"])
        self.assertEqual(self.complete("shoal get store my\\ "), [r"my\ key"])
        self.assertEqual(self.complete('shoal get store "my'), ["my key"])
        self.assertEqual(self.complete("shoal get store new"), [])
        self.assertEqual(self.complete("shoal append store apple a"), [])
        self.assertEqual(self.complete("shoal keys store a"), [])

    def test_of_a_key_with_a_colon_it_gives_what_bash_replaces(self):
        for name in ("user:1", "user:2"):
            self.shoal("append", self.store, name, "1")
        self.assertEqual(self.complete("shoal get store us"), ["user:1", "user:2"])
        self.assertEqual(self.complete("shoal get store user:"), ["1", "2"])

    def test_a_store_that_is_not_there_offers_no_keys(self):
        self.assertEqual(self.complete("shoal get nowhere "), [])

    def test_it_completes_the_value_of_an_option_by_its_kind(self):
        os.mkdir(self.path("folder"))
        self.write_file("file", b"")
        self.assertEqual(self.complete("shoal append --arena-dir f"), ["folder"])
        self.assertEqual(self.complete("shoal append --key-file f"), ["file", "folder"])
        self.assertEqual(self.complete("shoal append --memory "), [])


if __name__ == "__main__":
    tool_runner.main()
