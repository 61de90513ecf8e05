// The ledger: who did what, kept outside of the store, in a plain file that all processes of a storm map.
//
// Every record, erase and drop is an entry, written before the call and settled after it. Stamps are tickets of one
// counter, so "A was acknowledged before B was begun" is known(A) < begin(B). A writer that dies leaves an entry
// that is begun and never settled: its record may be in or out, for ever.
//
// Thread safety: everything, from any process; every atomic is seq_cst, as this file must be right, not fast.
// A crash between two steps leaves an entry that no key's list holds (its call was not begun), or one unsettled.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace storm {

using Ticket = std::uint64_t;
using EntryNumber = std::uint32_t;  // 0: none

// Keys by number: those that many append to and no process erases; those that are erased; and a crowd of keys that
// get one record or a few, which makes the index grow, and of which some are erased.
inline constexpr std::uint32_t kKeptKeys = 40;
inline constexpr std::uint32_t kErasedKeys = 24;
inline constexpr std::uint32_t kHotKeys = kKeptKeys + kErasedKeys;
inline constexpr std::uint32_t kKeys = kHotKeys + 65536;

inline constexpr EntryNumber kMostEntries = 3U << 20;
inline constexpr std::uint32_t kMostLanes = 1U << 17;
inline constexpr std::uint32_t kMostProcesses = 1U << 16;

enum class Kind : std::uint32_t { kRecord, kErase, kDrop };

enum class Fate : std::uint32_t {
    kUnknown,  // not settled: under way, or its process is dead
    kDone,     // appended, set, erased or dropped
    kRefused,  // a typed error: the record is not there; an erase or drop may have come half-way
    kTooLate,  // iset: the key had a value
    kNothing,  // erase: the key had none
};

struct Entry {
    Kind kind;
    std::uint32_t lane;
    std::uint32_t key;
    std::uint32_t bytes;  // of the whole record
    EntryNumber older;    // the key's entry before this one
    std::atomic<Fate> fate;
    Ticket begin;               // taken before the call
    std::atomic<Ticket> known;  // taken after it returned, or after somebody read the record; 0: neither
};

enum class Call : std::uint32_t {
    kNone,
    kAttach,
    kDetach,
    kAppend,
    kAppendByHandle,
    kAppendPieces,
    kAppendBatch,
    kIset,
    kGet,
    kGetByHandle,
    kGetMany,
    kGetInto,
    kView,
    kRecords,
    kSize,
    kContains,
    kListKeys,
    kStats,
    kSync,
    kErase,
    kDrop,
    kFork,
    kDestroy,
    kCount
};
std::string_view name_of(Call call);

// One thread of one process, for as long as that lives.
struct alignas(64) Lane {
    std::atomic<std::uint32_t> process;
    std::atomic<std::uint32_t> thread;      // its kernel id
    std::atomic<std::uint64_t> doing;       // call << 32 | key; 0 outside of every call
    std::atomic<std::uint64_t> operations;  // calls that returned
    std::atomic<Ticket> dead;               // taken after its process had died; 0: it lives or ended well
    std::uint32_t older;                    // the process's lane before this one, plus 1; 0: none
};

struct Process {
    std::atomic<pid_t> pid;
    std::atomic<std::uint32_t> newest_lane;  // plus 1; 0: none
};

// Two records of a key, the first before the second, as somebody has read them: so it stays, for every reader.
inline constexpr std::size_t kWitnesses = 4;

struct Key {
    std::atomic<EntryNumber> records;  // the newest
    std::atomic<EntryNumber> erases;
    std::atomic<std::uint64_t> kept_bytes;           // acknowledged since the last erase, about
    std::atomic<std::uint64_t> witness[kWitnesses];  // first << 32 | second
};

enum class Phase : std::uint32_t { kWork, kDrain, kClearByErase, kClearByDrop, kDestroy, kOver };

