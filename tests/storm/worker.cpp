#include "worker.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include <shoal/verify.hpp>

#include "hand.hpp"
#include "hazards.hpp"

namespace storm {
namespace {

// Others have the store open.
shoal::Options by_force() {
    shoal::Options options;
    options.force = true;
    return options;
}

[[noreturn]] void fail(const Ledger& ledger, const std::string& what) {
    ledger.fail(what);
    ::_exit(kFoundWrong);
}

std::string describe(const shoal::Error& error) {
    return "'" + std::string(name(error.code)) + "': " + error.message;
}

// Attached, or nothing when the store is being destroyed.
std::shared_ptr<shoal::Store> open_store(const Ledger& ledger, Chance& chance) {
    Header& header = ledger.header();
    auto opened = header.created.load() != 0 && chance.one_in(2)
                      ? shoal::Store::attach(store_path(ledger))
                      : shoal::Store::open(store_path(ledger), store_options(ledger));
    if (header.destroying.load() != 0) return nullptr;  // what is there now may be another store
    if (!opened) fail(ledger, "open gave " + describe(opened.error()));
    header.created.store(1);
    return std::make_shared<shoal::Store>(std::move(*opened));
}

class Worker {
public:
    Worker(const Ledger& ledger, std::uint32_t process)
        : ledger_(ledger), process_(process), chance_(ledger.header().seed * 1000003 + process) {}

    int run(std::shared_ptr<shoal::Store> store) {
        store_ = std::move(store);
        auto role = static_cast<Hand::Role>(chance_.below(static_cast<std::uint32_t>(Hand::Role::kCount)));
        if (!store_) {
            if (lower_priority(ledger_, chance_)) role = Hand::Role::kReader;
            refuse_calls(ledger_, chance_);
            store_ = open_store(ledger_, chance_);
            if (!store_) return 0;
            limit_descriptors(ledger_, chance_);
        }
        const std::uint32_t threads = 1 + chance_.below(4);
        // Some processes end by themselves, at some time and in one of three manners.
        std::uint32_t turns = chance_.one_in(3) ? 1 + chance_.below(6) : ~0U;
        std::vector<std::thread> team;
        while (team.size() < threads) team.push_back(start(role));
        for (std::size_t next = 0; may_go_on() && --turns != 0; next = (next + 1) % team.size()) {
            team[next].join();
            team[next] = start(role);
        }
        for (std::thread& member : team) member.join();
        switch (chance_.below(3)) {
            case 0:
                ::_exit(0);  // attached, as one that crashes
            case 1:
                kept_for_exit() = store_;  // detached by static destructors
                return 0;
            default:
                store_.reset();
                return 0;
        }
    }

private:
    static std::shared_ptr<shoal::Store>& kept_for_exit() {
        static std::shared_ptr<shoal::Store> store;
        return store;
    }

    bool may_go_on() const { return ledger_.phase() == Phase::kWork && !ledger_.full() && !ledger_.failed(); }

    std::thread start(Hand::Role role) {
        const std::uint64_t seed = chance_.word(), operations = 200 + chance_.below(20000);
        return std::thread([this, role, seed, operations] {
            Hand(ledger_, process_, store_, role, seed, [this, seed] { go_on_in_child(seed); }).work(operations);
        });
    }

    // Forked from a thread, without exec, by a child that ends: the supervisor's child from then on.
    [[noreturn]] void go_on_in_child(std::uint64_t seed) {
        const pid_t supervisor = ledger_.header().supervisor;
        while (::getppid() != supervisor) {
            if (::kill(supervisor, 0) != 0) ::_exit(0);
            std::this_thread::yield();
        }
        // Linux gives a child its new parent, and then looks whether the child wants a signal for the death of the
        // old one: a child that asks for it in between is killed. Both are done under the lock of the task list,
        // which a signal to a group takes: so that look is over when this returns.
        ::kill(0, 0);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != supervisor) ::_exit(0);
        const std::uint32_t process = ledger_.take_process(::getpid());
        auto* child = new Worker(ledger_, process);  // for as long as the process lives
        child->chance_ = Chance(seed * 7 + process);
        ::_exit(child->run(store_));
    }

