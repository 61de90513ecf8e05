#include "ledger.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace storm {
namespace {

static_assert(std::atomic<Ticket>::is_always_lock_free && std::atomic<Fate>::is_always_lock_free,
              "shared between processes, some of which are killed");

constexpr std::size_t up_to_page(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

constexpr std::size_t kLanesAt = up_to_page(sizeof(Header));
constexpr std::size_t kProcessesAt = kLanesAt + up_to_page(kMostLanes * sizeof(Lane));
constexpr std::size_t kKeysAt = kProcessesAt + up_to_page(kMostProcesses * sizeof(Process));
constexpr std::size_t kEntriesAt = kKeysAt + up_to_page(kKeys * sizeof(Key));
constexpr std::size_t kBytes = kEntriesAt + up_to_page(kMostEntries * sizeof(Entry));

// What is left for threads that begin when it is nearly full: a batch each.
constexpr EntryNumber kSpareEntries = 1U << 14;
constexpr std::uint32_t kSpareLanes = 1024;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::abort();
}

void push(std::atomic<EntryNumber>& newest, Entry& entry, EntryNumber number) {
    entry.older = newest.load();
    while (!newest.compare_exchange_weak(entry.older, number)) {
    }
}

}  // namespace

std::string_view name_of(Call call) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Call::kCount)> kNames = {
        "none",
        "attach",
        "detach",
        "append",
        "append by handle",
        "append of pieces",
        "append of a batch",
        "iset",
        "get",
        "get by handle",
        "get of many",
        "get_into",
        "view",
        "records",
        "size",
        "contains",
        "keys",
        "stats",
        "sync",
        "erase",
        "drop",
        "fork",
        "destroy"};
    return kNames[static_cast<std::size_t>(call)];
}

Ledger::Ledger(int descriptor, std::byte* base)
    : descriptor_(descriptor),
      header_(reinterpret_cast<Header*>(base)),
      lanes_(reinterpret_cast<Lane*>(base + kLanesAt)),
      processes_(reinterpret_cast<Process*>(base + kProcessesAt)),
      keys_(reinterpret_cast<Key*>(base + kKeysAt)),
      entries_(reinterpret_cast<Entry*>(base + kEntriesAt)) {}

Ledger Ledger::create(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (descriptor < 0 || ::ftruncate(descriptor, static_cast<off_t>(kBytes)) != 0) die(path.c_str());
    Ledger ledger = map(descriptor);
    ledger.header_->ticket.store(1);
    ledger.forget_round();
    return ledger;
}

Ledger Ledger::map(int descriptor) {
    void* base = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (base == MAP_FAILED) die("mapping the ledger");
    return {descriptor, static_cast<std::byte*>(base)};
}

void Ledger::forget_round() const {
    const auto used = std::min(header_->entries.load(), kMostEntries);
    std::memset(static_cast<void*>(entries_), 0, used * sizeof(Entry));
    std::memset(static_cast<void*>(lanes_), 0, std::min(header_->lanes.load(), kMostLanes) * sizeof(Lane));
    std::memset(static_cast<void*>(processes_), 0,
                std::min(header_->processes.load(), kMostProcesses) * sizeof(Process));
    std::memset(static_cast<void*>(keys_), 0, kKeys * sizeof(Key));
    header_->entries.store(1);
    header_->lanes.store(0);
    header_->processes.store(0);
    header_->drops.store(0);
    header_->cold_keys.store(0);
    header_->calm_bytes.store(0);
    header_->destroying.store(0);
}

bool Ledger::full() const {
    return header_->entries.load() > kMostEntries - kSpareEntries ||
           header_->lanes.load() > kMostLanes - kSpareLanes ||
           header_->processes.load() > kMostProcesses - kSpareLanes;
}

EntryNumber Ledger::begin(Kind kind, std::uint32_t lane, std::uint32_t key, std::uint32_t bytes) const {
    if (full()) return 0;
    const EntryNumber number = header_->entries.fetch_add(1);
    if (number >= kMostEntries) return 0;
    Entry& made = entries_[number];
    made.kind = kind;
    made.lane = lane;
    made.key = key;
    made.bytes = bytes;
    made.begin = ticket();
    push(kind == Kind::kRecord  ? keys_[key].records
         : kind == Kind::kErase ? keys_[key].erases
                                : header_->drops,
         made, number);
    return number;
}

void Ledger::settle(EntryNumber number, Fate fate) const {
    Entry& settled = entries_[number];
    settled.fate.store(fate);  // before known: who sees that one knows the fate
    Ticket nobody = 0;
    settled.known.compare_exchange_strong(nobody, ticket());
}

std::uint32_t Ledger::take_process(pid_t pid) const {
    const std::uint32_t number = header_->processes.fetch_add(1);
    if (number >= kMostProcesses) std::abort();
    processes_[number].pid.store(pid);
    return number;
}

std::uint32_t Ledger::take_lane(std::uint32_t process) const {
    const std::uint32_t number = header_->lanes.fetch_add(1);
    if (number >= kMostLanes) std::abort();
    Lane& lane = lanes_[number];
    lane.thread.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)));
    lane.process.store(process + 1);
    lane.older = processes_[process].newest_lane.load();
    while (!processes_[process].newest_lane.compare_exchange_weak(lane.older, number + 1)) {
    }
    return number;
}

void Ledger::fail(std::string_view what) const {
    std::uint32_t nobody = 0;
    if (!header_->failed.compare_exchange_strong(nobody, 1)) return;
    const std::size_t length = std::min(what.size(), sizeof header_->failure - 1);
    std::memcpy(header_->failure, what.data(), length);
    header_->failed.store(2);
}

std::string key_name(std::uint32_t key) {
    std::string name = (key < kKeptKeys ? "kept " : key < kHotKeys ? "erased " : "cold ") + std::to_string(key);
    if (key % 16 == 7) name.append(key < kHotKeys ? 5000 : 300, '.');
    return name;
}

std::uint32_t key_number(std::string_view name) {
    const std::size_t blank = name.find(' ');
    if (blank == std::string_view::npos) return kKeys;
    std::uint32_t key = kKeys;
    std::from_chars(name.data() + blank + 1, name.data() + name.size(), key);
    return key < kKeys && key_name(key) == name ? key : kKeys;
}

}  // namespace storm