// What an auditor found.
struct Audit {
    std::uint64_t acknowledged;   // records
    std::uint64_t found;          // of those, there now; the rest was erased
    std::uint64_t in_flight_in;   // of writers that died: there
    std::uint64_t in_flight_out;  // not there
    std::uint64_t keys;
    std::uint64_t used_bytes;
    std::uint64_t leaked_bytes;
    std::uint64_t leaked_blocks;
    std::uint64_t pages_with_leaks;
};

// Which system calls a sandbox refuses to the workers (hazards.hpp).
enum class Refusal : std::uint32_t { kNone, kSome, kAll };

struct Header {
    char folder[256];
    char spill_folder[256];  // empty: the store does not spill
    pid_t supervisor;
    Refusal refusal;
    std::int32_t spare_descriptors;  // that a worker may open beside its store, at most; negative: no limit
    std::uint32_t round;             // a number for each stage of each round
    std::uint64_t seed;
    std::uint64_t limit_bytes;
    std::uint64_t empty_bytes;          // that an empty store uses
    std::uint64_t empty_without_index;  // of those, outside of the index
    std::uint64_t round_bytes;          // of records in kept and cold keys, before writers leave them alone
    std::uint64_t erase_bytes;          // of one erased key, at which a writer erases it
    std::uint32_t most_cold_keys;       // that are ever used
    std::uint32_t roomy;                // whether the store is nearly empty, so that no append may be refused
    std::uint32_t with_drops;           // whether workers drop in the midst of it all
    std::atomic<Phase> phase;
    std::atomic<std::uint32_t> created;     // this store has been opened once
    std::atomic<std::uint32_t> destroying;  // a destroy has begun
    alignas(64) std::atomic<Ticket> ticket;
    alignas(64) std::atomic<EntryNumber> entries;
    std::atomic<std::uint32_t> lanes;
    std::atomic<std::uint32_t> processes;
    std::atomic<EntryNumber> drops;
    std::atomic<std::uint32_t> cold_keys;   // of the crowd, in use so far
    std::atomic<std::uint64_t> calm_bytes;  // in kept and cold keys
    alignas(64) std::atomic<std::uint64_t> calls[static_cast<std::size_t>(Call::kCount)];
    std::atomic<std::uint64_t> appended;
    std::atomic<std::uint64_t> refused;                 // for lack of memory
    std::atomic<std::uint64_t> refused_by_descriptors;  // for lack of descriptors
    std::atomic<std::uint64_t> forks;
    std::atomic<std::int32_t> may_fork;  // so many times more
    std::atomic<std::uint64_t> read;     // records, by gets that were checked
    Audit audit;
    std::atomic<std::uint32_t> failed;
    char failure[16384];
};

class Ledger {
public:
    // A new one in a file at `path`, or the one that `descriptor` has open.
    static Ledger create(const std::string& path);
    static Ledger map(int descriptor);

    Header& header() const { return *header_; }
    Entry& entry(EntryNumber number) const { return entries_[number]; }
    Lane& lane(std::uint32_t number) const { return lanes_[number]; }
    Process& process(std::uint32_t number) const { return processes_[number]; }
    Key& key(std::uint32_t number) const { return keys_[number]; }
    int descriptor() const { return descriptor_; }

    Ticket ticket() const { return header_->ticket.fetch_add(1); }
    Phase phase() const { return header_->phase.load(); }
    bool full() const;  // no room for another thread's work

    // 0 when full.
    EntryNumber begin(Kind kind, std::uint32_t lane, std::uint32_t key, std::uint32_t bytes) const;
    void settle(EntryNumber number, Fate fate) const;
    std::uint32_t take_process(pid_t pid) const;
    std::uint32_t take_lane(std::uint32_t process) const;

    // The first failure of all wins; everybody ends then.
    void fail(std::string_view what) const;
    bool failed() const { return header_->failed.load() != 0; }

    void forget_round() const;  // while nobody else is there

private:
    Ledger(int descriptor, std::byte* base);

    int descriptor_;
    Header* header_;
    Lane* lanes_;
    Process* processes_;
    Key* keys_;
    Entry* entries_;
};

std::string key_name(std::uint32_t key);
std::uint32_t key_number(std::string_view name);  // kKeys when it is none of ours

}  // namespace storm
