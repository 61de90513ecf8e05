// A call that finds no memory in its process: it gives an error or throws std::bad_alloc, and holds nothing
// afterwards: no pin, no epoch, no slot, no segment in hand, no spill file.
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

namespace {

thread_local long allocations_until_failure = -1;  // of this thread; -1: none fails

void* allocate(std::size_t bytes) {
    if (allocations_until_failure >= 0 && allocations_until_failure-- == 0) throw std::bad_alloc();
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes); memory != nullptr) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    try {
        return allocate(bytes);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new[](std::size_t bytes, const std::nothrow_t& nothrow) noexcept {
    return operator new(bytes, nothrow);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

using namespace shoal;
using namespace shoal_test;

namespace {

// Calls `call` with its first allocation failing, then with its second, and so on, until it needs no more; after
// each calls `check`.
void fail_each_allocation(const std::function<bool()>& call, const std::function<void()>& check) {
    long failing = 0;
    for (bool through = false; !through; ++failing) {
        bool done = false;
        allocations_until_failure = failing;
        try {
            done = call();
        } catch (const std::bad_alloc&) {
        }
        through = allocations_until_failure >= 0;  // it came to its end without the failure
        allocations_until_failure = -1;
        INFO("allocation " << failing << " fails");
        if (through) CHECK(done);
        check();
    }
    CHECK(failing > 1);
}

// What is erased is freed at once: nothing is inside an epoch.
void expect_nothing_held(Store& store) {
    REQUIRE_OK(store.append("passing", std::string(3'000, 'p')));
    REQUIRE_OK(store.erase("passing"));
    const auto stats = store.stats();
    REQUIRE_OK(stats);
    CHECK(stats->retired_objects == 0);
    const auto attached = store.attached();
    REQUIRE_OK(attached);
    for (const Attached& one : *attached) CHECK_FALSE(one.inside);
}

}  // namespace

TEST_CASE("A view for which there is no memory leaves no pin") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    for (int number = 0; number < 100; ++number) REQUIRE_OK(store->append("key", std::string(100, 'v')));
    const auto check = [&] { expect_nothing_held(*store); };
    SECTION("view") {
        fail_each_allocation([&] { return store->view("key").has_value(); }, check);
    }
    SECTION("records") {
        fail_each_allocation([&] { return store->records("key").has_value(); }, check);
    }
    SECTION("records in parts") {
        const auto take = [](const Records&) { return true; };
        fail_each_allocation([&] { return store->records("key", 1'000, take).has_value(); }, check);
    }
}

TEST_CASE("A call for which there is no memory holds nothing afterwards") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("key", "value"));
    const auto check = [&] { expect_nothing_held(*store); };
    SECTION("get") {
        fail_each_allocation([&] { return store->get("key").has_value(); }, check);
    }
    SECTION("keys") {
        fail_each_allocation([&] { return store->keys().has_value(); }, check);
    }
    SECTION("stats") {
        fail_each_allocation([&] { return store->stats().has_value(); }, check);
    }
    SECTION("a thread's first call") {
        const auto in_a_thread = [&] {
            bool done = false;
            long left = std::exchange(allocations_until_failure, -1);
            auto own = Store::attach(place.path());
            REQUIRE_OK(own);
            std::thread([&] {
                allocations_until_failure = left;
                done = own->append("key", "of a thread").has_value();
                left = std::exchange(allocations_until_failure, -1);
            }).join();
            allocations_until_failure = left;
            return done;
        };
        const auto before = store->stats()->slots_in_use;
        fail_each_allocation(in_a_thread, [&] {
            check();
            CHECK(store->stats()->slots_in_use == before);
        });
    }
}

TEST_CASE("A spill or sync for which there is no memory holds nothing afterwards, and the next one works") {
    TemporaryStore place;
    Options options = with_limit(16 * kMiB);
    options.spill_dir = place.directory().path();
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::string expected;
    const auto append = [&] {
        const std::string record = std::string(3'000, 'r') + std::to_string(expected.size());
        REQUIRE_OK(store->append("key", record));
        expected += record;
    };
    const auto check = [&] {
        expect_nothing_held(*store);
        REQUIRE_OK(store->get("key"));
        CHECK(store->get("key")->text() == expected);
        append();
    };
    append();
    SECTION("spill") {
        fail_each_allocation([&] { return store->spill().has_value(); }, check);
        REQUIRE_OK(store->spill());
        CHECK(store->stats()->spilled_bytes == expected.size());
    }
    SECTION("sync") {
        fail_each_allocation([&] { return store->sync().has_value(); }, check);
        REQUIRE_OK(store->sync());
    }
    store = Store::attach(place.path(), options);
    REQUIRE_OK(store);
    CHECK(store->get("key")->text() == expected);
}
