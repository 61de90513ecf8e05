#!/usr/bin/env python3
"""shoal shuffle from outside: against sort and awk and Python's csv, its failures, and what they leave behind."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile

import tool_runner
from tool_runner import ToolTest


class ShuffleTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.out = self.path("out")
        self.spills = self.path("spills")
        os.mkdir(self.spills)

    def shuffle(self, *arguments, exit_code=0, **options):
        """Runs the job; returns its summary when it is to succeed, else what it says on stderr."""
        result = self.run_shoal("shuffle", *arguments, "--out", self.out, "--json", **options)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        if exit_code == 0:
            self.assertEqual(result.stderr, b"")
            return json.loads(result.stdout)
        self.assertNothingIsLeft()
        return result.stderr.decode()

    def assertNothingIsLeft(self):
        hidden = [name for name in os.listdir(self.folder) if ".shoal-" in name]
        self.assertEqual(hidden, [])
        self.assertFalse(os.path.exists(self.out))
        self.assertEqual(os.listdir(self.spills), [])

    def manifest(self):
        with open(os.path.join(self.out, "manifest.json")) as file:
            return json.load(file)

    def partition(self, name):
        with open(os.path.join(self.out, name), "rb") as file:
            return file.read()

    def rows(self):
        """All rows of all partitions as a sorted list of lines, headers left out."""
        manifest = self.manifest()
        skip = 1 if manifest["format"] in ("csv", "tsv") else 0
        files = [self.partition(part["file"]) for part in manifest["partitions"]]
        return sorted(line for file in files for line in file.splitlines(keepends=True)[skip:])

    def verify_manifest(self):
        manifest = self.manifest()
        self.assertEqual(manifest["rows"], sum(part["rows"] for part in manifest["partitions"]))
        for part in manifest["partitions"]:
            self.assertEqual(part["bytes"], os.path.getsize(os.path.join(self.out, part["file"])))
        if tool_runner.shutil.which("xxh128sum"):
            names = "".join(part["file"] + "\n" for part in manifest["partitions"]).encode()
            printed = subprocess.run(
                ["xargs", "-d", "\\n", "xxh128sum"], input=names, capture_output=True, check=True, cwd=self.out
            ).stdout.decode()
            self.assertEqual(
                printed.splitlines(), [part["xxh128"] + "  " + part["file"] for part in manifest["partitions"]]
            )
        self.assertEqual(
            sorted(os.listdir(self.out)), sorted(["manifest.json"] + [part["file"] for part in manifest["partitions"]])
        )
        return manifest

    def write_plain_csv(self, rows=20000, name="plain.csv"):
        chooser = random.Random(7)
        lines = [f"{i},k{chooser.randrange(500)},{'x' * chooser.randrange(40)}\n" for i in range(rows)]
        return self.write_file(name, ("id,key,text\n" + "".join(lines)).encode())


class Results(ShuffleTest):
    def test_the_partitions_hold_the_rows_that_sort_sees_in_the_input(self):
        path = self.write_plain_csv()
        summary = self.shuffle(path, "--by", "key", "-n", "7", "-w", "3", "--chunk", "5000")
        self.assertEqual((summary["rows"], summary["partitions"]), (20000, 7))
        self.verify_manifest()
        env = {**os.environ, "LC_ALL": "C"}
        expected = subprocess.run(["sh", "-c", f"tail -n +2 {path} | sort"], capture_output=True, check=True, env=env)
        self.assertEqual(b"".join(self.rows()), expected.stdout)

    def test_one_partition_a_value_is_what_awk_selects(self):
        path = self.write_plain_csv(5000)
        self.shuffle(path, "--by", "key", "--by-value", "-w", "2", "--chunk", "1K")
        manifest = self.verify_manifest()
        values = subprocess.run(["sh", "-c", f"tail -n +2 {path} | cut -d, -f2 | LC_ALL=C sort -u"], capture_output=True)
        self.assertEqual([part["value"] for part in manifest["partitions"]], values.stdout.decode().split())
        for part in manifest["partitions"][:20]:
            program = f'NR == 1 || $2 == "{part["value"]}"'
            expected = subprocess.run(["awk", "-F,", program, path], capture_output=True, check=True).stdout
            found = self.partition(part["file"])
            self.assertEqual(found.splitlines()[0], b"id,key,text")
            self.assertEqual(sorted(found.splitlines()), sorted(expected.splitlines()))

    def test_a_key_is_in_one_partition_whatever_the_number_of_workers(self):
        path = self.write_plain_csv(3000)
        seen = []
        for workers in range(1, 9):
            self.shuffle(path, "--by", "key", "-n", "5", "-w", str(workers), "--chunk", str(100 * workers), "--force")
            seen.append([sorted(self.partition(f"part-{i:05}.csv").splitlines()) for i in range(5)])
        self.assertTrue(all(one == seen[0] for one in seen))
        keys = [{line.split(b",")[1] for line in part} - {b"key"} for part in seen[0]]
        self.assertEqual(sum(map(len, keys)), len(set().union(*keys)))

    def test_quotes_newlines_and_crlf_are_read_as_pythons_csv_reads_them(self):
        chooser = random.Random(3)
        pieces = ["a", '"', ",", "\n", "\r\n", " ", "\u00e9", "long " * 20]
        table = [["k,1", "va\nlue", 'the "x"']]
        table += [["".join(chooser.choices(pieces, k=chooser.randrange(4))) or "-" for _ in "abc"] for _ in range(3000)]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(table)
        path = self.write_file("quoted.csv", b"\xef\xbb\xbf" + text.getvalue().encode())
        self.shuffle(path, "--by", 'the "x"', "-n", "4", "-w", "3", "--chunk", "777")
        self.verify_manifest()
        rows = []
        for number in range(4):
            part = csv.reader(io.StringIO(self.partition(f"part-{number:05}.csv").decode(), newline=""))
            self.assertEqual(next(part), table[0])
            rows += part
        self.assertEqual(sorted(rows), sorted(table[1:]))

    def test_json_lines_go_by_the_value_of_a_key(self):
        lines = [json.dumps({"n": i, "user": f"u\u00e9{i % 3}"}, ensure_ascii=i % 2 == 0) + "\n" for i in range(300)]
        path = self.write_file("log.jsonl", "".join(lines).encode())
        self.shuffle(path, "--by", "user", "--by-value", "-w", "2", "--chunk", "100")
        manifest = self.verify_manifest()
        self.assertEqual([part["value"] for part in manifest["partitions"]], ["u\u00e90", "u\u00e91", "u\u00e92"])
        self.assertEqual({part["rows"] for part in manifest["partitions"]}, {100})
        self.assertEqual(self.rows(), sorted(line.encode() for line in lines))

    def test_lines_go_by_a_fields_number_as_awk_counts_it(self):
        text = "".join(f"  a{i}\t b{i % 4} c \n" for i in range(200))
        path = self.write_file("fields.txt", text.encode())
        self.shuffle(path, "--by", "2", "--by-value")
        self.assertEqual(sorted(os.listdir(self.out)), ["manifest.json"] + [f"value-b{i}.txt" for i in range(4)])
        passwd = self.write_file("passwd", b"root:x:0:/bin/sh\nme:x:1:/bin/bash\n")
        self.shuffle(passwd, "--format", "lines", "--delimiter", ":", "--by", "4", "--by-value", "--force")
        self.assertEqual(self.partition("value-%2Fbin%2Fbash.txt"), b"me:x:1:/bin/bash\n")

    def test_a_tab_separated_file_has_no_quoting(self):
        path = self.write_file("t.tsv", b'k\tv\r\n"a\t1\r\nb"\t2')
        self.shuffle(path, "--by", "k", "--by-value")
        self.assertEqual(self.partition("value-%22a.tsv"), b'k\tv\r\n"a\t1\r\n')
        self.assertEqual(self.partition("value-b%22.tsv"), b'k\tv\r\nb"\t2\r\n')

    def test_standard_input_and_a_fifo_are_as_good_as_a_file(self):
        data = b"k,v\n" + b"".join(b"%d,x\n" % (i % 10) for i in range(5000))
        from_pipe = self.shuffle("-", "--by", "k", "-n", "3", "-w", "2", "--chunk", "999", stdin=data)
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        writer = subprocess.Popen(["sh", "-c", f"cat > {fifo}"], stdin=subprocess.PIPE)
        writer.stdin.write(data)
        writer.stdin.close()
        from_fifo = self.shuffle(fifo, "--by", "k", "-n", "3", "--force")
        writer.wait(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual((from_pipe["rows"], from_fifo["rows"]), (5000, 5000))

    def test_several_inputs_are_one_and_have_one_header(self):
        paths = [self.write_file(f"{i}.csv", b"k,v\na,%d" % i) for i in range(3)] + [self.write_file("e.csv", b"")]
        self.shuffle(*paths, "--by", "k", "-n", "1")
        self.assertEqual(sorted(self.partition("part-00000.csv").splitlines()), [b"a,0", b"a,1", b"a,2", b"k,v"])

    def test_an_input_without_rows_gives_empty_partitions(self):
        header = self.shuffle(self.write_file("h.csv", b"k,v"), "--by", "k", "-n", "2")
        self.assertEqual((header["rows"], self.partition("part-00001.csv")), (0, b"k,v\n"))
        nothing = self.shuffle(self.write_file("n.csv", b""), "--by", "k", "-n", "2", "--force")
        self.assertEqual((nothing["rows"], self.partition("part-00001.csv")), (0, b""))

    def test_blank_lines_are_counted_and_no_rows(self):
        summary = self.shuffle(self.write_file("b.csv", b"\nk\n\n1\n\r\n2\n\n"), "--by", "k", "-n", "1")
        self.assertEqual((summary["rows"], summary["blank_lines"]), (2, 4))

    def test_a_value_that_is_no_file_name_gets_one_and_the_manifest_knows_it(self):
        values = ["", ".", "..", "../x", "a/b", "A", "a", "%41", "\u00e9", "v" * 500, "v" * 499 + "w"]
        rows = "".join(f'"{value}",1\n' for value in values).encode() + b"\xff,1\n"
        self.shuffle(self.write_file("v.csv", b"k,n\n" + rows), "--by", "k", "--by-value")
        manifest = self.verify_manifest()
        self.assertEqual(sorted(part.get("value", "\xff") for part in manifest["partitions"]), sorted(values + ["\xff"]))
        self.assertEqual([part["value_hex"] for part in manifest["partitions"] if "value_hex" in part], ["ff"])

    def test_a_named_store_is_gone_afterwards_unless_it_is_kept(self):
        path = self.write_plain_csv(100)
        self.shuffle(path, "--by", "key", "-n", "2", "--store", self.store)
        self.assertFalse(os.path.exists(self.store))
        self.shuffle(path, "--by", "key", "-n", "2", "--store", self.store, "--keep-store", "--force")
        self.assertEqual(self.keys(), [b"part-00000", b"part-00001"])
        self.assertEqual(self.stat()["records"], 100)


class LargerThanMemory(ShuffleTest):
    """Rows of three times the memory give what they give in memory, by whichever way they go."""

    def setUp(self):
        super().setUp()
        # Thousands of files of many pieces: a disk that is mounted with `discard` takes a minute to remove them.
        if tool_runner.shutil.disk_usage("/dev/shm").free > 1 << 30:
            folder = tempfile.mkdtemp(prefix="shoal-tool-test-", dir="/dev/shm")
            self.addCleanup(tool_runner.shutil.rmtree, folder)
            self.out = os.path.join(folder, "out")
        chooser = random.Random(16)
        text = chooser.randbytes(75000).hex()
        self.large = self.path("large.csv")
        with open(self.large, "w") as file:
            file.write("id,key,text\n")
            for i in range(60_000):
                begin = chooser.randrange(148_000)
                file.write(f"{i},k{chooser.randrange(5000)},{text[begin : begin + chooser.randrange(1900)]}\n")

    def rows_by_partition(self):
        parts = (part["file"] for part in self.manifest()["partitions"])
        return {part: sorted(self.partition(part).splitlines()) for part in parts}

    def each_way(self, partitions, *ways):
        """Each way's summary, when its partitions were found to be as they should."""
        arguments = (self.large, "--by", "key", *partitions, "--force")
        summary = self.shuffle(*arguments, "--store", self.path("all"), "--keep-store")
        self.assertEqual((summary["spilled_bytes"], summary["early_bytes"]), (0, 0))
        self.shoal("destroy", self.path("all"))
        in_memory = self.rows_by_partition()
        summaries = []
        for options in ways:
            with self.subTest(options=options):
                summary = self.shuffle(*arguments, "--memory", "16M", *options)
                self.verify_manifest()
                self.assertEqual(self.rows_by_partition(), in_memory)
                self.assertEqual(os.listdir(self.spills), [])
                summaries.append(summary)
        return summaries

    def test_rows_are_written_while_others_are_read(self):
        for summary in self.each_way(
            ("-n", "48"), (), ("--page-cache", "--spill-dir", self.spills), ("-w", "5"), ("--store", self.store)
        ):
            self.assertGreater(summary["early_bytes"], 40 << 20)
            self.assertLess(summary["spilled_bytes"], 8 << 20)  # a spiller may run ahead of the last rows

    def test_so_they_are_without_a_limit_when_they_are_many(self):
        for options in ((), ("-w", "1")):
            summary = self.shuffle(self.large, "--by", "key", "-n", "8", "--force", *options)
            self.assertGreater(summary["early_bytes"], 16 << 20)
            self.verify_manifest()

    def test_rows_of_many_partitions_are_spilled(self):
        ways = [("--spill-dir", self.spills, *more) for more in ((), ("--codec", "lz4"), ("--page-cache",))]
        for summary in self.each_way(("-n", "1000"), *ways):
            self.assertEqual(summary["early_bytes"], 0)
            self.assertGreater(summary["spilled_bytes"], 30 << 20)
            self.assertGreater(summary["stored_bytes"], 0)

    def test_rows_of_many_partitions_are_written_where_no_memory_is_left_for_them(self):
        for partitions in (("-n", "1000"), ("--by-value",)):
            for summary in self.each_way(partitions, (), ("-w", "5")):
                self.assertGreater(summary["early_bytes"], 40 << 20)

    def test_rows_of_a_store_that_is_kept_stay_there(self):
        kept = ("--store", self.store, "--keep-store", "--spill-dir", self.spills)
        self.shuffle(self.large, "--by", "key", "-n", "64", "--memory", "16M", *kept)
        self.verify_manifest()
        self.assertEqual(self.stat()["records"], 60_000)
        self.shoal("destroy", self.store)
        self.assertEqual(os.listdir(self.spills), [])

    def test_the_summary_says_how_much_was_written_early_and_how_much_was_spilled(self):
        path = self.write_file("large.csv", b"k,v\n" + b"".join(b"%d,%s\n" % (i, b"x" * 1000) for i in range(30000)))
        arguments = ("shuffle", path, "--by", "k", "--memory", "8M", "--out", self.out, "--force")
        early = self.run_shoal(*arguments, "-n", "4")
        self.assertEqual(early.returncode, 0, early.stderr)
        self.assertRegex(early.stdout, rb"\nearly       \d\d,\d{3},\d{3} bytes, written while others were read\n")
        spilled = self.run_shoal(*arguments, "-n", "400", "--spill-dir", self.spills, "--codec", "lz4")
        self.assertEqual(spilled.returncode, 0, spilled.stderr)
        self.assertRegex(spilled.stdout, rb"\nspilled     \d\d,\d{3},\d{3} bytes, [\d,]+ in files\n")


