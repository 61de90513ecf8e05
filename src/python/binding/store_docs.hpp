// Docstrings of shoal.Store. Their examples are run by tests/python/test_docs.py, in each a `store` and a folder
// `tmp`.
#pragma once

namespace shoal::python::docs {

inline constexpr const char* kStore = R"(A map from keys to appendable bytes that processes on one host share.

A value is not replaced, it grows: writers append records to a key, and readers
get all of them back in one order. When `append` has returned, every later
`get` in any process has the record, and no process's death takes it back.
Threads and processes use it at once without locks.

Keys are `bytes`, or `str` for its UTF-8: ``"a"`` and ``b"a"`` are one key, and
keys come back as `bytes`. Values are any object with the buffer protocol,
`bytes`, `bytearray`, `memoryview` or a contiguous NumPy array for instance;
they go in without a copy on the way. The interpreter's lock is let go for
large copies, for files, and while an append waits.

A Store is pickled as its path, and attaches where it is unpickled; children of
`fork` may use it as it is. Closing it, or losing it, takes nothing from the
others.

Parameters
----------
path : str, bytes or os.PathLike
    The store's directory. Made if there is none, its parent must exist; else
    attached to, and then only the options `group`, `any_owner`, `spill_thread`,
    `room_wait_ms`, `page_cache`, `durable` and `read_only` are looked at.
memory_limit_bytes : int
    Bytes of memory that the arena may take, 8 MiB at least. 0: half of what is
    free where it lies, of the machine's memory, or of what the process's control
    group (a container's limit) may still take, whichever is least.
arena_dir : path, optional
    Folder for the arena; otherwise the first tmpfs with room.
group : str, optional
    A group whose members share the store. Otherwise it is its owner's alone.
any_owner : bool
    Take the files of a store whoever owns them.
temporary : bool
    The store is there for as long as somebody has it open: whoever closes it
    last removes it, at the latest when the interpreter ends; where that one is
    killed, the next open of the path does, or `collect`.
spill_dir : path, optional
    An existing folder for spill files. With it, data that does not change any
    more goes there when memory gets short.
codec : str
    How that is compressed: ``"none"``, ``"lz4"``, ``"zstd"``, ``"zstd:9"``,
    ``"blosc:8"`` (a type size).
spill_thread : bool
    A thread of this process spills in the background.
room_wait_ms : int
    Milliseconds that an append waits for room, before it fails: for threads
    that are in the middle of an operation, and in a store that spills for
    spillers.
page_cache : bool
    Spilled data goes through the kernel's page cache, instead of past it
    (``O_DIRECT``): where much memory is nobody's.
durable : bool
    The store outlives a reboot: it is synced when it is closed here. An error
    can't be told then: call `sync` before, to know. Without a `spill_dir` a new
    store has its files in its own directory.
read_only : bool
    Only reads a store that is there: takes no place among those who use it, and
    writes nothing, so that read-only mounts do. Views are copies. What changes the
    store raises `ReadOnly`. A store whose arena is gone is read as it was synced.
first_segment_bytes, max_segment_bytes : int
    Bytes of a key's first segment, a power of two from 64, and of its largest,
    from 64 KiB to 1 MiB.
reserve_bytes : int
    Bytes of the arena that are allocated at once.

Raises
------
shoal.Error
    One of its kinds; see `shoal.errors`.

Examples
--------
>>> store = shoal.Store(tmp / "words", temporary=True)
>>> store.append("apple", b"red,")
>>> store.append({"apple": b"green,", "pear": b"yellow,"})
>>> store["apple"]
b'red,green,'
>>> "plum" in store, len(store), sorted(store)
(False, 2, [b'apple', b'pear'])
)";

inline constexpr const char* kAttach = R"(Opens the store that is at `path`, and makes none.

Parameters
----------
path, group, any_owner, spill_thread, room_wait_ms, page_cache, durable, read_only
    As of `Store`.

Raises
------
StoreNotFound
    There is none.
)";

inline constexpr const char* kInMemory =
    R"(A store that leaves no file: for this process and the children that it forks.

It cannot be pickled, and does not spill.

Parameters
----------
memory_limit_bytes, first_segment_bytes, max_segment_bytes, reserve_bytes : int
    As of `Store`.
)";

