// A tmpfs that is full or too small: a typed error that says what to change, never SIGBUS, nothing acknowledged
// lost. Each test mounts a small tmpfs of its own, which takes root.
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "numbered_workload.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Options;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

class SmallTmpfs {
public:
    explicit SmallTmpfs(const std::string& size) {
        if (::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, ("size=" + size).c_str()) != 0)
            cannot_ = std::strerror(errno);
    }
    ~SmallTmpfs() {
        if (cannot_.empty()) ::umount2(directory_.path().c_str(), MNT_DETACH);
    }
    const std::string& cannot() const { return cannot_; }
    const std::string& path() const { return directory_.path(); }

private:
    TemporaryDirectory directory_;
    std::string cannot_;
};

Options in_tmpfs(const SmallTmpfs& tmpfs, std::uint64_t limit_bytes) {
    Options options = with_limit(limit_bytes);
    options.arena_dir = tmpfs.path();
    return options;
}

// Appends until an error; what was acknowledged is counted.
shoal::Error fill_up(Store& store, std::vector<std::string>& model, std::size_t record_bytes) {
    for (std::size_t i = 0;; ++i) {
        const std::size_t key = i % model.size();
        const std::string record = pattern(record_bytes, i);
        const auto appended = store.append(std::to_string(key), record);
        if (!appended) return appended.error();
        model[key] += record;
    }
}

std::string compare(const Store& store, const std::vector<std::string>& model) {
    for (std::size_t key = 0; key < model.size(); ++key) {
        const auto value = store.get(std::to_string(key));
        if (model[key].empty()) EXPECT_CODE(value, Code::kNotFound);
        if (model[key].empty()) continue;
        EXPECT_OK(value);
        EXPECT(value->text() == model[key]);
    }
    return {};
}

}  // namespace

#define NEEDS_MOUNT(tmpfs) \
    if (!(tmpfs).cannot().empty()) SHOAL_SKIP("cannot mount a small tmpfs: " << (tmpfs).cannot())

TEST_CASE("On a full tmpfs append says so, nothing acknowledged is lost, and it works on when space returns",
          "[process]") {
    const auto record_bytes = static_cast<std::size_t>(GENERATE(100, 20'000, 3'000'000));
    const SmallTmpfs tmpfs("16m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              auto store = Store::open(place.path(), in_tmpfs(tmpfs, 64 * kMiB));
              EXPECT_OK(store);
              std::vector<std::string> model(3);
              const shoal::Error full = fill_up(*store, model, record_bytes);
              EXPECT(full.code == Code::kNoSpace);
              EXPECT(full.message.find(tmpfs.path()) != std::string::npos);
              EXPECT(model[0].size() + model[1].size() + model[2].size() > 4 * kMiB);
              if (std::string wrong = compare(*store, model); !wrong.empty()) return wrong;
              EXPECT_CODE(store->append("large", std::string(8'000'000, 'x')), Code::kNoSpace);
              EXPECT_CODE(store->get("large"), Code::kNotFound);

              EXPECT(::mount("tmpfs", tmpfs.path().c_str(), "tmpfs", MS_REMOUNT, "size=24m") == 0);
              const std::size_t before = model[0].size();
              const shoal::Error full_again = fill_up(*store, model, record_bytes);
              EXPECT(full_again.code == Code::kNoSpace);
              EXPECT(model[0].size() > before);
              if (std::string wrong = compare(*store, model); !wrong.empty()) return wrong;

              EXPECT(*store->erase("0"));
              model[0].clear();
              EXPECT_OK(store->append("small", "fits"));
              EXPECT_OK(store->erase("small"));
              fill_up(*store, model, record_bytes);
              EXPECT(model[0].size() > 0);
              return compare(*store, model);
          }) == "");
    auto store = Store::attach(place.path());
    REQUIRE_OK(store);
    CHECK(store->get("1")->size() % record_bytes == 0);
    REQUIRE_OK(Store::destroy(place.path(), by_force()));
    CHECK(fs::is_empty(tmpfs.path()));
}

TEST_CASE("Space that others take in the tmpfs is met with a typed error, not SIGBUS", "[process]") {
    const SmallTmpfs tmpfs("16m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              auto store = Store::open(place.path(), in_tmpfs(tmpfs, 64 * kMiB));
              EXPECT_OK(store);
              EXPECT_OK(store->append("0", "x"));
              std::vector<std::string> model = {"x", "", ""};
              const std::string filler = tmpfs.path() + "/filler";
              std::ofstream(filler) << std::string(20'000'000, 'f');  // as much as there is
              const shoal::Error full = fill_up(*store, model, 1000);
              EXPECT(full.code == Code::kNoSpace);
              if (std::string wrong = compare(*store, model); !wrong.empty()) return wrong;
              EXPECT(fs::remove(filler));
              EXPECT_OK(store->append("large", std::string(4'000'000, 'x')));
              return compare(*store, model);
          }) == "");
}

