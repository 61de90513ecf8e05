// What verify counts, beside whom it works, and what it says of what the dead have left.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <shoal/store.hpp>

#include "../store/scale.hpp"
#include "../store/temporary_store.hpp"
#include "arena/presence.hpp"
#include "arena_editor.hpp"
#include "catch.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

std::string findings(const VerifyReport& report) {
    std::string text;
    for (const Damage& damage : report.damage) text += damage.invariant + ": " + damage.what + "\n";
    return text;
}

// Runs `work` in a child that is killed when it is done with it and still has all that it made.
template <class Work>
void in_killed_child(Work&& work) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        work([&] {
            (void)!::write(ready[1], "r", 1);
            for (;;) ::pause();
        });
        ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    const ssize_t count = ::read(ready[0], &byte, 1);
    ::close(ready[0]);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    REQUIRE(count == 1);
}

}  // namespace

TEST_CASE("verify counts what was appended, and finds nothing leaked") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(64 * kMiB));
        REQUIRE(store.has_value());
        for (int number = 0; number < 20'000; ++number) {
            REQUIRE(store->append("key " + std::to_string(number % 5000), "0123456789").has_value());
        }
        REQUIRE(store->append("large", std::string(3 * kMiB, 'l')).has_value());
        for (int number = 0; number < 1000; ++number)
            REQUIRE(store->erase("key " + std::to_string(number)).value());
    }
    const auto report = Store::verify(place.path());
    REQUIRE(report.has_value());
    INFO(findings(*report));
    CHECK(report->sound());
    CHECK(report->at_rest);
    CHECK(report->not_checked.empty());
    CHECK(report->keys == 4001);
    CHECK(report->records == 16'001);
    CHECK(report->payload_bytes == 160'000 + 3 * kMiB);
    CHECK(report->segments >= 4001);
    CHECK(report->unfinished_frames == 0);
    CHECK(report->slots_attached == 0);
    CHECK(report->slots_dead == 0);
    CHECK(report->blocks_leaked == 0);
    CHECK(report->index_leaves > 8);
}

TEST_CASE("verify of what is not there is an error") {
    TemporaryStore place;
    CHECK(Store::verify(place.path()).error().code == Code::kNotFound);
}

TEST_CASE("verify names damaged metadata") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(8 * kMiB)).has_value());
    const std::string metadata = place.path() + "/store.meta";
    const std::string aside = place.path() + "/aside";
    std::filesystem::copy_file(metadata, aside);
    std::filesystem::resize_file(metadata, std::filesystem::file_size(metadata) - 3);
    const auto report = Store::verify(place.path());
    REQUIRE(report.has_value());
    REQUIRE(report->damage.size() == 1);
    CHECK(report->damage[0].invariant == "store.meta");
    CHECK_FALSE(report->not_checked.empty());
    std::filesystem::rename(aside, metadata);
}