inline constexpr const char* kDestroy = R"(Removes every trace of the store at `path`.

Parameters
----------
path, group, any_owner
    As of `Store`.
force : bool
    Also where processes have the store open, this one too: they get `Destroyed` from
    then on. A store that is open with an arena which cannot be reached from here stays.

Raises
------
StoreNotFound
    There is none.
InUse
    Processes have it open; the message names them.

Examples
--------
>>> shoal.Store(tmp / "short-lived").close()
>>> shoal.Store.destroy(tmp / "short-lived")
)";

inline constexpr const char* kCollect = R"(Removes arenas that killed processes have left, never one that is open.

Parameters
----------
dirs : iterable of paths
    Folders to look into, beside ``/dev/shm`` and ``$XDG_RUNTIME_DIR``.
only_dirs : bool
    Not into those two.
dry_run : bool
    Only look: `Leftover.removed` then says what would be.
min_age_s : int
    Seconds for which it must have been unused; a day by default.
force : bool
    Take also what may be a store's that cannot be seen from here: what is
    younger, was synced, was last open in another mount namespace, or has its
    directory on a file system that is not mounted here now.
only_temporary : bool
    Look at temporary stores alone, of which nothing is kept.

Returns
-------
list of Leftover
    What was found, also what was left and why.
)";

inline constexpr const char* kVerify = R"(Checks every invariant of the store at `path`, and counts what is in it.

Parameters
----------
path, group, any_owner
    As of `Store`.
repair : bool
    Recover what the dead have left and give leaked memory back, where nobody
    else has the store open.

Returns
-------
VerifyReport

Examples
--------
>>> with shoal.Store(tmp / "checked", temporary=True) as checked:
...     checked.append("a", b"1")
...     report = shoal.Store.verify(tmp / "checked")
>>> report.sound, report.records
(True, 1)
)";

inline constexpr const char* kAppend = R"(Adds a record to a key's value, or one to each key of a mapping.

Each record is there as a whole or not at all; the mapping as a whole is no
transaction. Many in one call are several times as fast as one by one.

Parameters
----------
key : bytes or str, or mapping
    The key; or keys with their values, then without `value`.
value : buffer
    The record.

Raises
------
MemoryLimit, NoSpace
    There is no room. Of a mapping the error's `appended` first ones are
    appended, in its order.

Examples
--------
>>> store.append("log", b"one,")
>>> store.append({"log": bytearray(b"two"), b"other": memoryview(b"three")})
>>> store["log"]
b'one,two'
)";

inline constexpr const char* kExtend = R"(Adds any number of records, in their order.

Parameters
----------
key : bytes or str, or mapping, or iterable of pairs
    The key; or, without `records`, keys with the records of each, or pairs of
    a key and a record.
records : iterable of buffers
    The records.

Raises
------
MemoryLimit, NoSpace
    There is no room. The error's `appended` first records are appended.

Examples
--------
>>> store.extend("days", [b"mon", b"tue"])
>>> store.extend({"days": [b"wed"], "months": [b"jan", b"feb"]})
>>> store.extend([("days", b"thu"), ("months", b"mar")])
>>> store.records("days")
[b'mon', b'tue', b'wed', b'thu']
)";

inline constexpr const char* kIset = R"(Sets a value once.

Parameters
----------
key : bytes or str
value : buffer

Returns
-------
bool
    Whether this call did; False when the key had a value. Of all processes the
    first wins.

Examples
--------
>>> store.iset("leader", b"me"), store.iset("leader", b"you"), store["leader"]
(True, False, b'me')
)";

inline constexpr const char* kGet = R"(The value of a key, or of many: its records one after the other.

It holds every record that was appended before the call, perhaps some that are
being appended, and none without those that came before it.

Parameters
----------
key : bytes or str, or list
    The key; or a list of keys, or of such lists. Many are read together.
default : object
    What stands for a value that is not there.
progress : callable, optional
    Called with the number of bytes of each part that was read, like the
    `update` of a tqdm bar; with a negative one where what grew is read again.

Returns
-------
bytes or list

Examples
--------
>>> store.append({"a": b"1", "b": b"2"})
>>> store.get("a"), store.get("none"), store.get("none", b"")
(b'1', None, b'')
>>> store.get(["a", ["b", "none"]])
[b'1', [b'2', None]]
)";

