// What a process may not do with spill files: make them longer than ulimit -f, write to a folder, write to a file.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/child.hpp"
#include "../store/numbered_values.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLimitedKeys = 5;

// Of a process that forks: without a thread (kForkBesideThreads).
shoal::Options options_of_parent(const SpillingPlace& place) {
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;
    return options;
}

// Appends so many bytes to the keys in turn; what was acknowledged is in `values`.
shoal::Result<void> append_bytes(Store& store, std::vector<std::string>& values, std::uint64_t bytes,
                                 std::size_t record_bytes = 5'000) {
    for (std::uint64_t done = 0; done < bytes; done += record_bytes) {
        const std::size_t key = done / record_bytes % kLimitedKeys;
        const std::string record = pattern(record_bytes, done);
        if (auto appended = store.append(std::to_string(key), record); !appended) return appended;
        values[key] += record;
    }
    return {};
}

std::string limit_files_to(std::uint64_t bytes) {
    const rlimit limit{bytes, bytes};
    EXPECT(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    return {};
}

// Root may write to everything: as somebody else from here on, whose the place is then.
std::string become_user(const SpillingPlace& place) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() != 0) return {};
    const std::string directory = fs::path(place.folder()).parent_path();
    EXPECT(::chown(directory.c_str(), kNobody, kNobody) == 0);
    EXPECT(::chown(place.folder().c_str(), kNobody, kNobody) == 0);
    EXPECT(::setgid(kNobody) == 0 && ::setuid(kNobody) == 0);
    return {};
}

}  // namespace

TEST_CASE("A process that may only make small files spills to as many as it needs", "[process]") {
    const auto record_bytes = static_cast<std::size_t>(GENERATE(5'000, 300'000, 3'000'000));
    const bool thread = GENERATE(true, false);
    constexpr std::uint64_t kLimit = 9 * kMiB;
    SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              shoal::Options options = place.options(8 * kMiB);
              options.reserve_bytes = options.memory_limit_bytes;  // the arena's file is longer than the limit
              options.spill_thread = thread;
              auto store = Store::open(place.path(), options);
              EXPECT_OK(store);
              if (std::string wrong = limit_files_to(kLimit); !wrong.empty()) return wrong;
              std::vector<std::string> values(kLimitedKeys);
              EXPECT_OK(append_bytes(*store, values, 60 * kMiB, record_bytes));
              EXPECT_OK(store->spill());
              for (const std::string& file : place.spill_files()) EXPECT(fs::file_size(file) <= kLimit);
              EXPECT(place.spill_files().size() >= 7);
              return compare(*store, values);
          }) == "");
}

TEST_CASE("Files that are longer than a process may make them it reads, and leaves to others to write",
          "[process]") {
    SpillingPlace place;
    auto store = Store::open(place.path(), options_of_parent(place));
    REQUIRE_OK(store);
    std::vector<std::string> values(kLimitedKeys);
    REQUIRE_OK(append_bytes(*store, values, 30 * kMiB));
    REQUIRE_OK(store->spill());
    CHECK(Child::run([&]() -> std::string {
              if (std::string wrong = limit_files_to(12 * kMiB); !wrong.empty()) return wrong;
              auto own = Store::attach(place.path());
              EXPECT_OK(own);
              if (std::string wrong = compare(*own, values); !wrong.empty()) return wrong;
              EXPECT_OK(append_bytes(*own, values, 30 * kMiB));
              EXPECT_OK(own->spill());
              if (std::string wrong = compare(*own, values); !wrong.empty()) return wrong;
              EXPECT_OK(own->drop());
              EXPECT(own->stats()->spill_files == 0);
              return {};
          }) == "");
    CHECK(place.spill_files().empty());
}

TEST_CASE("Where no file may be made as long as a spill needs, appends say so", "[process]") {
    const bool thread = GENERATE(true, false);
    SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              shoal::Options options = place.options(8 * kMiB);
              options.spill_thread = thread;
              options.reserve_bytes = options.memory_limit_bytes;
              auto store = Store::open(place.path(), options);
              EXPECT_OK(store);
              if (std::string wrong = limit_files_to(kMiB / 2); !wrong.empty()) return wrong;
              std::vector<std::string> values(kLimitedKeys);
              const auto full = append_bytes(*store, values, 60 * kMiB, 300'000);
              EXPECT_CODE(full, Code::kNoSpace);
              EXPECT(full.error().system_errno == EFBIG);
              EXPECT(full.error().message.find("ulimit -f") != std::string::npos);
              const auto spilled = store->spill();
              EXPECT_CODE(spilled, Code::kNoSpace);
              EXPECT(spilled.error().system_errno == EFBIG);
              return compare(*store, values);
          }) == "");
}

