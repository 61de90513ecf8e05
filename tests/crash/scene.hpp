// A store in which a child does a deed until it comes to a crash point, what others do meanwhile, and what must
// hold.
#pragma once

#include <sys/wait.h>

#include <optional>
#include <string>
#include <vector>

#include "../store/child.hpp"
#include "../store/temporary_store.hpp"
#include "arena/crash_point.hpp"
#include "records.hpp"

namespace shoal_test {

inline const std::string kTarget = "target";  // the key that everybody appends to

// Who attaches spills when the test says so, and not whenever its thread comes to it.
inline shoal::Options without_spill_thread() {
    shoal::Options options;
    options.spill_thread = false;
    return options;
}
inline constexpr std::uint64_t kSpillAll = 64 * kMiB;

class Scene {
public:
    explicit Scene(bool spills = false, std::uint64_t limit_bytes = 64 * kMiB) : spills_(spills), progress_(1) {
        shoal::Options options = without_spill_thread();
        options.memory_limit_bytes = limit_bytes;
        if (spills) options.spill_dir = place_.directory().path();
        store_.emplace(*shoal::Store::open(place_.path(), options));
        (void)store_->drop();
        bytes_when_empty_ = store_->stats()->used_bytes;
        bytes_without_index_ = bytes_when_empty_ - store_->stats()->index_bytes;
        bystander_ =
            records.add_writer({[](std::uint64_t number) { return "bystander " + std::to_string(number % 60); },
                                [](std::uint64_t number) { return 20 + number * 13 % 200; }});
        const auto target = records.add_writer(to_target(40));
        for (int number = 0; number < 180; ++number) (void)records.append(*store_, bystander_);
        for (int number = 0; number < 20; ++number) (void)records.append(*store_, target);
    }

    [[nodiscard]] const std::string path() const { return place_.path(); }
    [[nodiscard]] shoal::Store& store() {
        if (!store_) store_.emplace(*shoal::Store::attach(path(), without_spill_thread()));
        return *store_;
    }
    [[nodiscard]] bool spills() const { return spills_; }
    // All that can be, by one who has left again, with the memory that it takes.
    std::string spill() const {
        auto own = shoal::Store::attach(path(), without_spill_thread());
        EXPECT_OK(own);
        EXPECT_OK(own->spill(kSpillAll));
        return {};
    }
    [[nodiscard]] std::uint64_t leaked_bytes() {  // when the store is empty
        return store().stats()->used_bytes - std::min(bytes_when_empty_, store().stats()->used_bytes);
    }

    // The same of a store whose keys are erased one by one: the index keeps what it had grown to.
    [[nodiscard]] std::uint64_t leaked_outside_of_index() {
        const auto stats = store().stats();
        const std::uint64_t bytes = stats->used_bytes - stats->index_bytes;
        return bytes - std::min(bytes_without_index_, bytes);
    }

    // Of the store as it lies there, with the dead in it. Nobody is attached then, and the next to ask for store()
    // attaches anew, and so recovers the dead.
    shoal::Result<shoal::VerifyReport> verify(const shoal::VerifyOptions& options = {}) {
        store_.reset();
        return shoal::Store::verify(path(), options);
    }

    static Plan to_target(std::size_t bytes, std::size_t pieces = 1) {
        return {[](std::uint64_t) { return kTarget; }, [bytes](std::uint64_t) { return bytes; }, pieces};
    }
    Plan to_new_keys(const std::string& prefix, std::size_t bytes) {
        return {[name = prefix + " " + std::to_string(++names_) + " "](std::uint64_t number) {
                    return name + std::to_string(number);
                },
                [bytes](std::uint64_t) { return bytes; }};
    }

    // Keys for the child to erase, each in three segments; and what became of them.
    void add_victims(std::size_t count) {
        victims.clear();
        progress_[0].store(0);
        for (std::size_t at = 0; at < count; ++at) {
            const std::string key = "victim " + std::to_string(++names_);
            const auto writer =
                records.add_writer({[key](std::uint64_t) { return key; },
                                    [](std::uint64_t number) { return 30 + number * number * 900; }});
            for (int number = 0; number < 3; ++number) (void)records.append(*store_, writer);
            records.may_be_gone(key);
            victims.push_back(key);
        }
    }
    std::string erase_next(shoal::Store& own) {
        const std::uint64_t at = progress_[0].load();
        if (at == victims.size()) return "no victim is left";
        const auto erased = own.erase(victims[at]);
        EXPECT_OK(erased);
        EXPECT(*erased);
        progress_[0].store(at + 1);
        return {};
    }
    std::string check_victims(const shoal::Store& store) const {
        const std::uint64_t erased = progress_[0].load();
        for (std::size_t at = 0; at < victims.size(); ++at) {
            const auto there = store.contains(victims[at]);
            EXPECT_OK(there);
            if (at < erased && *there) return "erased, and there: " + victims[at];
            if (at > erased && !*there) return "not erased, and gone: " + victims[at];
        }
        return {};
    }

    std::string check(const shoal::Store& store) {
        if (drops) {
            records.may_all_be_gone();
        } else {
            const std::string wrong = check_victims(store);
            if (!wrong.empty()) return wrong;
        }
        return records.check(store);
    }

