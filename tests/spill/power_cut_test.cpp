// A disk that loses its power: an ext4 on a loop device, whose image is copied as it is while a process appends,
// spills, merges and syncs; then that process and the memory are gone, and the copy is what the disk has. What a
// sync had acknowledged is there, and each value is the first records of its key.
#include <signal.h>
#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <shoal/store.hpp>

#include "../mount_namespace.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "../store/shared_counters.hpp"
#include "../store/temporary_store.hpp"
#include "catch.hpp"

using namespace shoal_test;
using shoal::ByteView;
using shoal::Store;

namespace {

constexpr int kKeys = 12;
constexpr std::size_t kSyncs = kKeys;  // the counter behind those of the keys

std::string key_of(int key) { return "key " + std::to_string(key); }

std::string record_of(int key, std::uint64_t number) {
    const std::uint64_t seed = static_cast<std::uint64_t>(key) * 1'000'000 + number;
    return pattern(20 + seed * 7919 % (number % 40 == 39 ? 90'000 : 900), seed);
}

// Runs a command of the shell. "" or what it was.
std::string run(const std::string& command) {
    const int status = std::system(("export PATH=$PATH:/sbin:/usr/sbin; " + command).c_str());
    return status == 0 ? "" : "failed: " + command;
}

class Disk {
public:
    [[nodiscard]] std::string make() const {
        return run("truncate -s 160M '" + image() + "' && mkfs.ext4 -q -m 0 '" + image() + "'");
    }
    [[nodiscard]] std::string mount() const { return run("mount -o loop '" + image() + "' '" + folder() + "'"); }
    // What it has at this moment is what it has from then on. While no process writes to it.
    [[nodiscard]] std::string cut_power() const {
        const std::string copy = images_ / "copy";
        // A copy is one of a moment when nothing was written meanwhile.
        const std::string until_it_stays =
            "while cp '" + image() + "' '" + copy + "' && ! cmp -s '" + image() + "' '" + copy + "'; do :; done";
        if (std::string wrong = run(until_it_stays); !wrong.empty()) return wrong;
        cut_ = true;
        return {};
    }
    [[nodiscard]] std::string come_back() const {
        // The kernel lets go of a killed process's files a little later; what it writes yet is not in the copy.
        if (::umount2(folder().c_str(), MNT_DETACH) != 0) return "cannot unmount the disk";
        if (std::exchange(cut_, false)) std::filesystem::rename(images_ / "copy", image());
        return mount();
    }
    [[nodiscard]] std::string folder() const { return folder_.path(); }

private:
    [[nodiscard]] std::string image() const { return images_ / "image"; }

    TemporaryDirectory images_{"/dev/shm"};
    TemporaryDirectory folder_;
    mutable bool cut_ = false;
};

shoal::Options options_of(const Disk& disk, const TemporaryDirectory& arenas) {
    shoal::Options options = with_limit(16 * kMiB);
    options.arena_dir = arenas.path();
    options.spill_dir = disk.folder() + "/spills";
    return options;
}

// Appends, spills, which merges, and syncs until it is killed. The counters of the keys are what was synced.
std::string write_for_ever(const Disk& disk, const TemporaryDirectory& arenas, SharedCounters& counters) {
    auto store = Store::open(disk.folder() + "/store", options_of(disk, arenas));
    EXPECT_OK(store);
    std::vector<std::uint64_t> records(kKeys);
    for (int key = 0; key < kKeys; ++key) {
        const auto size = store->size(key_of(key));
        records[static_cast<std::size_t>(key)] = size ? size->records : 0;
    }
    for (int turn = 0;; ++turn) {
        for (int key = turn % 2; key < kKeys; key += 2) {
            auto& number = records[static_cast<std::size_t>(key)];
            EXPECT_OK(store->append(key_of(key), record_of(key, number++)));
        }
        EXPECT_OK(store->spill());
        if (turn % 4 != 3) continue;
        EXPECT_OK(store->sync());
        for (std::size_t key = 0; key < records.size(); ++key) counters[key] = records[key];
        counters[kSyncs].fetch_add(1);
    }
}

std::string check(const Disk& disk, const TemporaryDirectory& arenas, SharedCounters& counters) {
    const auto store = Store::open(disk.folder() + "/store", options_of(disk, arenas));
    EXPECT_OK(store);
    std::uint64_t all = 0;
    for (int key = 0; key < kKeys; ++key) {
        const auto records = store->records(key_of(key));
        EXPECT_OK(records);
        all += records->size();
        EXPECT(records->size() >= counters[static_cast<std::size_t>(key)]);
        std::uint64_t number = 0;
        for (const ByteView record : *records) EXPECT(record.text() == record_of(key, number++));
    }
    EXPECT(all < 500 || store->stats()->segments < all / 2);  // each was spilled by itself: they were merged
    const auto report = Store::verify(disk.folder() + "/store");
    EXPECT_OK(report);
    if (!report->damage.empty()) return report->damage.front().what;
    return {};
}

}  // namespace

TEST_CASE("What was synced is on a disk whose power is cut at any moment, beside spills and merges", "[process]") {
    const TemporaryDirectory arenas{"/dev/shm"};
    const Disk disk;
    SharedCounters counters(kKeys + 1);
    REQUIRE_IN_NAMESPACE(Child::run([&]() -> std::string {
        std::string cannot = enter_mount_namespace();
        if (cannot.empty()) cannot = disk.make();
        if (cannot.empty()) cannot = disk.mount();
        if (!cannot.empty()) return kCannot + cannot;
        std::filesystem::create_directory(disk.folder() + "/spills");
        std::uint64_t random = 1;
        for (int cut = 0; cut < static_cast<int>(scaled(10, 4)); ++cut) {
            const Child writer = Child::start([&] { return write_for_ever(disk, arenas, counters); });
            const std::uint64_t enough = counters[kSyncs] + 3 + next_random(random) % 20;
            while (counters[kSyncs] < enough && !writer.has_ended()) ::usleep(100);
            ::usleep(static_cast<useconds_t>(next_random(random) % 20'000));  // to any point of what comes behind
            EXPECT(!writer.has_ended());
            writer.kill(SIGSTOP);
            if (std::string wrong = disk.cut_power(); !wrong.empty()) return wrong;
            writer.kill();
            while (!writer.has_ended()) ::usleep(100);
            for (const std::string& arena : arenas.entries()) std::filesystem::remove(arenas / arena);
            if (std::string wrong = disk.come_back(); !wrong.empty()) return wrong;
            if (std::string wrong = check(disk, arenas, counters); !wrong.empty()) {
                return "cut " + std::to_string(cut) + ": " + wrong;
            }
        }
        EXPECT_OK(Store::destroy(disk.folder() + "/store"));
        return {};
    }));
}