class Failures(ShuffleTest):
    def test_a_malformed_row_names_file_line_and_what_is_wrong_for_any_number_of_workers(self):
        rows = ["k,v,w\n"] + [f'{i},"x\ny",z\n' for i in range(500)]
        rows[300] = "1,2\n"
        rows[301] = '1,b"2,3\n'
        rows[400] = '1,"2"x,3\n'
        path = self.write_file("bad.csv", "".join(rows).encode())
        line = 1 + "".join(rows[:300]).count("\n")
        for workers in range(1, 9):
            said = self.shuffle(path, "--by", "k", "-n", "4", "-w", str(workers), "--chunk", "300", exit_code=5)
            self.assertIn(f"{path}:{line}: 2 fields where the header has 3", said)
        for workers in (1, 2, 5):
            summary = self.shuffle(
                path, "--by", "k", "-n", "4", "-w", str(workers), "--chunk", "300", "--on-bad-row=skip", "--force"
            )
            self.assertEqual((summary["rows"], summary["skipped_rows"]), (497, 3))
            self.assertEqual([bad["line"] for bad in summary["first_skipped"]], [line, line + 1, line + 2 + 98 * 2])
            self.assertEqual(
                summary["skipped_by_reason"],
                {"stray quote in an unquoted field": 1, "text after a closing quote": 1, "wrong number of fields": 1},
            )

    def test_what_is_wrong_with_a_line_is_said_for_each_format(self):
        cases = [
            ("a.csv", b'k,v\n1,"open\n2,3\n', "k", ":2: quote that is never closed"),
            ("b.jsonl", b'{"k":1}\n{"k":1\n', "k", ":2: invalid JSON"),
            ("c.jsonl", b"[1]\n", "k", ":1: JSON that is not an object"),
            ("d.jsonl", b'{"k":1}\n\n{"v":1}\n', "k", ":3: object without the key 'k'"),
            ("e.txt", b"a b\n\nc\n", "2", ":3: too few fields: 1 field where --by asks for number 2"),
            ("f.csv", b'k,"v\n1,2\n', "k", ":1: quote that is never closed (in the header)"),
        ]
        for name, data, by, expected in cases:
            said = self.shuffle(self.write_file(name, data), "--by", by, "-n", "2", exit_code=5)
            self.assertIn(name + expected, said)

    def test_headers_that_differ_are_named_with_their_column(self):
        first = self.write_file("1.csv", b"k,v\n")
        other = self.write_file("2.csv", b"k,w\n")
        said = self.shuffle(first, other, "--by", "k", "-n", "1", exit_code=5)
        self.assertIn(f"column 2 is 'v' in {first} and 'w' in {other}", said)

    def test_wrong_use_is_exit_code_2_and_leaves_nothing(self):
        path = self.write_plain_csv(3)
        for arguments in (
            [path, "--by", "nope", "-n", "2"],
            [path, "--by", "key"],
            [path, "--by", "key", "-n", "2", "--by-value"],
            [path, "--by", "key", "-n", "2", "--delimiter", "ab"],
            ["-", "-", "--by", "key", "-n", "2"],
            [path, "--by", "key", "-n", "2", "--format", "xml"],
        ):
            self.shuffle(*arguments, exit_code=2)
        self.shuffle(self.path("missing.csv"), "--by", "k", "-n", "1", exit_code=4)

    def test_a_folder_that_is_not_empty_is_replaced_by_force_only(self):
        path = self.write_plain_csv(10)
        os.mkdir(self.out)
        self.write_file("out/precious", b"")
        result = self.run_shoal("shuffle", path, "--by", "key", "-n", "1", "--out", self.out)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(os.listdir(self.out), ["precious"])
        self.shuffle(path, "--by", "key", "-n", "1", "--force")
        self.assertEqual(sorted(os.listdir(self.out)), ["manifest.json", "part-00000.csv"])
        self.assertEqual([name for name in os.listdir(self.folder) if ".shoal-" in name], [])

    def test_the_memory_limit_is_an_error_that_says_what_to_raise(self):
        row = self.write_file("row.csv", b"k,v\n1,2\n2," + b"x" * 20_000_000 + b"\n")
        rows = self.write_file("rows.csv", b"k,v\n" + b"".join(b"%d,%s\n" % (i, b"x" * 1000) for i in range(30000)))
        for path, options in ((row, ()), (rows, ("--store", self.store, "--keep-store"))):
            said = self.shuffle(path, "--by", "k", "-n", "4", "--memory", "8M", *options, exit_code=3)
            self.assertIn("--memory", said)

    def test_a_folder_to_spill_to_that_is_not_there_is_named(self):
        path = self.write_plain_csv(10)
        nowhere = self.path("nowhere")
        said = self.shuffle(path, "--by", "key", "-n", "2", "--spill-dir", nowhere, exit_code=4)
        self.assertIn(nowhere, said)
        self.shuffle(path, "--by", "key", "-n", "2", "--codec", "lz4", exit_code=2)
        self.shuffle(path, "--by", "key", "-n", "2", "--page-cache", exit_code=2)

    def test_a_store_that_is_not_empty_is_left_alone(self):
        path = self.write_plain_csv(10)
        self.shoal("append", self.store, "mine", "1")
        said = self.shuffle(path, "--by", "key", "-n", "2", "--store", self.store, exit_code=3)
        self.assertIn("not empty", said)
        self.assertEqual(self.shoal("get", self.store, "mine"), b"1")


