// START HERE. shoal::Store is a map from keys to appendable bytes that processes on one host share.
//
//     auto store = shoal::Store::open("/tmp/words");
//     store->append("apple", "red,");
//     store->append("apple", "green,");
//     store->get("apple")->text();                  // "red,green,", in every process that opened it
//
// A value grows by records; get returns them all in one order, the same for every reader for ever. When append
// has returned success, every later get in any process has the record, and no process's death takes it back.
// Append and get are lock-free: a process that is killed or stopped anywhere delays no other.
//
// Thread safety: every member function may be called from any number of threads at once, on one Store or on
// several Stores of one path, but for move and destruction.
//
// Lives of processes: after fork, also with threads running, the child may use the Store; it attaches by itself,
// and its end, by _exit too, takes nothing from the parent (nor may it use the parent's views). A child that cannot
// get locks of its own (no /proc, or privileges were dropped since the open) gets kSystem from every call, and
// touches nothing of the parent's: open the store anew in it. A program that closes the store's descriptors
// (close_range, as daemons do) keeps what it has in the arena; what needs a descriptor then fails with kSystem and
// EBADF, and writes to no other file. vfork, posix_spawn and system are fine, and a program begun by exec has
// nothing of the store. A thread may end in any way; what it held is given back. A Store may be static or
// thread_local and be used in destructors of such. Several Stores of one path in a process are as strangers to each
// other. Errors: every call that can fail returns Result; none throws, but std::bad_alloc for memory of the
// caller's own (the bytes that get returns). Keys are any bytes, 0 to kMaxKeyBytes, compared whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <shoal/backup.hpp>
#include <shoal/bytes.hpp>
#include <shoal/codec.hpp>
#include <shoal/error.hpp>
#include <shoal/key.hpp>
#include <shoal/key_cursor.hpp>
#include <shoal/leftover.hpp>
#include <shoal/options.hpp>
#include <shoal/verify.hpp>
#include <shoal/view.hpp>

namespace shoal {

class StoreImpl;
class StoreReader;

class __attribute__((visibility("default"))) Store {
public:
    // Creates the store at `path` (a directory, made if need be; its parent must exist), or attaches to the one
    // that is there; of several that create at once one does and the others attach. On attaching, `options` is
    // looked at as attach does. With Options::read_only it only attaches. Errors: kPermission, kNoSpace,
    // kMemoryLimit, kIncompatible, kDamaged, kArenaGone, kInUse (processes have the store open with an arena that
    // cannot be reached from here: its name was removed, or it lies in another container's /dev/shm; the message
    // names them), kCopied (the directory is a copy of that of a store that lives; see recover), kInvalidArgument,
    // kSystem. A failure leaves nothing new behind.
    [[nodiscard]] static Result<Store> open(const std::string& path, const Options& options = {});

    // Only attaches. kNotFound when there is no store; otherwise as open. Cost: some 0.1 ms, whatever the size.
    // Of `options` group, any_owner, read_only, durable, spill_thread, room_wait_ms and wait_hooks count.
    [[nodiscard]] static Result<Store> attach(const std::string& path, const Options& options = {});

    // A store that no other program can reach and that leaves no file: this process has it, and the children
    // that it forks share it. Of `options` the sizes count; it does not spill, and takes no spill_dir.
    [[nodiscard]] static Result<Store> in_memory(const Options& options = {});

    // Removes every trace of the store at `path`: arena, spill files, metadata, and the directory when nothing else
    // is in it; a later open starts clean. Fails with kInUse, and leaves the store as it is, if processes have it
    // open, the caller's own too; the message names them. With Options::force it is destroyed all the same, and
    // they get kDestroyed from then on, but for a store that is open with an arena which cannot be reached from
    // here. Fails with kCopied for a copy of the directory of a store that lives: remove the copy itself. Fails
    // with kIncompatible where a later build wrote store.meta. Of `options` force, group and any_owner count.
    // kNotFound when there is none; kPermission leaves it as it is. After another failure, or std::bad_alloc, the
    // next destroy or open at `path` removes what is left.
    [[nodiscard]] static Result<void> destroy(const std::string& path, const Options& options = {});

