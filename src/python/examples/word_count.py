"""Counts the words of files, with as many processes as there are cores.

Usage: word_count.py FILE...

Every process reads some of the files and appends their words to partitions of a store; then each partition, which has
all of a word's occurrences, is counted by one process.
"""

import multiprocessing
import sys
import tempfile
from collections import Counter, defaultdict
from zlib import crc32

import shoal

PARTITIONS = 64


def use(opened):
    """Gives a process its store: it was pickled as its path, and attached here."""
    global store
    store = opened


def split(file):
    partitions = defaultdict(list)
    with open(file) as lines:
        for word in lines.read().lower().split():
            partitions[crc32(word.encode()) % PARTITIONS].append(word)
    store.append({str(number): (" ".join(words) + " ").encode() for number, words in partitions.items()})


def count(number):
    return Counter(store.get(str(number), b"").decode().split())


def main(files):
    with (
        tempfile.TemporaryDirectory() as folder,
        shoal.Store(folder + "/words", temporary=True) as shared,
        multiprocessing.get_context("spawn").Pool(initializer=use, initargs=(shared,)) as pool,
    ):
        pool.map(split, files)
        counts = sum(pool.imap_unordered(count, range(PARTITIONS)), Counter())
        pool.close()
        pool.join()
    for word, times in counts.most_common(10):
        print(f"{times:8} {word}")


if __name__ == "__main__":
    main(sys.argv[1:])