inline constexpr const char* kItem = "The value of a key as `bytes`; `KeyNotFound` where it has none.";

inline constexpr const char* kGetInto = R"(Copies a value into memory of the caller's.

Parameters
----------
key : bytes or str
buffer : writable buffer

Returns
-------
int
    Bytes of the value.

Raises
------
KeyNotFound
    The key has none.
BufferTooSmall
    Its `needed` says how many bytes the value has; what is in the buffer then
    is not defined.

Examples
--------
>>> store.append("greeting", b"hello")
>>> memory = bytearray(8)
>>> store.get_into("greeting", memory), memory
(5, bytearray(b'hello\x00\x00\x00'))
)";

inline constexpr const char* kRecords = R"(The records of a value, each as it was appended.

Parameters
----------
key : bytes or str

Returns
-------
list of bytes

Raises
------
KeyNotFound
    The key has none.

See Also
--------
view_records : the same without a copy.
)";

inline constexpr const char* kEachPart =
    R"(Goes through a value that is not to be in memory as a whole.

Parameters
----------
key : bytes or str
take : callable
    Called with a `View` of the records of each part, in order; where it
    returns False that was the last.
part_bytes : int
    Bytes of a part; a large record may make it longer.

Raises
------
KeyNotFound
    The key has none.

Examples
--------
>>> store.extend("rows", [b"1", b"22", b"333"])
>>> seen = []
>>> store.each_part("rows", lambda part: seen.extend(map(bytes, part)))
>>> seen
[b'1', b'22', b'333']
)";

inline constexpr const char* kView = R"(The bytes of a value where they lie, not copied.

Parameters
----------
key : bytes or str

Returns
-------
View
    Memoryviews that one after the other are the value; where one ends and the
    next begins means nothing.

Raises
------
KeyNotFound
    The key has none.

Examples
--------
>>> import array
>>> store.append("numbers", array.array("q", [1, 2, 3]))
>>> store.view("numbers")[0].cast("q").tolist()
[1, 2, 3]
)";

inline constexpr const char* kViewRecords = R"(The records of a value where they lie, not copied.

Parameters
----------
key : bytes or str

Returns
-------
View
    A memoryview for each record, also for empty ones.

Raises
------
KeyNotFound
    The key has none.

Examples
--------
>>> store.extend("rows", [b"1,2", b"", b"3"])
>>> [len(row) for row in store.view_records("rows")]
[3, 0, 1]
)";

inline constexpr const char* kSize = R"(Bytes and records of a value, as get and records give it.

Parameters
----------
key : bytes or str

Returns
-------
ValueSize
    An append that is under way does not count until it is there, also one whose process is stopped or died.

Raises
------
KeyNotFound
    The key has none.

Examples
--------
>>> store.extend("rows", [b"1,2", b"3"])
>>> store.size("rows")
ValueSize(bytes=4, records=2)
)";

inline constexpr const char* kKeys = R"(Every key, in no order, in a list; `iter_keys` makes none.

Returns
-------
list of bytes
    As `iter_keys` gives them.
)";

inline constexpr const char* kIterKeys = R"(The keys that begin with a prefix, one at a time, in no order.

A key that is there during the whole iteration comes exactly once. A key that
comes or goes meanwhile may come or not, and never twice. The iterator reads a
batch of keys at a time: it makes no list of all, and between two batches holds
nothing of the store, which may be changed meanwhile. To iterate over the Store
itself is the same for all keys.

Parameters
----------
prefix : bytes or str
    All keys where it is empty.

Returns
-------
iterator of bytes
    Raises `Closed` once the store is closed.

Examples
--------
>>> import shoal
>>> store = shoal.Store.in_memory()
>>> store.append({"user:1": b"ann", "user:2": b"bob", "group:1": b"all"})
>>> sorted(store.iter_keys("user:"))
[b'user:1', b'user:2']
)";

inline constexpr const char* kDelete = R"(Removes a key and its value.

Parameters
----------
key : bytes or str

Returns
-------
bool
    Whether it had one. ``del store[key]`` raises `KeyNotFound` instead.

Examples
--------
>>> store.append("short", b"lived")
>>> store.delete("short"), store.delete("short")
(True, False)
)";