    // Removes arenas that killed processes have left: those whose store's directory is gone, that no store.meta
    // names, or whose store is temporary and has no owner; never one that a process has open. By default it leaves
    // what may be a store's that this process cannot see: see CollectOptions. With them go the spill
    // files of their stores; those of which neither arena nor store.meta is left, nothing knows any more. Gives
    // what it found, also what it left and why. The directory is where the store was opened last, or beside that
    // under another name; one that was moved elsewhere on the same file system since counts as gone after
    // min_age_s. Cost: a look at each arena in those folders. kNotFound, kPermission, kSystem: a folder cannot be
    // read.
    [[nodiscard]] static Result<std::vector<Leftover>> collect(const CollectOptions& options = {});

    // Checks every invariant of the store at `path` and counts what is in it; any bytes whatever give a report or
    // an error. Others may go on using the store. An arena that cannot even be attached to is reported as damaged.
    // Errors: as attach, but for kDamaged of the arena. Cost: reads all that is allocated, at memory speed, and
    // then all that is in files, unless told not to.
    [[nodiscard]] static Result<VerifyReport> verify(const std::string& path, const VerifyOptions& options = {});

    // Brings a store back whose arena is gone, as after a reboot, as it was synced last (every open does that),
    // reads all of it, and says what could be brought back and what could not. A copy of the directory of a store
    // that lives becomes a store of its own by this, with another store_id, as the last sync before the copy left
    // it; but kCopied where its spill folder is outside of it, and so the other store's. Of `options`
    // memory_limit_bytes, group and any_owner count. Errors: as open; kArenaGone where it was never synced,
    // kDamaged where the checkpoint is.
    [[nodiscard]] static Result<Recovery> recover(const std::string& path, const Options& options = {},
                                                  const RecoverOptions& recover_options = {});

    // Makes a new store at `path` of a backup, whose file is `file` or whose bytes `source` gives in order, on any
    // machine and by this build or a later one than wrote it. The store is there when all of it is: until then no
    // other process can find it, and after an error or a crash there is none. Of `options` those of open count, but
    // for temporary; where they are not given, the sizes and the codec are those of the store that was backed up,
    // the memory limit at most a new store's own, and where that store spilled, the new one has its spill files in
    // its own directory. A store that spills is synced. Errors: kInvalidArgument where a store is at `path`;
    // kDamaged where the backup is cut off or damaged, which says where; kIncompatible where a later build wrote
    // it, which names both versions; kMemoryLimit where it needs more memory, or a spill_dir; kNoSpace,
    // kPermission, kNotFound, kSystem. Cost: reads the backup once, and appends all of it.
    [[nodiscard]] static Result<Restored> restore(const std::string& file, const std::string& path,
                                                  const Options& options = {},
                                                  const RestoreOptions& restore_options = {});
    [[nodiscard]] static Result<Restored> restore(const BackupSource& source, const std::string& path,
                                                  const Options& options = {},
                                                  const RestoreOptions& restore_options = {});

    // What was moved from has no store: every call on it fails with kInvalidArgument, but for destruction and being
    // assigned to.
    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;
    ~Store();  // detaches; the data stays for the others and for later

    // --- appending ------------------------------------------------------------------------------------------
    // Adds one record to the key's value; all of it or nothing. Any length that memory holds.
    // Errors: kMemoryLimit, kNoSpace (the record is not there, all others are), kInvalidArgument (key too long),
    // kDestroyed, kTooManyThreads.
    [[nodiscard]] Result<void> append(ByteView key, ByteView record);
    [[nodiscard]] Result<void> append(Key& key, ByteView record);

    // The same from several pieces that form one record.
    [[nodiscard]] Result<void> append(ByteView key, std::span<const ByteView> pieces);
    [[nodiscard]] Result<void> append(Key& key, std::span<const ByteView> pieces);

    // Any number of records, in order, several times as fast as one at a time: cache misses of a group overlap.
    // Not a transaction. On an error the first Error::count pairs are appended and no other.
    [[nodiscard]] Result<void> append(std::span<const Pair> batch);

    // Sets the value once: true when this call did, false when the key already has one. Of all processes the
    // first wins.
    [[nodiscard]] Result<bool> iset(ByteView key, ByteView value);

