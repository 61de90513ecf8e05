// Crash points of a store that is full to its last block: what gives memory back needs none, whatever a process has
// left half-done, stopped or dead.
#include <string>
#include <vector>

#include "catch.hpp"
#include "deeds.hpp"

using namespace shoal_test;
using namespace shoal_test::deeds;
using shoal::Store;

namespace {

constexpr std::uint64_t kLimit = 8 * kMiB;
const std::string kFiller = std::string(kAside) + "filler";

struct Window {
    CrashPoint point;
    const Deed& deed;
    std::uint32_t passing = 1;
};

// Of a leaf that is replaced: split in two, copied into one, or split below a new node.
const std::vector<Window>& windows() {
    static const std::vector<Window> all{
        {CrashPoint::kLeafPartRemembered, kNewKeys},  {CrashPoint::kLeafAllocated, kNewKeys},
        {CrashPoint::kLeafPublished, kNewKeys},       {CrashPoint::kLeafPublished, kRebuild},
        {CrashPoint::kLeafPublished, kGrowDeep, 13},  {CrashPoint::kLeafFreezing, kNewKeys},
        {CrashPoint::kLeafFreezing, kNewKeys, 250},   {CrashPoint::kLeafFreezing, kRebuild, 250},
        {CrashPoint::kLeafFrozen, kNewKeys},          {CrashPoint::kLeafFrozen, kRebuild},
        {CrashPoint::kLeafFrozen, kGrowDeep, 13},     {CrashPoint::kLeafCopying, kNewKeys, 100},
        {CrashPoint::kLeafCopying, kRebuild},         {CrashPoint::kLeafCopied, kNewKeys},
        {CrashPoint::kLeafCopied, kRebuild},          {CrashPoint::kLeafCopied, kGrowDeep, 13},
        {CrashPoint::kLeafSucceeded, kNewKeys},       {CrashPoint::kLeafReplaced, kRebuild},
        {CrashPoint::kLeafNamed, kNewKeys},           {CrashPoint::kLeafInstalling, kNewKeys, 100},
        {CrashPoint::kLeafInstalling, kRebuild, 100}, {CrashPoint::kLeafInstalled, kGrowDeep, 13},
        {CrashPoint::kLeafHalfSettled, kNewKeys},     {CrashPoint::kLeafRetiring, kNewKeys},
        {CrashPoint::kLeafRetired, kRebuild},
    };
    return all;
}

// Takes every block that there is, of each size, for a key that is there: the index does not change.
std::string fill_to_the_last_block(Store& store) {
    for (std::size_t bytes = 512 * 1024; bytes >= 16; bytes /= 2) {
        const std::string record(bytes - 12, 'f');  // fills a block, but for its header
        for (;;) {
            const auto appended = store.append(kFiller, record);
            if (appended) continue;
            EXPECT(appended.error().code == shoal::Code::kMemoryLimit);
            break;
        }
    }
    return {};
}

// Nothing is left but the index, and the store has room for as much again.
std::string check_empty(Scene& scene) {
    EXPECT(scene.store().keys()->empty());
    const auto stats = scene.store().stats();
    EXPECT_OK(stats);
    if (stats->retired_objects != 0) return std::to_string(stats->retired_objects) + " objects wait";
    if (scene.leaked_outside_of_index() != 0)
        return std::to_string(scene.leaked_outside_of_index()) + " bytes are not free";
    const auto report = scene.verify();
    EXPECT_OK(report);
    std::string wrong;
    for (const auto& damage : report->damage) wrong += damage.invariant + ": " + damage.what + "; ";
    if (report->blocks_leaked != 0) wrong += std::to_string(report->blocks_leaked) + " blocks leaked";
    return wrong;
}

// A scene in which a child has come to the window, and all memory is used then.
struct Full {
    Scene scene{false, kLimit};
    Child child;

