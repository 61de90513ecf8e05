// Each fault below the I/O room at every transfer of a whole store in turn: nothing that was acknowledged is lost,
// the errors are typed and say where, and when the fault is gone the store goes on. Faults: src/io/fault.hpp.
#include <atomic>
#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "io/fault.hpp"
#include "spilling_store.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::IoFault;
using shoal::Store;
using namespace shoal_test;
namespace io_fault = shoal::io_fault;

namespace {

struct Disarm {
    Disarm() = default;
    Disarm(const Disarm&) = delete;
    Disarm& operator=(const Disarm&) = delete;
    ~Disarm() { io_fault::forget(); }
};

using Values = std::map<std::string, std::string>;

// Extents of each kind: of many segments, of one, compressed, and of a record that is written part by part.
Values fill(Store& store, std::uint64_t seed) {
    Values values;
    const auto append = [&](const std::string& key, const std::string& record) {
        REQUIRE_OK(store.append(key, record));
        values[key] += record;
    };
    for (std::uint64_t at = 0; at < 300; ++at) append("many", pattern(1'500, seed + at));
    for (std::uint64_t at = 0; at < 20; ++at) append("few", pattern(30, seed + at));
    for (std::uint64_t at = 0; at < 300; ++at) append("text", std::string(1'000, static_cast<char>('a' + at % 9)));
    append("large", pattern(5'000'000, seed));
    append("large text", std::string(3'000'000, 't'));
    return values;
}

std::string compare(const Store& store, const Values& values) {
    for (const auto& [key, value] : values) {
        const auto got = store.get(key);
        EXPECT_OK(got);
        EXPECT(got->text() == value);
    }
    return {};
}

shoal::Options without_thread(const SpillingPlace& place) {
    shoal::Options options = place.options(64 * kMiB, "lz4");
    options.spill_thread = false;
    return options;
}

std::uint64_t transfers_of(const std::function<void()>& work) {
    const std::uint64_t before = io_fault::transfers_seen();
    work();
    return io_fault::transfers_seen() - before;
}

}  // namespace

TEST_CASE("A write of a spill that is short or has to be tried again, whichever it is, changes nothing") {
    const auto fault = GENERATE(IoFault{EINTR, 0}, IoFault{EAGAIN, 0}, IoFault{0, 4096});
    const SpillingPlace place;
    auto store = Store::open(place.path(), without_thread(place));
    REQUIRE_OK(store);
    const Disarm disarm;
    (void)fill(*store, 1);
    const std::uint64_t writes = transfers_of([&] { REQUIRE_OK(store->spill()); });
    REQUIRE(writes >= 3);
    std::uint64_t faults = 0;
    for (std::uint64_t at = 1; at <= writes; ++at) {
        REQUIRE_OK(store->drop());
        const Values values = fill(*store, at);
        const std::uint64_t taken = transfers_of([&] {
            io_fault::at(at, fault);
            REQUIRE_OK(store->spill());
        });
        REQUIRE((taken == writes + 1 || (taken == writes && fault.short_by != 0)));
        faults += taken - writes;
        REQUIRE(compare(*store, values) == "");
        CHECK(store->stats()->spilled_bytes == store->stats()->payload_bytes);
    }
    // One more for each; but the order of the keys may leave "few" a write of its own, of one block, never short.
    CHECK((faults == writes || (fault.short_by != 0 && faults == writes - 1)));
}

TEST_CASE("A write of a spill that fails, whichever it is, leaves all that it would have written, and says where") {
    const int cause = GENERATE(EIO, ENOSPC, EROFS);
    const Code code = cause == ENOSPC ? Code::kNoSpace : cause == EROFS ? Code::kPermission : Code::kSystem;
    const std::uint64_t failing = GENERATE(std::uint64_t{1}, io_fault::kForEver);
    const SpillingPlace place;
    auto store = Store::open(place.path(), without_thread(place));
    REQUIRE_OK(store);
    const Disarm disarm;
    (void)fill(*store, 1);
    const std::uint64_t writes = transfers_of([&] { REQUIRE_OK(store->spill()); });
    for (std::uint64_t at = 1; at <= writes; ++at) {
        REQUIRE_OK(store->drop());
        Values values = fill(*store, at);
        io_fault::at(at, {cause, 0}, failing);
        const auto failed = store->spill();
        io_fault::forget();
        REQUIRE_CODE(failed, code);
        CHECK(failed.error().system_errno == cause);
        CHECK(failed.error().message.find(place.folder()) != std::string::npos);
        REQUIRE(compare(*store, values) == "");
        CHECK(store->stats()->spill_errno == cause);
        CHECK(store->stats()->spilled_bytes < store->stats()->payload_bytes);
        REQUIRE_OK(store->append("few", "more"));
        values["few"] += "more";
        REQUIRE_OK(store->spill());
        CHECK(store->stats()->spill_errno == 0);
        CHECK(store->stats()->spilled_bytes == store->stats()->payload_bytes);
        REQUIRE(compare(*store, values) == "");
    }
    REQUIRE_OK(store->drop());
    CHECK(store->stats()->stored_bytes == 0);
    CHECK(place.spill_files().empty());
}

TEST_CASE("A read of what is spilled that is short or fails once, whichever it is, gives the value all the same") {
    const auto fault =
        GENERATE(IoFault{EINTR, 0}, IoFault{EAGAIN, 0}, IoFault{0, 4096}, IoFault{EIO, 0}, IoFault{EBADF, 0});
    const SpillingPlace place;
    auto store = Store::open(place.path(), without_thread(place));
    REQUIRE_OK(store);
    const Disarm disarm;
    const Values values = fill(*store, 1);
    REQUIRE_OK(store->spill());
    const std::uint64_t reads = transfers_of([&] { REQUIRE(compare(*store, values) == ""); });
    REQUIRE(reads >= values.size());
    for (std::uint64_t at = 1; at <= reads; ++at) {
        io_fault::at(at, fault);
        REQUIRE(compare(*store, values) == "");
    }
}

TEST_CASE("Reads that fail from any one on are typed errors that name file and place, and no other key's") {
    const SpillingPlace place;
    auto store = Store::open(place.path(), without_thread(place));
    REQUIRE_OK(store);
    const Disarm disarm;
    const Values values = fill(*store, 1);
    REQUIRE_OK(store->spill());
    REQUIRE_OK(store->append("resident", "bytes"));
    std::vector<ByteView> keys{"resident"};
    for (const auto& [key, value] : values) keys.emplace_back(key);
    const std::uint64_t reads = transfers_of([&] { (void)store->get(keys); });
    const std::string file = place.spill_files().at(0);
    for (std::uint64_t at = 1; at <= reads; ++at) {
        io_fault::at(at, {EIO, 0}, io_fault::kForEver);
        const auto got = store->get(keys);
        const auto records = store->records("many");
        io_fault::forget();
        CHECK(got[0]->text() == "bytes");
        std::size_t failed = 0;
        for (std::size_t key = 1; key < keys.size(); ++key) {
            if (got[key]) {
                REQUIRE((got[key]->text() == values.at(std::string(keys[key].text()))));
                continue;
            }
            ++failed;
            REQUIRE_CODE(got[key], Code::kSystem);
            CHECK(got[key].error().system_errno == EIO);
            CHECK(got[key].error().message.find(file) != std::string::npos);
            CHECK(got[key].error().message.find("extent at ") != std::string::npos);
        }
        CHECK(failed != 0);
        REQUIRE_CODE(records, Code::kSystem);
        REQUIRE(compare(*store, values) == "");
    }
}

TEST_CASE("Appends at the memory limit fail by what the disk says, and go on when it works again") {
    const int cause = GENERATE(EIO, ENOSPC);
    const bool thread = GENERATE(true, false);
    const SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = thread;
    options.room_wait_ms = 2'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    const Disarm disarm;
    Values values;
    const auto append_until = [&](std::uint64_t most) -> shoal::Error {
        for (std::uint64_t at = 0; at * 5'000 < most; ++at) {
            const std::string key = std::to_string(at % 7), record = pattern(5'000, at);
            if (const auto appended = store->append(key, record); !appended) return appended.error();
            values[key] += record;
        }
        return {};
    };
    io_fault::at(4, {cause, 0}, io_fault::kForEver);
    const shoal::Error error = append_until(100 * kMiB);
    CHECK(error.code == (cause == ENOSPC ? Code::kNoSpace : Code::kMemoryLimit));
    CHECK(error.system_errno == cause);
    CHECK(error.message.find(place.folder()) != std::string::npos);
    io_fault::forget();
    REQUIRE(compare(*store, values) == "");
    CHECK(append_until(20 * kMiB).message == "");
    CHECK(store->stats()->spill_errno == 0);
    REQUIRE(compare(*store, values) == "");
}

TEST_CASE("With every third transfer failing threads append and read what they were promised") {
    const int cause = GENERATE(EIO, EINTR);
    const SpillingPlace place;
    auto store = Store::open(place.path(), place.options(8 * kMiB));
    REQUIRE_OK(store);
    const Disarm disarm;
    io_fault::at(1, {cause, 0}, io_fault::kForEver, 3);
    constexpr std::size_t kThreads = 3;
    std::vector<std::string> values(kThreads), wrong(kThreads);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
            const std::string key = std::to_string(thread);
            const auto work = [&]() -> std::string {
                for (std::uint64_t at = 0; at < scaled(3'000, 500); ++at) {
                    const std::string record = pattern(6'000, at * kThreads + thread);
                    const auto appended = store->append(key, record);
                    if (appended) values[thread] += record;
                    if (!appended) EXPECT(appended.error().system_errno == cause);
                    if (at % 100 != 99) continue;
                    const auto got = store->get(key);
                    if (got) EXPECT(got->text() == values[thread]);
                    if (!got) EXPECT(got.error().code == Code::kSystem && got.error().system_errno == cause);
                }
                return {};
            };
            wrong[thread] = work();
        });
    }
    for (std::thread& thread : threads) thread.join();
    io_fault::forget();
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        CHECK(wrong[thread] == "");
        CHECK(values[thread].size() > kMiB);
        CHECK((store->get(std::to_string(thread))->text() == values[thread]));
    }
}