    // A handle for repeated use of one key; it creates nothing. kInvalidArgument when the key is too long.
    [[nodiscard]] Result<Key> key(ByteView key) const;

    // --- reading --------------------------------------------------------------------------------------------
    // The whole value, copied: a closed cut of its records (see Records), joined. kNotFound when the key has none;
    // an empty value is no error.
    [[nodiscard]] Result<Bytes> get(ByteView key) const;
    [[nodiscard]] Result<Bytes> get(Key& key) const;

    // One result a key, in the order asked.
    [[nodiscard]] std::vector<Result<Bytes>> get(std::span<const ByteView> keys) const;

    // The value into memory of the caller's; returns its bytes. kBufferTooSmall says in Error::count how many
    // it needs, and leaves the buffer unspecified.
    [[nodiscard]] Result<std::size_t> get_into(ByteView key, std::span<std::byte> buffer) const;
    [[nodiscard]] Result<std::size_t> get_into(Key& key, std::span<std::byte> buffer) const;

    // The resident bytes themselves, not copied; see View and Records for how long they hold.
    [[nodiscard]] Result<View> view(ByteView key) const;
    [[nodiscard]] Result<Records> records(ByteView key) const;
    // One closed cut again, part by part, for a value that is not to be in memory as a whole: calls `take` with
    // parts of `part_bytes`, or up to 1 MiB or one large record more, in order, until it returns false. On an error
    // some may have been taken. What was reachable at its beginning is kept from reuse while it runs.
    [[nodiscard]] Result<void> records(ByteView key, std::size_t part_bytes,
                                       const std::function<bool(const Records& part)>& take) const;

    // Bytes and records of the value: of a closed cut, as get and records give it, also where a writer is stopped
    // or died in the middle of an append. From counters; frames are looked at only in a segment of up to 1 MiB to
    // which a thread is appending. Cost: linear in the segments of the value, and in the slots of the process table
    // that were ever taken. kNotFound as get.
    [[nodiscard]] Result<ValueSize> size(ByteView key) const;

    [[nodiscard]] Result<bool> contains(ByteView key) const;

    // Calls `take` with each key that begins with `prefix`, in no order, until it returns false. A key that is
    // there during the whole call comes exactly once. A key that comes or goes meanwhile may come or not, and never
    // twice, also where it is erased and made again, or all are dropped. The keys come in batches: of one leaf of
    // the index, 504 keys, or of up to 16 leaves while they are 64 KiB together. Between batches the walk holds
    // nothing of the store, so `take` may be slow without keeping memory from reuse, and may call the store, also
    // to append, erase or walk. What `take` throws comes through. Errors: kDamaged of the index, kDestroyed,
    // kTooManyThreads, kSystem; some keys may have been taken then. Cost: two cache misses for each key of the
    // store, whatever the prefix; memory for one batch.
    [[nodiscard]] Result<void> for_each_key(ByteView prefix, const std::function<bool(ByteView key)>& take) const;
    [[nodiscard]] Result<void> for_each_key(const std::function<bool(ByteView key)>& take) const;

    // The same a batch at a time, for a caller that cannot be called back: reads the next batch into the cursor.
    // True when that has one key or more; false at the end. Errors: as for_each_key, after which the same batch may
    // be asked for again; kInvalidArgument where the cursor has begun with another store.
    [[nodiscard]] Result<bool> next_keys(KeyCursor& cursor) const;

    // Every key, as for_each_key gives them, in a list. Cost: 16 bytes of memory and an allocation for each, beside
    // those of for_each_key.
    [[nodiscard]] Result<std::vector<Bytes>> keys() const;

    // --- removing -------------------------------------------------------------------------------------------
    // Removes the key and its value; true when it had one. An append under way comes before it.
    [[nodiscard]] Result<bool> erase(ByteView key);

    // Removes every key.
    [[nodiscard]] Result<void> drop();

    [[nodiscard]] Result<Stats> stats() const;