inline constexpr const char* kDrop = "Removes every key.";

inline constexpr const char* kSync = R"(Makes durable what was appended or deleted before, by any process.

It outlives the machine's memory then: opened after a reboot, the store is as
its last sync found it. For a store with a `spill_dir`, or made `durable`.

Returns
-------
Synced
    What that was, and what was written for it.

Examples
--------
>>> import tempfile, shoal
>>> with tempfile.TemporaryDirectory() as folder:
...     with shoal.Store(folder + "/words", durable=True) as store:
...         store.append("apple", b"red")
...         store.sync().copied_bytes
...     shoal.Store.destroy(folder + "/words")
3
)";

inline constexpr const char* kBackup = R"(Writes all that the store holds to one file, while others use the store.

For each key the backup has one closed cut of its value: what was acknowledged
before the call, and perhaps later records. It is no snapshot over keys: two
keys are read at two moments.

Parameters
----------
target : path, or object with ``write``
    A file is written as ``target.part`` and gets its name when it is whole and
    durable. After an error ``target.part`` stays, to be gone on with.
resume : bool
    Goes on with the backup that was interrupted in ``target.part``.
codec : str, optional
    How it is compressed, as of `Store`; otherwise as the spilled data.
progress : callable, optional
    Called with the number of bytes of payload that were written, some 8 MiB
    each.

Returns
-------
BackedUp

Examples
--------
>>> store = shoal.Store.in_memory()
>>> store.append("apple", b"red")
>>> store.backup(tmp / "backup").keys
1
>>> shoal.restore(tmp / "backup", tmp / "restored").records
1
>>> with shoal.Store.attach(tmp / "restored") as restored:
...     restored["apple"]
b'red'
>>> shoal.Store.destroy(tmp / "restored")
)";

inline constexpr const char* kRestore = R"(Makes a new store of a backup, on any machine.

The store is there when all of the backup is in it, and not before; after an
error there is none. `shoal.restore` is the same.

Parameters
----------
source : path, or object with ``read``
    What `backup` has written.
path : path
    The directory of the new store, where no store may be.
memory_limit_bytes, arena_dir, group, spill_dir, codec, durable
    As of `Store`. Where they are not given they are as in the store that was
    backed up; the memory limit is at most a new store's own. Where that store
    spilled, this one keeps its spill files in its own directory.
progress : callable, optional
    Called with the number of bytes of payload that were restored, some 8 MiB
    each.

Returns
-------
Restored
)";

inline constexpr const char* kSpill = R"(Writes data out to files now; for a store with a `spill_dir`.

Parameters
----------
bytes : int, optional
    How much memory is to become free; otherwise all that is there when the call
    begins can be, and nothing that others append meanwhile.
progress : callable, optional
    Called with the number of bytes that have become free, some 64 MiB each.

Returns
-------
int
    Bytes of memory that this call has made free, or will have when their last
    reader is gone; not those that the store's own threads made free meanwhile.

Examples
--------
>>> (tmp / "files").mkdir()
>>> with shoal.Store(tmp / "large", temporary=True, spill_dir=tmp / "files", codec="lz4") as large:
...     large.append("zeroes", bytes(1_000_000))
...     free = large.spill()
...     large.stats().spilled_bytes, large["zeroes"] == bytes(1_000_000)
(1000000, True)
)";

inline constexpr const char* kSetCodec =
    R"(How what is spilled of a key from now on is compressed, until it is deleted.

Parameters
----------
key : bytes or str
    A key with a value.
codec : str
    As of `Store`.
)";

inline constexpr const char* kStats = R"(The store as it is now: places, sizes and counts.

It visits every key.

Returns
-------
Stats

Examples
--------
>>> store.extend("rows", [b"1,2", b"3"])
>>> stats = store.stats()
>>> stats.keys, stats.records, stats.payload_bytes
(1, 2, 4)
)";

inline constexpr const char* kAttached =
    R"(Who has the store open: every thread that is attached, and the views of each process.

Returns
-------
list of Attached
)";

inline constexpr const char* kClose = R"(Detaches; the data stays for the others and for later.

Views that were made stay valid. To close once more does nothing. As a context
manager the store is closed at the end.
)";

}  // namespace shoal::python::docs