    const Ledger& ledger_;
    std::uint32_t process_;
    Chance chance_;
    std::shared_ptr<shoal::Store> store_;
};

// Until told to end: `empty` empties the store, and between two times it gets something to empty.
template <class Empty>
int clear(const Ledger& ledger, std::uint32_t process, Empty&& empty) {
    Chance chance(ledger.header().seed * 999983 + process);
    auto store = open_store(ledger, chance);
    if (!store) return 0;
    empty(*store, chance);
    while (ledger.phase() != Phase::kOver && !ledger.failed()) {
        for (std::uint32_t made = chance.below(300); made > 0; --made) {
            const std::string key = "rubbish " + std::to_string(chance.below(1U << chance.below(16)));
            const auto done = store->append(key, std::string(chance.below(1U << chance.below(18)), 'r'));
            if (!done && done.error().code != shoal::Code::kMemoryLimit)
                fail(ledger, "append gave " + describe(done.error()));
        }
        empty(*store, chance);
    }
    return 0;
}

void erase_all(const Ledger& ledger, shoal::Store& store, Chance& chance) {
    auto keys = store.keys();
    if (!keys) fail(ledger, "keys gave " + describe(keys.error()));
    for (std::size_t left = keys->size(); left > 0; --left) {
        std::swap((*keys)[left - 1], (*keys)[chance.below(left)]);
        const auto erased = store.erase((*keys)[left - 1]);
        if (!erased) fail(ledger, "erase gave " + describe(erased.error()));
    }
}

void drop(const Ledger& ledger, shoal::Store& store) {
    const auto dropped = store.drop();
    if (!dropped && dropped.error().code != shoal::Code::kMemoryLimit)
        fail(ledger, "drop gave " + describe(dropped.error()));
}

std::vector<bool> listed_keys(const Ledger& ledger, const shoal::Store& store) {
    std::vector<bool> listed(kKeys);
    const auto keys = store.keys();
    if (!keys) fail(ledger, "keys gave " + describe(keys.error()));
    for (const shoal::Bytes& bytes : *keys) {
        const std::uint32_t key = key_number(bytes.text());
        if (key == kKeys)
            fail(ledger, "keys() has one that nobody made: " + std::string(bytes.text().substr(0, 40)));
        if (listed[key]) fail(ledger, "keys() has twice: " + key_name(key));
        listed[key] = true;
    }
    return listed;
}

// Every invariant of an arena that nobody is attached to; the dead have left in it what they were at.
shoal::VerifyReport verify(const Ledger& ledger, const shoal::VerifyOptions& options = {}) {
    const auto report = shoal::Store::verify(store_path(ledger), options);
    if (!report) fail(ledger, "verify gave " + describe(report.error()));
    if (!report->at_rest) fail(ledger, "verify says that somebody is attached; nobody is");
    if (report->sound()) return *report;
    std::string text = "verify finds " + std::to_string(report->damage_count) + " invariants broken:";
    for (const shoal::Damage& damage : report->damage)
        text += "\n  " + damage.invariant + " at " + std::to_string(damage.offset) + ": " + damage.what;
    fail(ledger, text);
}

// Who counts memory takes none for spilling.
shoal::Options to_count(const Ledger& ledger) {
    shoal::Options options = store_options(ledger);
    options.spill_thread = false;
    return options;
}

int audit(const Ledger& ledger) {
    const shoal::VerifyReport verified = verify(ledger);
    auto store = shoal::Store::attach(store_path(ledger), to_count(ledger));
    if (!store) fail(ledger, "the audit's attach gave " + describe(store.error()));
    const std::vector<bool> listed = listed_keys(ledger, *store);
    CutCheck check(ledger);
    Audit sum{};
    const std::uint32_t used = kHotKeys + std::min(ledger.header().cold_keys.load(), kKeys - kHotKeys);
    for (std::uint32_t key = 0; key < kKeys; ++key) {
        if (key >= used && !listed[key]) continue;  // nobody ever chose it
        const std::string name = key_name(key);
        const Ticket before = ledger.ticket();
        const auto got = store->get(name);
        const auto size = store->size(name);
        if (!got && got.error().code != shoal::Code::kNotFound)
            fail(ledger, "the audit's get gave " + describe(got.error()));
        const Ticket after = ledger.ticket();
        std::string wrong = check.value(key, before, got ? got->text() : std::string_view(), after);
        if (wrong.empty() && got.has_value() != listed[key])
            wrong = name + " is " + (got ? "not " : "") + "in keys()";
        if (wrong.empty() && got.has_value() != size.has_value()) wrong = name + " has a size or a value, not both";
        if (wrong.empty() && got) {
            const std::uint64_t records = check.found() + check.in_flight_in();
            if (size->records != records || size->bytes != got->size())
                wrong = name + " has " + std::to_string(records) + " records, " + std::to_string(got->size()) +
                        " bytes; its size says " + std::to_string(size->records) + ", " +
                        std::to_string(size->bytes);
            sum.keys += 1;
        }
        if (!wrong.empty()) fail(ledger, "audit: " + wrong);
        sum.acknowledged += check.acknowledged();
        sum.found += check.found();
        sum.in_flight_in += check.in_flight_in();
        sum.in_flight_out += check.in_flight_out();
    }
    if (verified.keys != sum.keys || verified.records != sum.found + sum.in_flight_in)
        fail(ledger, "verify counts " + std::to_string(verified.keys) + " keys and " +
                         std::to_string(verified.records) + " records, the audit " + std::to_string(sum.keys) +
                         " and " + std::to_string(sum.found + sum.in_flight_in));
    sum.leaked_blocks = verified.blocks_leaked;
    sum.pages_with_leaks = verified.pages_with_leaks;
    ledger.header().audit = sum;
    return 0;
}

struct Used {
    std::uint64_t bytes = 0;
    std::uint64_t without_index = 0;
};

Used used_by(const Ledger& ledger, const shoal::Store& store) {
    auto stats = store.stats();
    for (int turn = 0; turn < 4 && stats; ++turn) stats = store.stats();  // each moves the epoch on
    if (!stats) fail(ledger, "stats gave " + describe(stats.error()));
    if (stats->keys != 0 || stats->records != 0 || stats->segments != 0)
        fail(ledger, "the store was emptied and has " + std::to_string(stats->keys) + " keys, " +
                         std::to_string(stats->records) + " records, " + std::to_string(stats->segments) +
                         " segments");
    return {stats->used_bytes, stats->used_bytes - stats->index_bytes};
}

// Everything is erased; then all memory outside of the index is back, and once the store was dropped, the index
// too.
int audit_empty(const Ledger& ledger) {
    Header& header = ledger.header();
    const std::string path = store_path(ledger);
    Used erased{};
    {
        auto store = shoal::Store::open(path, to_count(ledger));
        if (!store) fail(ledger, "the audit's open gave " + describe(store.error()));
        header.created.store(1);
        auto keys = store->keys();
        if (!keys) fail(ledger, "keys gave " + describe(keys.error()));
        for (const shoal::Bytes& key : *keys) {
            if (!key.text().starts_with("rubbish ")) fail(ledger, "the store was cleared and has " + key.str());
            const auto gone = store->erase(key);
            if (!gone || !*gone) fail(ledger, "a key that keys() lists cannot be erased: " + key.str());
        }
        erased = used_by(ledger, *store);
        drop(ledger, *store);
        header.audit.used_bytes = used_by(ledger, *store).bytes;
    }
    const shoal::VerifyReport verified = verify(ledger);
    header.audit.leaked_blocks = verified.blocks_leaked;
    header.audit.leaked_bytes = verified.leaked_bytes;
    header.audit.pages_with_leaks = verified.pages_with_leaks;
    if (erased.without_index > header.empty_without_index + verified.leaked_bytes)
        fail(ledger, "all keys are erased, and " + std::to_string(erased.without_index) +
                         " bytes are used outside of the index; by a new store " +
                         std::to_string(header.empty_without_index) + ", and " +
                         std::to_string(verified.leaked_bytes) + " bytes are leaked");
    const shoal::VerifyReport repaired = verify(ledger, {.repair = true});
    if (!repaired.not_repaired.empty())
        fail(ledger, "nobody is attached, and it is not repaired: " + repaired.not_repaired);
    if (repaired.blocks_leaked != 0)
        fail(ledger, std::to_string(repaired.blocks_leaked) + " blocks are leaked still after a repair");
    auto store = shoal::Store::attach(path, to_count(ledger));
    if (!store) fail(ledger, "the audit's attach gave " + describe(store.error()));
    if (const Used left = used_by(ledger, *store); left.bytes > header.empty_bytes)
        fail(ledger, "emptied and repaired, the store uses " + std::to_string(left.bytes) + " bytes, a new one " +
                         std::to_string(header.empty_bytes));
    return 0;
}

int measure(const Ledger& ledger) {
    const std::string path = std::string(ledger.header().folder) + "/beside";
    {
        auto store = shoal::Store::open(path, to_count(ledger));
        if (!store) fail(ledger, "open gave " + describe(store.error()));
        drop(ledger, *store);
        const Used used = used_by(ledger, *store);
        ledger.header().empty_bytes = used.bytes;
        ledger.header().empty_without_index = used.without_index;
    }
    const auto destroyed = shoal::Store::destroy(path, by_force());
    if (!destroyed) fail(ledger, "destroy gave " + describe(destroyed.error()));
    return 0;
}

}  // namespace

int run_part(const Ledger& ledger, std::uint32_t process, Part part) {
    switch (part) {
        case Part::kWork:
            return Worker(ledger, process).run(nullptr);
        case Part::kClearByErase:
            return clear(ledger, process,
                         [&](shoal::Store& store, Chance& chance) { erase_all(ledger, store, chance); });
        case Part::kClearByDrop:
            return clear(ledger, process, [&](shoal::Store& store, Chance&) { drop(ledger, store); });
        case Part::kDestroy: {
            const auto destroyed = shoal::Store::destroy(store_path(ledger), by_force());
            if (!destroyed && destroyed.error().code != shoal::Code::kNotFound)
                fail(ledger, "destroy gave " + describe(destroyed.error()));
            return 0;
        }
        case Part::kAudit:
            return audit(ledger);
        case Part::kMeasure:
            return measure(ledger);
        case Part::kAuditEmpty:
            return audit_empty(ledger);
    }
    return 2;
}

}  // namespace storm