    // --- spilling, in a store with Options::spill_dir ---------------------------------------------------------
    // Writes data out to files now, until that has made so many bytes of memory free: closed segments first, the
    // largest, and then the open ones. Without a number, or with one above the memory limit, all that is there when
    // the call begins, and nothing that comes meanwhile, so that it ends beside writers that never do. Gives how
    // many bytes this call has made free, or will have when their last reader is gone; not what the threads that
    // spill by themselves made free meanwhile. Errors: kNoSpace, kPermission, kSystem of the files, and nothing is
    // lost; kInvalidArgument in a store that does not spill. Blocks until it is written.
    [[nodiscard]] Result<std::uint64_t> spill(std::uint64_t bytes = ~0ULL);

    // Makes durable what was acknowledged, and what was erased, before the call: when it returns, that outlives the
    // machine's memory, and an open after a reboot, when the arena is gone, brings it back. What is resident stays
    // so; what changed since the last sync is written to the spill files, and a list of the keys that changed
    // beside them. The room of what was erased or spilled since comes back with it, too. Others append and read
    // meanwhile. One sync at a time: blocks while another makes steps, and returns when one that began after this
    // call has ended, with copied_bytes and written_bytes 0 if another thread or process made it. Takes the turn of
    // a sync whose process is dead at once, and of one that has made no step for 1 s, because its process is
    // stopped: 2 s for the next such sync before any ends, then 4 s, and so on. A stopped sync that goes on does no
    // harm, and returns as if it had waited. Errors: kNoSpace, kPermission, kSystem of the files: then the sync
    // before holds; kInvalidArgument in a store that does not spill. Cost: what changed, some 100 bytes per key
    // that changed, and one pass over the lists of the syncs before, at the rate at which a file is read; where
    // nothing has changed since the last sync, no more than a few system calls: written_bytes is 0 then. The list
    // is of all keys, some 100 bytes each, with the first sync, after a drop, where more keys have changed than
    // 1/8192 of the memory limit in bytes (at least 8192), and whenever the lists since the last such one are half
    // as long as that, or 16.
    [[nodiscard]] Result<Synced> sync();

    // --- backups ----------------------------------------------------------------------------------------------
    // Writes one file of all that the store holds, from which Store::restore makes a store on any machine, by this
    // build or a later one. Others append, erase, spill and sync meanwhile. For each key that is there during the
    // whole call the backup has one closed cut of its value, as get gives it: with each record that was
    // acknowledged before the call, and in the order and with the bounds of its records. A key that comes or goes
    // meanwhile is in it, so, or not. It is no snapshot over keys: the cuts of two keys are of two moments, so that
    // of two records that one thread appends during the call, to two keys, the backup may have the later one alone.
    //
    // To a file: written as `path`.part, which gets the name `path`, and takes the place of a file of that name,
    // when it is whole and durable. After an error or a crash `path`.part stays: a call with BackupOptions::resume
    // goes on with it, at a key that no chunk before has; a value is then as of one of the two calls, and has what
    // was acknowledged before the first one. Where `path` is no regular file (a pipe) it is written as it is. To a
    // sink: gives it the bytes in order.
    //
    // Errors: kNoSpace, kPermission, kSystem of the file; kInUse while another process backs up to it; the sink's;
    // kInvalidArgument where what is to be resumed is of another store; kDamaged of the store; kReadOnly where it
    // was opened so. Memory: some 30 MiB, and what the longest record takes. Neither a slow file nor a slow
    // callback keeps memory from reuse, since values are copied in epochs of some milliseconds. Cost: reads all
    // that the store holds, once.
    [[nodiscard]] Result<BackedUp> backup(const std::string& path, const BackupOptions& options = {}) const;
    [[nodiscard]] Result<BackedUp> backup(const BackupSink& sink, const BackupOptions& options = {}) const;

    // How what is spilled of this key from now on is compressed, until it is erased. kNotFound as get;
    // kInvalidArgument in a store that does not spill.
    [[nodiscard]] Result<void> set_codec(ByteView key, const Codec& codec);

    // Every thread that is attached, the views of each process, and the dead that nobody has recovered yet. Asking
    // attaches nobody. Cost: a system call or two for each.
    [[nodiscard]] Result<std::vector<Attached>> attached() const;

private:
    Store(std::shared_ptr<StoreImpl> impl, std::shared_ptr<StoreReader> reader) noexcept;
    std::shared_ptr<StoreImpl> impl_;
    std::shared_ptr<StoreReader> reader_;  // of a store that is read only, in the place of impl_
};

}  // namespace shoal