TEST_CASE("In a folder that may not be written to appends fail with its name, and go on when they may",
          "[process]") {
    const bool thread = GENERATE(true, false);
    SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              if (std::string wrong = become_user(place); !wrong.empty()) return wrong;
              shoal::Options options = place.options(8 * kMiB);
              options.spill_thread = thread;
              options.room_wait_ms = 3'000;
              auto store = Store::open(place.path(), options);
              EXPECT_OK(store);
              std::vector<std::string> values(kLimitedKeys);
              EXPECT_OK(append_bytes(*store, values, 2 * kMiB));
              EXPECT(::chmod(place.folder().c_str(), 0500) == 0);
              const auto refused = append_bytes(*store, values, 60 * kMiB);
              EXPECT_CODE(refused, Code::kMemoryLimit);
              EXPECT(refused.error().system_errno == EACCES);
              EXPECT(refused.error().message.find(place.folder()) != std::string::npos);
              EXPECT_CODE(store->spill(), Code::kPermission);
              if (std::string wrong = compare(*store, values); !wrong.empty()) return wrong;
              EXPECT(::chmod(place.folder().c_str(), 0700) == 0);
              EXPECT_OK(append_bytes(*store, values, 30 * kMiB));
              EXPECT(store->stats()->spill_errno == 0);
              if (std::string wrong = compare(*store, values); !wrong.empty()) return wrong;
              EXPECT_OK(Store::destroy(place.path(), by_force()));
              return {};
          }) == "");
}

TEST_CASE("Spill files that may only be read are read, and what comes is spilled to others", "[process]") {
    SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              if (std::string wrong = become_user(place); !wrong.empty()) return wrong;
              auto store = Store::open(place.path(), options_of_parent(place));
              EXPECT_OK(store);
              std::vector<std::string> values(kLimitedKeys);
              EXPECT_OK(append_bytes(*store, values, 20 * kMiB));
              EXPECT_OK(store->spill());
              const std::vector<std::string> before = place.spill_files();
              for (const std::string& file : before) EXPECT(::chmod(file.c_str(), 0400) == 0);
              const std::string inner = Child::run([&]() -> std::string {
                  auto own = Store::attach(place.path());
                  EXPECT_OK(own);
                  if (std::string wrong = compare(*own, values); !wrong.empty()) return wrong;
                  EXPECT_OK(append_bytes(*own, values, 20 * kMiB));
                  EXPECT_OK(own->spill());
                  return compare(*own, values);
              });
              if (!inner.empty()) return inner;
              EXPECT(place.spill_files().size() > before.size());
              EXPECT_OK(Store::destroy(place.path(), by_force()));
              EXPECT(place.spill_files().empty());
              return {};
          }) == "");
}

TEST_CASE("A spill folder in memory, where files have no way past the page cache, does all the same") {
    const TemporaryDirectory folder("/dev/shm");
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB, "lz4");
    options.spill_dir = folder.path();
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::vector<std::string> values(kLimitedKeys);
    REQUIRE_OK(append_bytes(*store, values, 30 * kMiB));
    REQUIRE(compare(*store, values) == "");
    REQUIRE_OK(store->drop());
    CHECK(store->stats()->spill_files == 0);
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    CHECK(folder.entries().empty());
}

TEST_CASE("A sync writes to as many small files as it needs, and says so where they may not even be that long",
          "[process]") {
    const auto record_bytes = static_cast<std::size_t>(GENERATE(5'000, 3'000'000));
    constexpr std::uint64_t kLimit = 9 * kMiB;
    SpillingPlace place;
    CHECK(Child::run([&]() -> std::string {
              shoal::Options options = place.options(128 * kMiB);
              options.reserve_bytes = options.memory_limit_bytes;
              options.spill_thread = false;
              auto store = Store::open(place.path(), options);
              EXPECT_OK(store);
              std::vector<std::string> values(kLimitedKeys);
              EXPECT_OK(append_bytes(*store, values, 40 * kMiB, record_bytes));
              if (std::string wrong = limit_files_to(kLimit); !wrong.empty()) return wrong;
              EXPECT_OK(store->sync());
              for (const std::string& file : place.spill_files()) EXPECT(fs::file_size(file) <= kLimit);
              EXPECT_OK(append_bytes(*store, values, 4 * kMiB, record_bytes));
              if (std::string wrong = limit_files_to(kMiB / 2); !wrong.empty()) return wrong;
              const auto failed = store->sync();
              EXPECT_CODE(failed, Code::kNoSpace);
              EXPECT(failed.error().system_errno == EFBIG);
              EXPECT(failed.error().message.find(place.folder()) != std::string::npos);
              return compare(*store, values);
          }) == "");
}
