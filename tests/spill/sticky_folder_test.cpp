// A store of a group whose spill folder has the sticky bit, as /var/tmp has: each member may remove and rename its
// own files alone there, and the store works for all of them.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <shoal/store.hpp>

#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "catch.hpp"
#include "folders.hpp"
#include "spill/checkpoint_writer.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;
namespace fs = std::filesystem;

namespace {

constexpr uid_t kFirst = 65534;
constexpr uid_t kSecond = 65532;
constexpr gid_t kGroup = 65531;

std::string as_member(uid_t user, const Child::Body& body) {
    return Child::run([&]() -> std::string {
        const gid_t group = kGroup;
        if (::setgroups(1, &group) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0) {
            return "cannot become another user";
        }
        return body();
    });
}

// The folders are root's, so that neither member may do more in them than the other.
struct StickyFolders : Folders {
    StickyFolders() {
        for (const TemporaryDirectory* each : {&stores, &arenas, &spills}) {
            REQUIRE(::chmod(each->path().c_str(), 01777) == 0);
        }
    }
    [[nodiscard]] shoal::Options group_options() const {
        shoal::Options options = Folders::options();
        options.group = std::to_string(kGroup);
        return options;
    }
};

std::string value_of(std::uint64_t number) { return pattern(kMiB, number); }

std::string append_all(Store& store, std::uint64_t from) {
    for (std::uint64_t each = from; each < from + 12; ++each) {
        EXPECT_OK(store.append(std::to_string(each), value_of(each)));
    }
    return {};
}

std::string has_all(Store& store, std::uint64_t from) {
    for (std::uint64_t each = from; each < from + 12; ++each) {
        EXPECT(store.get(std::to_string(each))->text() == value_of(each));
    }
    return {};
}

}  // namespace

#define NEEDS_ROOT \
    if (::geteuid() != 0) SHOAL_SKIP("needs root, to be two members of a group")

TEST_CASE("In a folder with the sticky bit each member spills, syncs, erases what the other spilled, and restores",
          "[process]") {
    NEEDS_ROOT;
    const StickyFolders folders;
    REQUIRE(as_member(kFirst, [&]() -> std::string {
                auto store = Store::open(folders.path(), folders.group_options());
                EXPECT_OK(store);
                EXPECT(append_all(*store, 0) == "");
                EXPECT_OK(store->sync());
                return {};
            }) == "");
    const std::size_t of_first = folders.spill_files().size();
    REQUIRE(of_first > 0);
    REQUIRE(as_member(kSecond, [&]() -> std::string {
                auto store = Store::attach(folders.path(), folders.group_options());
                EXPECT_OK(store);
                EXPECT(has_all(*store, 0) == "");
                EXPECT_OK(store->drop());
                EXPECT_OK(store->sync());  // empties the files, and may not remove them
                EXPECT(append_all(*store, 20) == "");
                EXPECT_OK(store->spill());
                EXPECT_OK(store->sync());
                return has_all(*store, 20);
            }) == "");
    REQUIRE(folders.spill_files().size() > of_first);
    folders.lose_memory();
    for (const uid_t user : {kFirst, kSecond}) {
        REQUIRE(as_member(user, [&]() -> std::string {
                    auto store = Store::attach(folders.path(), folders.group_options());
                    EXPECT_OK(store);
                    EXPECT(has_all(*store, 20) == "");
                    EXPECT(append_all(*store, user == kFirst ? 40 : 60) == "");
                    EXPECT_OK(store->sync());
                    EXPECT(has_all(*store, user == kFirst ? 40 : 60) == "");
                    const auto report = Store::verify(folders.path(), [&] {
                        shoal::VerifyOptions verify;
                        verify.access = folders.group_options();
                        return verify;
                    }());
                    EXPECT(report && report->damage.empty());
                    return {};
                }) == "");
    }
}

TEST_CASE("A member finishes a checkpoint that another member wrote into a folder with the sticky bit",
          "[process]") {
    NEEDS_ROOT;
    const StickyFolders folders;
    const std::string path = folders.spills / "checkpoint";
    REQUIRE(as_member(kFirst, [&]() -> std::string {
                std::ofstream(path + std::string(shoal::kUnpublishedEnding)) << "whole";
                EXPECT(::chown((path + ".new").c_str(), static_cast<uid_t>(-1), kGroup) == 0);
                EXPECT(::chmod((path + ".new").c_str(), 0660) == 0);
                return {};
            }) == "");
    for (int turn = 0; turn < 2; ++turn) {
        REQUIRE(as_member(kSecond, [&]() -> std::string {
                    EXPECT(shoal::name_checkpoint(path) == 0);
                    return {};
                }) == "");
        REQUIRE(fs::file_size(path) == 5);
    }
    REQUIRE(as_member(kFirst, [&]() -> std::string {  // stopped meanwhile
                EXPECT(shoal::name_checkpoint(path) == 0);
                return {};
            }) == "");
    REQUIRE(fs::file_size(path) == 5);
}

TEST_CASE("A destroyer that may not remove another member's spill files empties them, and says whose they are",
          "[process]") {
    NEEDS_ROOT;
    const StickyFolders folders;
    REQUIRE(as_member(kFirst, [&]() -> std::string {
                auto store = Store::open(folders.path(), folders.group_options());
                EXPECT_OK(store);
                return append_all(*store, 0);
            }) == "");
    REQUIRE(as_member(kSecond, [&]() -> std::string {
                auto store = Store::attach(folders.path(), folders.group_options());
                EXPECT_OK(store);
                EXPECT_OK(store->drop());
                EXPECT(append_all(*store, 20) == "");
                EXPECT_OK(store->sync());
                return {};
            }) == "");
    REQUIRE(as_member(kFirst, [&]() -> std::string {
                const auto destroyed = Store::destroy(folders.path(), folders.group_options());
                EXPECT_CODE(destroyed, Code::kPermission);
                EXPECT(destroyed.error().message.find("sticky") != std::string::npos);
                EXPECT_CODE(Store::attach(folders.path(), folders.group_options()), Code::kNotFound);
                return {};
            }) == "");
    for (const std::string& name : folders.spills.entries()) CHECK(fs::file_size(folders.spills / name) == 0);
    REQUIRE(as_member(kSecond, [&]() -> std::string {
                EXPECT_CODE(Store::destroy(folders.path(), folders.group_options()),
                            Code::kNotFound);  // it finishes that one
                return {};
            }) == "");
    CHECK(folders.spills.entries().empty());
    CHECK(fs::is_empty(folders.path()));  // the folder is the first member's to remove
}