TEST_CASE("Beside writers, erasers and drops verify finds nothing, and says what it did not check") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE(store.has_value());
    std::atomic<bool> stop{false};
    std::atomic<int> rounds{0};
    std::vector<std::thread> threads;
    for (int writer = 0; writer < 3; ++writer) {
        threads.emplace_back([&, writer] {
            for (int number = 0; !stop; ++number) {
                const std::string key = "key " + std::to_string(number * 7 % 3000);
                (void)store->append(key, std::string(static_cast<std::size_t>(number % 300), 'x'));
                if (writer == 0 && number % 3 == 0) (void)store->erase(key);
                if (writer == 1 && number % 20'000 == 19'999) (void)store->drop();
                ++rounds;
            }
        });
    }
    std::string found;
    bool told = true;
    const auto verify = [&](bool beside_others) {
        const auto report = Store::verify(place.path());
        if (!report) found += report.error().message;
        if (!report) return;
        found += findings(*report);
        if (beside_others) told &= !report->at_rest && !report->not_checked.empty() && report->slots_attached >= 1;
    };
    const auto wait_for_rounds = [&](int count) {
        const int before = rounds;
        while (rounds < before + count) std::this_thread::yield();
    };
    // Verify helps a drop through by a mapping of its own (kTwoMappings): under ThreadSanitizer the others work
    // without it, and it comes when they have ended.
    wait_for_rounds(kThreadSanitizer ? 200'000 : 1);
    for (int turn = 0; turn < 30 && !kThreadSanitizer; ++turn) {
        wait_for_rounds(1);
        verify(true);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    verify(false);
    CHECK(found == "");
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    CHECK(told);
}

TEST_CASE("What a killed process held is in the hands of the dead, and not leaked", "[process]") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(16 * kMiB)).has_value());
    in_killed_child([&](const auto& wait_for_death) {
        auto store = Store::attach(place.path());
        (void)store->append("key", "value");
        const auto view = store->view("key");
        wait_for_death();
    });
    const auto report = Store::verify(place.path());
    REQUIRE(report.has_value());
    INFO(findings(*report));
    CHECK(report->sound());
    CHECK(report->at_rest);
    CHECK(report->slots_dead == 2);  // the thread's and that of the view
    CHECK(report->blocks_free_in_sources > 0);
    CHECK(report->blocks_leaked == 0);
    CHECK(report->keys == 1);
    // As it is only read, it is the same a second time; and an attach recovers the dead.
    CHECK(Store::verify(place.path())->slots_dead == 2);
    REQUIRE(Store::attach(place.path())->get("key").has_value());
    CHECK(Store::verify(place.path())->slots_dead == 0);
}