TEST_CASE("A batch on a full tmpfs has appended the first Error::count pairs and no other", "[process]") {
    const SmallTmpfs tmpfs("8m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              auto store = Store::open(place.path(), in_tmpfs(tmpfs, 64 * kMiB));
              EXPECT_OK(store);
              std::vector<std::string> model(7);
              while (true) {
                  std::vector<std::string> keys, records;
                  std::vector<shoal::Pair> batch;
                  for (std::size_t i = 0; i < 100; ++i) {
                      keys.push_back(std::to_string(i % 7));
                      records.push_back(pattern(1000, i));
                  }
                  for (std::size_t i = 0; i < 100; ++i) batch.emplace_back(shoal::ByteView(keys[i]), records[i]);
                  const auto appended = store->append(batch);
                  const std::size_t count = appended ? 100 : appended.error().count;
                  EXPECT(count <= 100);
                  for (std::size_t i = 0; i < count; ++i) model[i % 7] += records[i];
                  if (appended) continue;
                  EXPECT_CODE(appended, Code::kNoSpace);
                  return compare(*store, model);
              }
          }) == "");
}

TEST_CASE("Processes that meet a full tmpfs together lose nothing", "[process]") {
    const SmallTmpfs tmpfs("16m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    auto store = Store::open(place.path(), in_tmpfs(tmpfs, 64 * kMiB));
    REQUIRE_OK(store);
    constexpr std::size_t kWriters = 4;
    Ledger ledger(kWriters, 1);
    std::vector<Child> children;
    for (std::size_t writer = 0; writer < kWriters; ++writer)
        children.push_back(Child::start([&, writer]() -> std::string {
            auto own = Store::attach(place.path());
            EXPECT_OK(own);
            for (std::uint64_t number = 0;; ++number) {
                NumberedRecord head{};
                head.writer = static_cast<std::uint32_t>(writer);
                head.number = head.own_acknowledged = number;
                ledger.begin(writer, 0, number + 1);
                const auto appended = own->append(key_name(0), make_record(head, number % 3000));
                if (!appended) {
                    EXPECT_CODE(appended, Code::kNoSpace);
                    ledger.begin(writer, 0, number);
                    return {};
                }
                ledger.acknowledge(writer, 0, number + 1);
            }
        }));
    REQUIRE(wait_for(children) == "");
    ClosedCutChecker checker(ledger);
    CHECK(check_at_rest(*store, ledger, checker) == "");
}

TEST_CASE("A tmpfs too small for a store gives an error that says what to change, and nothing is left",
          "[process]") {
    const SmallTmpfs tmpfs("256k");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    CHECK(Child::run([&]() -> std::string {
              const auto opened = Store::open(place.path(), in_tmpfs(tmpfs, 64 * kMiB));
              EXPECT_CODE(opened, Code::kNoSpace);
              const std::string& message = opened.error().message;
              EXPECT(message.find(tmpfs.path()) != std::string::npos);
              EXPECT(message.find("arena_dir") != std::string::npos || message.find("size") != std::string::npos);
              EXPECT(message.find('\n') == std::string::npos);
              return {};
          }) == "");
    CHECK(fs::is_empty(tmpfs.path()));
    CHECK(place.directory().entries().empty());
}

TEST_CASE("Bytes to reserve that the tmpfs has not fail in open, not later", "[process]") {
    const SmallTmpfs tmpfs("16m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    Options options = in_tmpfs(tmpfs, 64 * kMiB);
    options.reserve_bytes = 32 * kMiB;
    REQUIRE_CODE(Store::open(place.path(), options), Code::kNoSpace);
    CHECK(fs::is_empty(tmpfs.path()));
    CHECK(place.directory().entries().empty());
}

TEST_CASE("Without a limit the store takes half of what its tmpfs has free") {
    const SmallTmpfs tmpfs("64m");
    NEEDS_MOUNT(tmpfs);
    TemporaryStore place;
    Options options;
    options.arena_dir = tmpfs.path();
    auto store = Store::open(place.path(), options);
    REQUIRE_OK(store);
    CHECK(store->stats()->memory_limit_bytes == 32 * kMiB);
}