    Full(const Window& window, void (*action)())
        : child((static_cast<void>(scene.store().append(kFiller, "f")),
                 start_deed(scene, window.deed, window.point, window.passing, action))) {}
};

std::string erase_at_the_limit(const Window& window, bool by_drop) {
    Full full(window, shoal::crash::kill_here);
    Scene& scene = full.scene;
    const std::string ended = full.child.wait();
    if (full.child.killed_by() != SIGKILL) return "the child did not die there: " + ended;
    std::string wrong = fill_to_the_last_block(scene.store());
    if (!wrong.empty()) return wrong;
    if (by_drop) {
        EXPECT_OK(scene.store().drop());
    } else {
        wrong = erase_all(scene.store());
    }
    if (!wrong.empty()) return wrong;
    EXPECT_OK(Store::attach(scene.path(), without_spill_thread()));  // recovers the dead
    return check_empty(scene);
}

std::string erase_beside_the_stopped(const Window& window) {
    Full full(window, shoal::crash::stop_here);
    Scene& scene = full.scene;
    if (!has_stopped(full.child)) return "the child did not stop there: " + full.child.wait();
    std::string wrong = fill_to_the_last_block(scene.store());
    if (wrong.empty()) wrong = erase_all(scene.store());
    if (!wrong.empty()) return wrong;
    full.child.kill();
    static_cast<void>(full.child.wait());
    EXPECT_OK(Store::attach(scene.path(), without_spill_thread()));
    return check_empty(scene);
}

// An eraser dies too, and what it had marked is taken out by the process that recovers it.
std::string recover_an_erase_at_the_limit(const Window& window) {
    Full full(window, shoal::crash::kill_here);
    Scene& scene = full.scene;
    const std::string ended = full.child.wait();
    if (full.child.killed_by() != SIGKILL) return "the child did not die there: " + ended;
    const std::string wrong = fill_to_the_last_block(scene.store());
    if (!wrong.empty()) return wrong;
    for (int number = 0; number < 3; ++number) {
        Child eraser = Child::start([&]() -> std::string {
            auto own = Store::attach(scene.path(), without_spill_thread());
            EXPECT_OK(own);
            shoal::crash::at(CrashPoint::kEraseMarked, 1, shoal::crash::kill_here);
            (void)own->erase("bystander " + std::to_string(number));
            return "it came through the erase";
        });
        const std::string failed = eraser.wait();
        if (eraser.killed_by() != SIGKILL) return failed;
        EXPECT_OK(Store::attach(scene.path(), without_spill_thread()));
        EXPECT(!*scene.store().contains("bystander " + std::to_string(number)));
        const auto report = scene.verify();
        EXPECT_OK(report);
        if (report->erased_keys != 0) return "an erased key is in the index yet";
    }
    const std::string failed = erase_all(scene.store());
    return failed.empty() ? check_empty(scene) : failed;
}

template <class Deed>
void in_each_window(Deed&& deed) {
    for (const Window& window : windows()) {
        DYNAMIC_SECTION(shoal::crash::name(window.point) << " " << window.passing << ", " << window.deed.name) {
            CHECK(deed(window) == "");
        }
    }
}

}  // namespace

TEST_CASE("Without a free block, erase gives back all of a key whose leaf a dead process was replacing",
          "[process]") {
    in_each_window([](const Window& window) { return erase_at_the_limit(window, false); });
}

TEST_CASE("Without a free block, drop gives back all keys whose leaf a dead process was replacing", "[process]") {
    in_each_window([](const Window& window) { return erase_at_the_limit(window, true); });
}

TEST_CASE("Without a free block, erase goes on beside a process that is stopped while it replaces a leaf",
          "[process]") {
    in_each_window(erase_beside_the_stopped);
}

TEST_CASE("Without a free block, the erase of a dead process is finished in a leaf that another was replacing",
          "[process]") {
    in_each_window(recover_an_erase_at_the_limit);
}