TEST_CASE("A block that is taken and in nobody's hands is leaked") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(16 * kMiB));
        REQUIRE(store.has_value());
        REQUIRE(store->append("key", "value").has_value());
        REQUIRE(store->append("large", std::string(100'000, 'l')).has_value());
        REQUIRE(store->drop().has_value());
        REQUIRE(store->append("key", "value").has_value());
    }
    ArenaEditor arena(place.path());
    const std::uint64_t page = arena.page_of(&arena.chain("key"));
    auto& word = arena.block_word(page, 3);
    REQUIRE(ArenaEditor::get(word) != 0);
    arena.set(word, ArenaEditor::get(word) & (ArenaEditor::get(word) - 1));
    const std::uint64_t free_page = arena.real_page(false);
    arena.set(arena.used(free_page), ArenaEditor::get(arena.used(free_page)) | 1ULL << (free_page % 64));
    arena.set(arena.owner(free_page), kPageInRun);
    const auto report = Store::verify(place.path());
    REQUIRE(report.has_value());
    INFO(findings(*report));
    CHECK(report->sound());
    CHECK(report->blocks_leaked == 2);
    CHECK(report->leaked_bytes == 64 + kPageBytes);
}

TEST_CASE("A repair gives back what is leaked, and what is there stays") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(16 * kMiB));
        REQUIRE(store.has_value());
        for (int number = 0; number < 1000; ++number) {
            REQUIRE(store->append("key " + std::to_string(number), "value").has_value());
        }
        REQUIRE(store->append("large", std::string(100'000, 'l')).has_value());
    }
    const auto before = Store::verify(place.path());
    REQUIRE(before->sound());
    {
        ArenaEditor arena(place.path());
        const std::uint64_t page = arena.page_of(&arena.chain("key 7"));
        // A chain's word in the index is lost, with all that hangs from it: a chain, a segment, its block.
        arena.set(arena.slot("key 7"), kTombstoneSlot);
        // A run of three pages, of which none has been made real, and two on their way to a slot that is free; a
        // page of free blocks that is nobody's.
        const std::uint64_t first = 70;
        arena.set(arena.used(first), ArenaEditor::get(arena.used(first)) | 15ULL << (first % 64));
        for (std::uint64_t run_page = first; run_page < first + 3; ++run_page)
            arena.set(arena.owner(run_page), kPageInRun);
        for (std::uint64_t lost_page = first + 3; lost_page < first + 5; ++lost_page)
            arena.set(arena.owner(lost_page), page_in_transit(900));
        arena.set(arena.partial(page, 0), ArenaEditor::get(arena.partial(page, 0)) & ~(1ULL << (page % 64)));
        arena.keep();
    }
    const auto leaking = Store::verify(place.path());
    INFO(findings(*leaking));
    REQUIRE(leaking->sound());
    CHECK(leaking->blocks_leaked >= 4);
    const auto repaired = Store::verify(place.path(), {true});
    REQUIRE(repaired.has_value());
    INFO(findings(*repaired));
    CHECK(repaired->sound());
    CHECK(repaired->not_repaired == "");
    CHECK(repaired->repaired_blocks == leaking->blocks_leaked);
    CHECK(repaired->repaired_bytes == leaking->leaked_bytes);
    CHECK(repaired->blocks_leaked == 0);
    CHECK(repaired->keys == 1000);
    CHECK(repaired->blocks_reachable == before->blocks_reachable - 3);
    CHECK(repaired->pages_free >= before->pages_free);
    auto store = Store::attach(place.path());
    REQUIRE(store->append("key 7", "again").has_value());
    CHECK(store->get("key 7")->text() == "again");
    CHECK(store->get("large")->size() == 100'000);
}

TEST_CASE("A repair recovers the dead and frees what is retired") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(16 * kMiB)).has_value());
    {
        auto store = Store::attach(place.path());
        REQUIRE(store->append("key", "value").has_value());
        REQUIRE(store->append("gone", std::string(10'000, 'g')).has_value());
        REQUIRE(store->erase("gone").value());
    }
    CHECK(Store::verify(place.path())->blocks_retired > 0);
    const auto repaired = Store::verify(place.path(), {true});
    REQUIRE(repaired.has_value());
    CHECK(repaired->sound());
    CHECK(repaired->blocks_retired == 0);
    CHECK(repaired->keys == 1);
}

TEST_CASE("Where others have the store open a repair is refused, and says so") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE(store.has_value());
    REQUIRE(store->append("key", "value").has_value());
    const auto report = Store::verify(place.path(), {true});
    REQUIRE(report.has_value());
    CHECK(report->sound());
    CHECK(report->not_repaired == "others have the store open");
    REQUIRE(store->append("key", "value").has_value());
    CHECK(store->size("key")->records == 2);
}

TEST_CASE("A damaged store is not repaired") {
    TemporaryStore place;
    {
        auto store = Store::open(place.path(), with_limit(16 * kMiB));
        REQUIRE(store->append("key", "value").has_value());
    }
    {
        ArenaEditor arena(place.path());
        arena.set(arena.segment("key", 0).sealed, kSealedBit | 2);
        arena.keep();
    }
    const auto report = Store::verify(place.path(), {true});
    REQUIRE(report.has_value());
    CHECK_FALSE(report->sound());
    CHECK(report->not_repaired == "the store is damaged");
    CHECK(report->repaired_blocks == 0);
}

TEST_CASE("Who attaches during a repair waits for its end") {
    TemporaryStore place;
    shoal::Options options = with_limit(16 * kMiB);
    options.temporary = GENERATE(false, true);  // one that has not ended, though the repair keeps all others out
    std::optional<Store> owner = *Store::open(place.path(), options);
    ArenaEditor repairer(place.path());
    owner.reset();
    const shoal::LockDescription& arena = repairer.mapping().locks();
    REQUIRE(begin_repair(arena) == 0);
    REQUIRE(claim_removal(arena) == 0);
    std::atomic<bool> attached{false};
    std::thread other([&] { attached = Store::attach(place.path()).has_value(); });
    for (int look = 0; look < 1000; ++look) std::this_thread::yield();
    CHECK_FALSE(attached);  // before the repair ends, whenever it looks
    REQUIRE(announce_presence(arena) == 0);
    end_repair(arena);
    other.join();
    CHECK(attached);
}
