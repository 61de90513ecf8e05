// Spill files that cannot be written, or are damaged under a living store: typed errors that name them, nothing
// acknowledged is lost that is still there, and appends go on when there is room again.
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/child.hpp"
#include "../store/numbered_values.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "small_file_system.hpp"
#include "spilling_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

// Appends until an error, `most` bytes at most; what was acknowledged is in `model`.
shoal::Error fill_up(Store& store, std::vector<std::string>& model, std::uint64_t most) {
    std::uint64_t bytes = 0;
    for (std::size_t at = 0; bytes < most; ++at) {
        const std::size_t key = at % model.size();
        const std::string record = pattern(5'000, at);
        const auto appended = store.append(std::to_string(key), record);
        if (!appended) return appended.error();
        model[key] += record;
        bytes += record.size();
    }
    return {};
}

double cpu_seconds() {
    struct rusage used {};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

}  // namespace

TEST_CASE("With the spill folder's file system full appends say so, gets work, and with room again they go on",
          "[process]") {
    const bool thread = GENERATE(true, false);
    const auto kind = GENERATE(SmallFileSystem::Kind::kTmpfs, SmallFileSystem::Kind::kExt4);
    SpillingPlace place;
    const SmallFileSystem files(kind, place.folder(), 12 * kMiB);
    if (!files.why_not().empty()) SHOAL_SKIP("cannot mount a small file system: " << files.why_not());
    CHECK(Child::run([&]() -> std::string {
              shoal::Options options = place.options(8 * kMiB);
              options.spill_thread = thread;
              auto store = Store::open(place.path(), options);
              EXPECT_OK(store);
              std::vector<std::string> model(5);
              const shoal::Error full = fill_up(*store, model, 100 * kMiB);
              EXPECT(full.code == Code::kNoSpace);
              EXPECT(full.system_errno == ENOSPC);
              EXPECT(full.message.find(place.folder()) != std::string::npos);
              EXPECT(full.message.find('\n') == std::string::npos);
              EXPECT(store->stats()->spill_errno == ENOSPC);
              if (std::string wrong = compare(*store, model); !wrong.empty()) return wrong;
              EXPECT(files.make_room());
              const shoal::Error more = fill_up(*store, model, 20 * kMiB);
              EXPECT(more.message.empty());
              EXPECT(store->stats()->spill_errno == 0);
              return compare(*store, model);
          }) == "");
}

TEST_CASE("Who waits for room that does not come does not spin") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = GENERATE(true, false);
    options.room_wait_ms = 1'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("0", "x"));
    // An old view: nothing that is spilled from now on comes back.
    const auto holds_back = store->view("0");
    REQUIRE_OK(holds_back);
    std::vector<std::string> model{"x"};
    double cpu = 0;
    shoal::Error error;
    do {
        cpu = cpu_seconds();
        error = fill_up(*store, model, 5'000);
    } while (error.message.empty());
    cpu = cpu_seconds() - cpu;
    INFO(error.message);
    CHECK(error.code == Code::kMemoryLimit);
    CHECK(cpu < 0.5);
    REQUIRE(compare(*store, model) == "");
}

TEST_CASE("Who may not wait for room makes it himself, where nobody else does") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = false;
    options.room_wait_ms = 0;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::vector<std::string> model(5);
    CHECK(fill_up(*store, model, 40 * kMiB).message == "");
    REQUIRE(compare(*store, model) == "");
}

TEST_CASE("How long an append waits for room is for each process to say that attaches, and it is not for ever") {
    if (kThreadSanitizer) SHOAL_SKIP(kTwoMappings);
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.spill_thread = GENERATE(true, false);
    options.room_wait_ms = 0;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    options.room_wait_ms = 700;
    auto patient = Store::attach(place.path(), options);
    REQUIRE_OK(patient);
    std::vector<std::string> model(5);
    REQUIRE(fill_up(*store, model, 4 * kMiB).message == "");
    const auto holds_back = store->view("0");
    REQUIRE(fill_up(*store, model, 100 * kMiB).code == Code::kMemoryLimit);
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE_CODE(patient->append("large", std::string(3'000'000, 'l')), Code::kMemoryLimit);
    CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(700));
    REQUIRE(compare(*store, model) == "");
}

TEST_CASE("Who has never spilled before memory is full to the last block makes room all the same") {
    SpillingPlace place;
    shoal::Options options = place.options(16 * kMiB);
    options.spill_thread = false;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    // In turns, so that all keys want their next, larger segments at once.
    std::vector<std::string> model(50);
    for (std::size_t at = 0; at < 32 * kMiB / 64; ++at) {
        const std::size_t key = at % model.size();
        const std::string record = pattern(64, at);
        REQUIRE_OK(store->append(std::to_string(key), record));
        model[key] += record;
    }
    REQUIRE(compare(*store, model) == "");
}

TEST_CASE("A spill folder that is removed fails with its name, and once it is back appends go on") {
    SpillingPlace place;
    shoal::Options options = place.options(8 * kMiB);
    options.room_wait_ms = 2'000;
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    std::vector<std::string> model(5);
    REQUIRE(fill_up(*store, model, 2 * kMiB).message.empty());
    fs::remove_all(place.folder());
    const shoal::Error gone = fill_up(*store, model, 50 * kMiB);
    CHECK(gone.code == Code::kMemoryLimit);
    CHECK(gone.system_errno == ENOENT);
    CHECK(gone.message.find(place.folder()) != std::string::npos);
    REQUIRE(compare(*store, model) == "");
    fs::create_directory(place.folder());
    const shoal::Error back = fill_up(*store, model, 20 * kMiB);
    CHECK(back.message == "");
    REQUIRE(compare(*store, model) == "");
}

TEST_CASE("A spill file that is damaged, cut short or gone takes the keys in it and no other, and is named") {
    const std::string codec = GENERATE("none", "lz4");
    enum class Harm { kFlip, kCut, kRemove };
    const auto harm = GENERATE(Harm::kFlip, Harm::kCut, Harm::kRemove);
    SpillingPlace place;
    auto store = Store::open(place.path(), place.options(64 * kMiB, codec));
    REQUIRE_OK(store);
    const std::string text(300'000, 't');
    REQUIRE_OK(store->append("harmed", text));
    REQUIRE_OK(store->spill());
    REQUIRE_OK(store->append("resident", text));
    const std::string file = place.spill_files().at(0);
    if (harm == Harm::kFlip) {
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekp(4096 + 700);
        bytes.put('?');
    }
    if (harm == Harm::kCut) fs::resize_file(file, 4096 + 100);
    if (harm == Harm::kRemove) fs::remove(file);
    // As a process that comes anew has it.
    auto other = Store::attach(place.path());
    REQUIRE_OK(other);
    const auto harmed = other->get("harmed");
    REQUIRE_CODE(harmed, Code::kDamaged);
    CHECK(harmed.error().message.find(file) != std::string::npos);
    CHECK(harmed.error().message.find("4096") != std::string::npos);
    REQUIRE_CODE(other->records("harmed"), Code::kDamaged);
    REQUIRE_CODE(other->view("harmed"), Code::kDamaged);
    CHECK((other->get("resident")->text() == text));
    CHECK(other->size("harmed")->bytes == text.size());
    REQUIRE(*other->erase("harmed"));
    REQUIRE_OK(other->append("harmed", "again"));
    REQUIRE_OK(other->spill());
    CHECK(other->get("harmed")->text() == "again");
    CHECK((other->get("resident")->text() == text));
}