    Records records;
    std::size_t actor = 0;   // the writer that the child is
    std::size_t helper = 0;  // a writer that comes between, in the same child
    std::vector<std::string> victims;
    bool drops = false;                  // the child drops the store: what was written before may be gone
    std::vector<std::string> deep_keys;  // whose hashes begin alike
    std::function<void()> before_deed;   // if any: once a deed is prepared, before its child starts
    shoal::Options options_of_child = without_spill_thread();

private:
    bool spills_;
    TemporaryStore place_;
    std::optional<shoal::Store> store_;
    SharedCounters progress_;
    std::size_t bystander_ = 0;
    std::size_t names_ = 0;
    std::uint64_t bytes_when_empty_ = 0;
    std::uint64_t bytes_without_index_ = 0;
};

// What the child does, turn by turn, until it comes to its crash point; if it neither dies nor stays stopped there,
// it ends after that turn.
struct Deed {
    std::string name;
    std::function<void(Scene&)> prepare;  // in the parent, before each fork
    std::function<std::string(Scene&, shoal::Store& own, std::uint64_t turn)> turn;  // in the child: what failed
    bool spills = false;                                                             // in a store that does
};

inline Child start_deed(Scene& scene, const Deed& deed, shoal::CrashPoint point, std::uint32_t passing,
                        void (*action)()) {
    deed.prepare(scene);
    if (scene.before_deed) scene.before_deed();
    return Child::start([&]() -> std::string {
        bool came = false;
        shoal::crash::at(point, passing, [&came, action] {
            came = true;
            action();
        });
        auto own = shoal::Store::attach(scene.path(), scene.options_of_child);
        EXPECT_OK(own);
        for (std::uint64_t turn = 0; turn < 20'000 && !came; ++turn) {
            const std::string wrong = deed.turn(scene, *own, turn);
            if (!wrong.empty()) return wrong;
        }
        EXPECT(came);
        return {};
    });
}

// Waits until the child has stopped; false when it has ended instead.
inline bool has_stopped(const Child& child) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WSTOPPED | WEXITED | WNOWAIT) == 0 &&
           info.si_code == CLD_STOPPED;
}

// Every key that keys() lists.
inline std::string erase_all(shoal::Store& store) {
    const auto keys = store.keys();
    EXPECT_OK(keys);
    for (const auto& key : *keys) {
        const auto erased = store.erase(key);
        EXPECT_OK(erased);
        EXPECT(*erased);
    }
    return {};
}

// What another process does with a store in which somebody stands at a crash point, or died there: all of it works.
inline std::string go_on(Records& records, shoal::Store& store, std::size_t to_target, std::size_t to_new_keys,
                         std::size_t new_keys, bool spills = false) {
    for (int number = 0; number < 30; ++number) {
        EXPECT_OK(records.append(store, to_target));
        if (spills && number % 10 == 5) EXPECT_OK(store.spill(kSpillAll));
        const auto value = store.get(kTarget);
        EXPECT_OK(value);
        const std::string last =
            record_text(to_target, records.acknowledged(to_target) - 1, records.plan(to_target).bytes(0));
        EXPECT(value->text().find(last) != std::string_view::npos);
    }
    for (std::size_t number = 0; number < new_keys; ++number) EXPECT_OK(records.append(store, to_new_keys));
    const std::string mine = "mine " + std::to_string(to_target);
    EXPECT_OK(store.append(mine, "x"));
    const auto erased = store.erase(mine);
    EXPECT_OK(erased);
    EXPECT(*erased);
    EXPECT(!*store.contains(mine));
    EXPECT_OK(store.keys());
    return {};
}

// The operations that go_on leaves out, each of which ends too while a process is stopped, or dead, at a crash
// point.
inline std::string use_in_every_way(Scene& scene, shoal::Store& store) {
    const std::string key = std::string(kAside) + std::to_string(::getpid());
    const std::string large_key = key + " large", once = key + " once", large(70'000, 'x');
    const shoal::Pair batch[] = {{key, "1,"}, {large_key, large}, {key, "2,"}};
    EXPECT_OK(store.append(batch));
    const auto set = store.iset(once, "set");
    EXPECT_OK(set);
    EXPECT(*set);
    const auto records = store.records(key);
    EXPECT_OK(records);
    EXPECT(records->size() == 2);
    EXPECT_OK(store.view(key));
    EXPECT(store.size(key)->records == 2);
    EXPECT_OK(store.stats());
    EXPECT_OK(store.attached());
    if (scene.spills()) {
        EXPECT_OK(store.sync());
        EXPECT_OK(store.spill(kSpillAll));
    }
    {  // one that attaches, and syncs when it closes
        shoal::Options options = without_spill_thread();
        options.durable = scene.spills();
        auto late = shoal::Store::attach(scene.path(), options);
        EXPECT_OK(late);
        EXPECT_OK(late->append(key, "3,"));
    }
    const std::string forked = Child::run([&]() -> std::string {
        EXPECT(store.get(key)->text() == "1,2,3,");
        EXPECT_OK(store.append(key, "4,"));
        if (scene.spills()) EXPECT_OK(store.sync());
        EXPECT(*store.erase(large_key));
        return {};
    });
    if (!forked.empty()) return "in a forked child: " + forked;
    EXPECT(store.get(key)->text() == "1,2,3,4,");
    EXPECT(!*store.contains(large_key));
    EXPECT(*store.erase(key));
    EXPECT(*store.erase(once));
    return {};
}

}  // namespace shoal_test
