// What a store is made with, and what it tells of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <shoal/codec.hpp>

namespace shoal {

// What the thread that calls does around a wait inside of the call: for room, or for reads of files. For a program
// in which threads hold something that others need meanwhile, an interpreter's lock for instance. Neither may throw
// or use the store.
struct WaitHooks {
    void (*begin)() = nullptr;
    void (*end)() = nullptr;  // always follows begin
};

// Only the process that creates a store decides; one that attaches takes what it finds, and looks at group,
// any_owner, read_only, durable, spill_thread, room_wait_ms and wait_hooks alone.
struct Options {
    // Bytes of memory that the arena may take, index and tables included; 8 MiB at least, rounded up to 2 MiB. The
    // file is sparse, so a high limit costs about a thousandth of itself, in tables, until data comes. 0, the
    // default: half of the least of three, when the store is created: what is free where the arena lies; the
    // machine's memory; and what the process's control group (cgroup), and each group above it, may still take,
    // where its page cache counts as free. So a container of 128 MiB gets less than 64 MiB. A page of the arena
    // counts for the group of the process that wrote to it first. A store that is restored from its checkpoint
    // keeps its limit.
    std::uint64_t memory_limit_bytes = 0;

    // Folder for the arena. Empty, the default: the first tmpfs with room (/dev/shm, then $XDG_RUNTIME_DIR), or the
    // store's own directory where that is on one; else open() fails with kNoSpace. A folder on a disk is slower,
    // and after a reboot the arena there counts as gone, since parts of it may never have reached the disk: the
    // store is restored as it was synced last. A temporary store goes to its own directory on a disk by itself,
    // which Stats::arena_note says.
    std::string arena_dir;

    // The name or number of a group, one of the caller's, whose members share the store. Empty, the default: nobody
    // but the owner; the files are 0600 and the directory 0700. With a group they are 0660 and 2770, and on
    // attaching files of other owners are taken if they are of this group and closed to everybody else.
    // Whoever shares a store can damage it for the others: give errors, never make a process touch other memory.
    std::string group;

    // Store::destroy alone looks at it: destroys a store that processes have open too, which then give kDestroyed.
    bool force = false;

    // Takes the files of a store whoever owns them. Without it, root too refuses another user's store: its owner
    // could cut off the arena's file under whoever has it mapped, which kills that process (SIGBUS).
    bool any_owner = false;

    // Only reads a store that is there: this process takes no slot, writes nothing to the arena and makes no file,
    // so that read-only mounts of the arena's folder, the store's and the spill folder do. What it does not hold
    // back, it must read again: a value whose memory was freed while it was copied, up to room_wait_ms, then it
    // fails with kInUse. A long value can be copied beside others that erase and spill as long as they free memory
    // no more than once in some 30 µs. What of Store gives values, keys, sizes and stats() works, and costs more:
    // view() and records() copy all into memory of their own, records() by parts too; stats() names nobody who
    // holds back memory. All else fails with kReadOnly. The process shares the locks that say who has the store
    // open, so it is not destroyed under it but by force. Where the arena is gone and the store was synced, its
    // checkpoint is made into an arena in this process's memory, and what that names is read, as of then; what
    // others sync later is not seen, and the store's files may go from under it (kArenaGone). The last to close a
    // temporary store does not remove it where it only reads: the next open does.
    bool read_only = false;

    // The store is there for as long as somebody has it open: whoever closes it last removes it. If that one is
    // killed, or ends without closing (_exit), the next open of the path, or Store::collect, does.
    bool temporary = false;

    // Folder for spill files, which must exist and which this process must be able to write to; not for a store in
    // memory, whose files nobody would take away if its processes were killed. Empty, the default: all data stays
    // in memory, and an append that finds none fails. With it, data that does not change any more goes to files
    // there when memory gets short (and costs a read when it is asked for), and an append waits for that where it
    // must. A folder that is the store's directory or lies below it is found wherever that is moved to; another is
    // kept as an absolute path, stays where it is, and is not copied with the store's directory.
    std::string spill_dir;

    // The store outlives the machine's memory: it is synced (Store::sync) when this process closes it, on attaching
    // too. An error can't be told then: who wants to know calls sync before. A store without spill_dir gets the
    // store's own directory for it. Raising the cost of a close to that of a sync, it costs nothing before.
    bool durable = false;

    // What this process spills and reads back goes through the kernel's page cache, instead of past it (O_DIRECT);
    // on attaching too. The cache holds back what the disk has not taken yet, and has what was written a while ago;
    // for that it takes memory that no limit of the store's counts, and the processor's time for another copy.
    // Right for a job that would else wait for the disk, where much memory is nobody's.
    bool page_cache = false;

    // How what is spilled is compressed; for single keys see Store::set_codec.
    Codec codec;

    // A thread of this process spills in the background; on attaching too. Without it those of other processes do,
    // and an append that finds no room does it itself.
    bool spill_thread = true;

