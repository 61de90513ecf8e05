// The process table as it grows: to its end, past the dead, and at what cost.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include <shoal/store.hpp>

#include "../store/temporary_store.hpp"
#include "arena/slots.hpp"
#include "catch.hpp"
#include "count_lock_calls.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

// The arena of a store, opened once more: a process of its own, as far as slots go.
class Opened {
public:
    explicit Opened(const std::string& path) : mapping_(map(path)), blocks_(mapping_), slots_(mapping_, blocks_) {}

    Slots& slots() { return slots_; }
    std::uint32_t real() { return mapping_.header().slots_real.load(std::memory_order_relaxed); }

    // How many of `count` there were to be had.
    std::uint32_t take(std::uint32_t count) {
        for (std::uint32_t taken = 0; taken < count; ++taken) {
            Slot* const slot = slots_.take(nullptr);
            if (slot == nullptr) return taken;
            taken_.push_back(slot);
        }
        return count;
    }
    const std::vector<Slot*>& taken() const { return taken_; }

private:
    static Mapping map(const std::string& path) {
        const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(file >= 0);
        const off_t bytes = ::lseek(file, 0, SEEK_END);
        int cause = 0;
        LockDescription locks = LockDescription::of(file, path, &cause);
        REQUIRE(cause == 0);
        auto mapping = Mapping::map(file, std::move(locks), static_cast<std::uint64_t>(bytes), path);
        ::close(file);
        REQUIRE(mapping.has_value());
        return std::move(*mapping);
    }

    Mapping mapping_;
    Blocks blocks_;
    Slots slots_;
    std::vector<Slot*> taken_;
};

std::string arena_of(const Store& store) { return store.stats().value().arena_path; }

// A child that has taken so many slots, until it is killed.
class Neighbour {
public:
    Neighbour(const std::string& arena, std::uint32_t count) {
        int ready[2];
        REQUIRE(::pipe(ready) == 0);
        child_ = ::fork();
        if (child_ == 0) {
            Opened opened(arena);
            const char answer = opened.take(count) == count ? 'y' : 'n';
            (void)!::write(ready[1], &answer, 1);
            for (;;) ::pause();
        }
        ::close(ready[1]);
        char answer = 0;
        CHECK(::read(ready[0], &answer, 1) == 1);
        CHECK(answer == 'y');
        ::close(ready[0]);
    }
    Neighbour(const Neighbour&) = delete;
    Neighbour& operator=(const Neighbour&) = delete;
    ~Neighbour() { kill(); }
    void kill() {
        if (child_ <= 0) return;
        ::kill(child_, SIGKILL);
        ::waitpid(std::exchange(child_, 0), nullptr, 0);
    }

private:
    pid_t child_ = 0;
};

}  // namespace

TEST_CASE("The table grows to 32,768 slots, but for those kept for looks, and only the next one is refused") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    REQUIRE(kSlots >= 32'768);
    Opened opened(arena_of(*store));
    CHECK(opened.real() == kSlotsAChunk);
    const std::uint32_t free = kSlots - kLookSlots - opened.slots().in_use();
    CHECK(opened.take(free) == free);
    CHECK(opened.real() == kSlots);
    CHECK(opened.slots().in_use() == kSlots - kLookSlots);
    int failure = -1;
    CHECK(opened.slots().take(&failure) == nullptr);
    CHECK(failure == 0);

    Slot* const given_back = opened.taken()[20'000];
    opened.slots().release(given_back);
    CHECK(opened.slots().take(&failure) == given_back);

    // Whoever has a slot goes on.
    CHECK(store->append("k", "v").has_value());
    CHECK(store->get("k")->text() == "v");
}

TEST_CASE("When every slot is taken, looks at the store find one") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    REQUIRE(store->append("k", "v").has_value());
    Opened opened(arena_of(*store));
    static_cast<void>(opened.take(kSlots));
    auto late = Store::attach(place.path());
    REQUIRE(late.has_value());
    const auto refused = late->append("k", "w");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Code::kTooManyThreads);
    for (std::uint32_t look = 0; look < 2 * kLookSlots; ++look) {
        const auto stats = late->stats();
        REQUIRE(stats.has_value());
        CHECK(stats->keys == 1);
        CHECK(stats->slots_in_use == kSlots - kLookSlots + 1);  // and its own
    }
    CHECK(late->keys().value().size() == 1);
    CHECK(late->attached().value().size() == kSlots - kLookSlots);
    const auto report = Store::verify(place.path());
    REQUIRE(report.has_value());
    CHECK(report->sound());
    CHECK(report->keys == 1);
}

TEST_CASE("A thread attaches when the store's memory is full to the last block") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    for (int number = 0;; ++number) {
        if (!store->append("key " + std::to_string(number), std::string(1000, 'x'))) break;
    }
    Opened opened(arena_of(*store));
    CHECK(opened.take(2 * kSlotsAChunk) == 2 * kSlotsAChunk);
    CHECK(opened.real() >= 2 * kSlotsAChunk);
}

TEST_CASE("Slots of the dead are taken before the table grows", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    Opened opened(arena_of(*store));
    for (int life = 0; life < 5; ++life) {
        Neighbour neighbour(arena_of(*store), 200);
        neighbour.kill();
    }
    CHECK(opened.real() == kSlotsAChunk);
    CHECK(opened.take(200) == 200);
    CHECK(opened.real() == kSlotsAChunk);
}

TEST_CASE("A slot given back is the next one taken, so that the table stays as small as it can be") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    Opened opened(arena_of(*store));
    REQUIRE(opened.take(100) == 100);
    for (int turn = 0; turn < 10'000; ++turn) {
        Slot* const slot = opened.taken()[static_cast<std::size_t>(turn * 7 % 100)];
        opened.slots().release(slot);
        REQUIRE(opened.slots().take(nullptr) == slot);
    }
    CHECK(opened.slots().high_water() <= 102);
}

TEST_CASE("Beside thousands of others a slot costs a system call or two, and a look for the dead one per 64",
          "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    constexpr std::uint32_t kOthers = 5000;
    const Neighbour neighbour(arena_of(*store), kOthers);
    Opened opened(arena_of(*store));
    std::uint64_t before = lock_calls();
    CHECK(opened.take(1) == 1);
    CHECK(lock_calls() - before >= 1);
    CHECK(lock_calls() - before <= 2);
    before = lock_calls();
    opened.slots().recover_all_dead();
    CHECK(lock_calls() - before >= 1);
    CHECK(lock_calls() - before <= kOthers / 64 + 10);
    CHECK(opened.slots().in_use() >= kOthers);
}

TEST_CASE("Only the dead among neighbours of several processes are recovered", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(8 * kMiB));
    REQUIRE(store.has_value());
    Opened opened(arena_of(*store));
    const std::uint32_t at_first = opened.slots().in_use();
    Neighbour first(arena_of(*store), 10);
    Neighbour second(arena_of(*store), 20);
    REQUIRE(opened.take(3) == 3);
    Neighbour third(arena_of(*store), 90);
    Neighbour fourth(arena_of(*store), 40);
    second.kill();
    fourth.kill();
    opened.slots().recover_all_dead();
    CHECK(opened.slots().in_use() == at_first + 10 + 3 + 90);
    first.kill();
    third.kill();
    opened.slots().recover_all_dead();
    CHECK(opened.slots().in_use() == at_first + 3);
}
