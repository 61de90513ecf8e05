"""What the tests of the command share: a folder and a store a test, a way to run the command, and main().

Every wait has a watchdog: a command that hangs fails its test. main() ends with "N passed, N failed, N skipped",
which tools/test adds up.
"""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

WATCHDOG_S = 300
shoal_path = None


class ToolTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="shoal-tool-test-")
        self.store = os.path.join(self.folder, "store")

    def tearDown(self):
        for name in os.listdir(self.folder):
            if os.path.exists(self.path(os.path.join(name, "store.meta"))):
                subprocess.run([shoal_path, "destroy", "-f", self.path(name)], capture_output=True, timeout=WATCHDOG_S)
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_file(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def run_shoal(self, *arguments, stdin=b"", **options):
        """Runs the command to its end; the result has returncode, stdout and stderr, as bytes."""
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(
            [shoal_path, *arguments], input=stdin, stderr=subprocess.PIPE, timeout=WATCHDOG_S, **options
        )

    def shoal(self, *arguments, stdin=b"", exit_code=0):
        """Runs the command, wants that exit code (and silence on stderr when it is 0), and returns its stdout."""
        result = self.run_shoal(*arguments, stdin=stdin)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        if exit_code == 0:
            self.assertEqual(result.stderr, b"")
        else:
            self.assertRegex(result.stderr, rb"\Ashoal: ")
        return result.stdout

    def run_on_terminal(self, *arguments):
        """Runs the command to its end with a terminal as its standard error; returns what it has drawn there."""
        outer, inner = pty.openpty()
        process = self.start_shoal(*arguments, stdout=subprocess.DEVNULL, stderr=inner)
        os.close(inner)
        drawn = b""
        while True:
            try:
                some = os.read(outer, 4096)
            except OSError:  # its end, of a terminal
                break
            if not some:
                break
            drawn += some
        os.close(outer)
        self.assertEqual(process.wait(WATCHDOG_S), 0)
        return drawn

    def start_shoal(self, *arguments, **options):
        process = subprocess.Popen([shoal_path, *arguments], **options)
        self.addCleanup(self.end, process)
        return process

    def wait_until(self, condition, process):
        """Asks again and again until `condition` holds; fails when the process ends first, or at the watchdog."""
        deadline = time.monotonic() + WATCHDOG_S
        while not condition():
            self.assertIsNone(process.poll(), "the process ended before what was waited for")
            self.assertLess(time.monotonic(), deadline, "what was waited for never came")

    def end(self, process):
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream and not stream.closed:
                stream.close()

    def stat(self):
        return json.loads(self.shoal("stat", "--json", self.store))

    def keys(self):
        """The store's keys as a sorted list of bytes."""
        listed = self.shoal("keys", "--hex", self.store).decode()
        return sorted(bytes.fromhex(line) for line in listed.splitlines())


def main():
    global shoal_path
    shoal_path = os.path.abspath(sys.argv.pop(1))
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    for test, reason in result.skipped:
        print(f"SKIPPED: {test.id()}: {reason}")
    failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    sys.exit(1 if failed else 0)