    // Milliseconds that an append of this process waits for room, before it fails with kMemoryLimit; on attaching
    // too. It waits while erased or spilled memory is kept from reuse by threads that are in the middle of an
    // operation, and in a store that spills for spillers. It waits for one second at most where all such threads
    // are stopped as /proc shows it, or, in a store that does not spill, have views. Once it has waited in vain,
    // and until one of those threads has moved on, further appends fail after some milliseconds; the error names a
    // thread. In a store whose memory is all in use, an append that cannot get more fails at once. 0: an append
    // waits for no thread; where this process has no spill_thread it still spills itself, once.
    std::uint32_t room_wait_ms = 10'000;

    // What a thread of this process does around waits; on attaching too.
    WaitHooks wait_hooks;

    // Bytes of a key's first segment, a power of two from 64 to max_segment_bytes. Raising it saves links
    // for keys that will grow, and costs that much memory for every key that does not.
    std::uint32_t first_segment_bytes = 64;

    // Bytes at which segments, each up to 4 times the one before, stop growing; a power of two from 64 KiB to
    // 1 MiB. Raising it makes scans longer runs; each key may leave up to that much unused at its end.
    // Small stores use less: a 256th of the memory limit, and 64 KiB at least.
    std::uint32_t max_segment_bytes = 1U << 20;

    // Bytes of the arena made real (allocated in the tmpfs) at creation. Raising it moves the cost of
    // first use, about 0.25 ms a MiB, from the first appends into open().
    std::uint64_t reserve_bytes = 0;
};

// A thread that is attached to the store, or the views of a process, or what it spills with, at one moment.
struct Attached {
    std::uint32_t slot = 0;           // of the process table
    std::int64_t process_id = 0;      // as it was when it attached, in its own pid namespace; while what a dead
                                      // thread left is recovered: of the process that recovers it
    std::int64_t thread_id = 0;       // as process_id; 0 for views, -1 for what spills
    bool is_views = false;            // the views of that process, of whatever thread
    bool is_spiller = false;          // the one by which that process spills
    bool same_namespace = true;       // whether the ids mean the same to the caller
    std::string command;              // of that thread, where /proc shows it; else empty
    bool alive = true;                // by its lock, not by its ids; the dead are recovered by whoever meets them
    bool stopped = false;             // by a signal or a debugger, where /proc shows it
    bool inside = false;              // an operation, or has views
    std::string doing;                // idle, reading, appending, erasing, dropping, reclaiming, recovering or
                                      // spilling; views
    std::uint64_t epochs_behind = 0;  // not 0: it is inside since before this epoch, and holds back reuse of memory
    std::uint64_t behind_ms = 0;  // for that long at least it holds back memory, being behind, or being about to
                                  // free it: reclaiming, or spilling
};

// A store as it is at one moment. Counting visits every key: cost is linear in the number of keys.
struct Stats {
    std::string path;        // the store's directory; empty for an in-memory store
    std::string arena_path;  // where the arena lies
    std::string arena_note;  // why it lies there, when that is not a tmpfs; else empty
    std::string store_id;    // 32 hex digits
    std::uint64_t memory_limit_bytes = 0;
    std::uint64_t real_bytes = 0;  // allocated from the file system so far
    std::uint64_t used_bytes = 0;  // handed out of those: keys, segments, index, tables
    std::uint64_t keys = 0;
    std::uint64_t records = 0;        // committed; and perhaps some that others began to append during the call
    std::uint64_t payload_bytes = 0;  // of those records
    std::uint64_t segments = 0;
    std::uint64_t index_bytes = 0;
    std::uint64_t spilled_bytes = 0;     // of payload_bytes, those that are in files
    std::uint64_t spilled_segments = 0;  // of segments
    std::string spill_dir;               // where; empty in a store that does not spill
    std::string codec;                   // of the store
    std::uint64_t spill_files = 0;
    std::uint64_t stored_bytes = 0;  // that extents take up in those files, compressed and with their headers
    std::uint64_t disk_bytes = 0;    // that the file system has given for them
    std::string io_engine;  // "io_uring", or "threads" and why: what this process writes to them by, or would
    std::uint64_t synced_unix_s = 0;    // when it was synced last, in seconds since 1970; 0: never
    int spill_errno = 0;                // of the last try to spill, by any process; 0 when it went well
    std::uint64_t retired_objects = 0;  // erased, or spilled in one go, waiting until no reader can hold them
    std::uint32_t slots_in_use = 0;     // attached threads
    std::uint32_t slots_total = 0;
    std::uint64_t epoch = 0;
    std::vector<Attached> held_back_by;  // the threads that keep retired memory from reuse: in the middle of an
                                         // operation, stopped, or with an old view; and those that have had some in
                                         // their hand for a second, to free it
};

// What a sync has made durable. Keys that come, grow or go while it is under way are in it or not, each by itself.
struct Synced {
    std::uint64_t keys = 0;
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;
    std::uint64_t copied_bytes = 0;   // of them, those that no file had yet
    std::uint64_t written_bytes = 0;  // to files for it
};

// A value's size without a walk over its data. Records in flight count; at rest it equals what get returns.
struct ValueSize {
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
};

}  // namespace shoal