class Deaths(ShuffleTest):
    """A worker is stopped as soon as it shows, so that it cannot end before it is killed."""

    def start_with_stopped_worker(self, role, *options):
        rows = b"".join(b"%d\t%d\n" % (i % 1000, i) for i in range(2_000_000))
        path = self.write_file("large.tsv", b"k\tv\n" + rows)
        for _ in range(50):
            job = self.start_shoal(
                "shuffle", path, "--by", "k", "-n", "4", "-w", "2", "--out", self.out, *options,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            worker = self.stop_worker(job, role)
            if worker:
                return job, worker
            job.communicate(timeout=tool_runner.WATCHDOG_S)
            tool_runner.shutil.rmtree(self.out)
        self.fail("no worker could be stopped in 50 runs")

    def stop_worker(self, job, role):
        while job.poll() is None:
            for pid in self.children(job.pid):
                try:
                    with open(f"/proc/{pid}/comm") as file:
                        if not file.read().startswith("shoal-" + role):
                            continue
                    os.kill(pid, signal.SIGSTOP)
                    while self.state(pid) not in "TZX":
                        pass
                    if self.state(pid) == "T":
                        return pid
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return None

    def children(self, pid):
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                return [int(word) for word in file.read().split()]
        except FileNotFoundError:
            return []

    def state(self, pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "X"

    def assertCause(self, job, expected):
        _, said = job.communicate(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(job.returncode, 4, said)
        self.assertRegex(said.decode(), expected)
        self.assertNothingIsLeft()

    def test_a_mapper_that_is_killed_fails_the_job_with_its_cause(self):
        job, worker = self.start_with_stopped_worker("mapper")
        os.kill(worker, signal.SIGKILL)
        self.assertCause(job, rf"mapper \d \(pid {worker}\) was killed by signal 9 \(Killed\) while reading .*large.tsv")

    def test_a_mapper_that_is_killed_while_others_wait_for_it_fails_the_job(self):
        """The other one soon has enough for both to write, and waits for the one that is stopped."""
        job, worker = self.start_with_stopped_worker("mapper", "--memory", "8M")
        others = []
        while not others or self.state(others[0]) != "S":
            others = [pid for pid in self.children(job.pid) if pid != worker]
        os.kill(worker, signal.SIGKILL)
        self.assertCause(job, rf"mapper \d \(pid {worker}\) was killed by signal 9 \(Killed\) while reading .*large.tsv")

    def test_a_job_that_spills_forks_beside_no_thread(self):
        """What such a thread holds stays locked in the child: of AddressSanitizer's allocator, for one."""
        job, worker = self.start_with_stopped_worker("mapper", "--memory", "16M", "--spill-dir", self.spills)
        self.assertEqual(os.listdir(f"/proc/{job.pid}/task"), [str(job.pid)])
        os.kill(worker, signal.SIGCONT)
        _, said = job.communicate(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(job.returncode, 0, said)

    def test_a_reducer_that_is_killed_fails_the_job_with_its_cause(self):
        job, worker = self.start_with_stopped_worker("reducer")
        os.kill(worker, signal.SIGKILL)
        self.assertCause(job, rf"reducer \d \(pid {worker}\) was killed by signal 9 \(Killed\) while writing part-")

    def test_sigterm_ends_the_job_and_its_workers_and_leaves_nothing(self):
        job, worker = self.start_with_stopped_worker("mapper")
        job.terminate()
        job.communicate(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(job.returncode, -signal.SIGTERM)
        self.assertEqual(self.state(worker), "X")
        self.assertNothingIsLeft()

    def test_sigterm_ends_a_job_that_spills_and_leaves_nothing(self):
        options = ("--memory", "16M", "--spill-dir", self.spills)
        job, _ = self.start_with_stopped_worker("reducer", *options)
        self.assertNotEqual(os.listdir(self.spills), [])
        job.terminate()
        job.communicate(timeout=tool_runner.WATCHDOG_S)
        self.assertEqual(job.returncode, -signal.SIGTERM)
        self.assertNothingIsLeft()

    def test_what_a_job_that_spills_leaves_on_sigkill_is_collected(self):
        options = ("--memory", "16M", "--spill-dir", self.spills)
        job, worker = self.start_with_stopped_worker("reducer", *options)
        job.kill()
        job.communicate(timeout=tool_runner.WATCHDOG_S)
        while self.state(worker) not in "XZ":
            pass
        self.assertNotEqual(os.listdir(self.spills), [])
        self.run_shoal("gc", "--min-age", "0")
        self.assertEqual(os.listdir(self.spills), [])

    def test_sigkill_of_the_job_ends_its_workers_and_the_next_run_cleans_up(self):
        job, worker = self.start_with_stopped_worker("mapper")
        job.kill()
        job.communicate(timeout=tool_runner.WATCHDOG_S)
        while self.state(worker) not in "XZ":
            pass
        self.assertEqual(len([name for name in os.listdir(self.folder) if ".shoal-" in name]), 1)
        self.assertFalse(os.path.exists(self.out))
        self.shuffle(self.path("large.tsv"), "--by", "k", "-n", "1")
        self.assertEqual([name for name in os.listdir(self.folder) if ".shoal-" in name], [])


if __name__ == "__main__":
    tool_runner.main()
