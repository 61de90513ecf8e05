#include "verify/verify.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <xxhash.h>
#include <shoal/store.hpp>

#include "arena/descriptor.hpp"
#include "arena/plan.hpp"
#include "arena/presence.hpp"
#include "spill/checkpoint_reader.hpp"
#include "store/impl.hpp"
#include "store/metadata.hpp"
#include "verify/check_blocks.hpp"
#include "verify/check_files.hpp"
#include "verify/check_index.hpp"
#include "verify/check_slots.hpp"
#include "verify/check_spill.hpp"

namespace shoal {
namespace {

bool anyone_has_a_slot(const Mapping& mapping) noexcept {
    return is_locked(mapping.descriptor(), slot_byte(0), kSlots);
}

// Whose memory is there: to read others would allocate it.
std::uint32_t real_slots(const Mapping& mapping) noexcept {
    return std::min(mapping.header().slots_real.load(std::memory_order_acquire), kSlots);  // pairs with Slots::grow
}

// Of the process table: the same before and after, when nobody came in between.
std::uint64_t table_sum(const Mapping& mapping) noexcept {
    return XXH3_64bits(mapping.at<std::byte>(kSlotsAt), real_slots(mapping) * sizeof(Slot));
}

void check_all(Inspection& inspection) {
    check_spill_files(inspection);
    IndexCheck index(inspection, Holder::kIndex, State::kWhole, [] { return true; });
    index.check_tree(inspection.header().tree.load(std::memory_order_acquire), offsetof(ArenaHeader, tree));
    check_retired(inspection);
    check_slots(inspection);
    check_spill_totals(inspection);
    check_blocks(inspection);
}

// What of an arena that cannot be attached to is wrong: the invariants of arena/layout.hpp.
Damage damage_of_header(const Metadata& metadata, const std::string& message) {
    std::uint64_t magic = 0;
    const Descriptor file(::open(metadata.arena_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    const bool known = ::pread(file.get(), &magic, sizeof magic, 0) == sizeof magic && magic == kArenaMagic;
    return {known ? "layout I2" : "layout I1", 0, message};
}

// A store that attach calls damaged.
VerifyReport unattachable(const std::string& path, const std::string& message) {
    VerifyReport report;
    report.path = path;
    report.damage_count = 1;
    const std::string file = path + "/" + std::string(kMetadataName);
    const auto metadata = read_metadata_file(AT_FDCWD, file, file, *Access::from(Options{}));
    if (metadata && *metadata) {
        report.arena_path = (*metadata)->arena_path;
        report.damage.push_back(damage_of_header(**metadata, message));
    } else {
        report.damage.push_back({"store.meta", 0, message});
    }
    report.not_checked.emplace_back("everything else: the arena cannot be attached to");
    return report;
}

Atomic<PageOwner>& page_owner_of(const Mapping& mapping, std::uint64_t page) noexcept {
    return *mapping.at<Atomic<PageOwner>>(plan_arena(mapping.bytes()).owners_at + page * sizeof(PageOwner));
}

std::pair<std::uint32_t, std::uint32_t> living_and_dead(const Mapping& mapping) {
    std::pair<std::uint32_t, std::uint32_t> count{0, 0};
    for (std::uint32_t number = 0; number < real_slots(mapping); ++number) {
        const std::uint64_t at = kSlotsAt + number * sizeof(Slot);
        // relaxed: a count of one moment
        if (mapping.at<Slot>(at)->state.load(std::memory_order_relaxed) ==
            static_cast<std::uint32_t>(SlotState::kFree)) {
            continue;
        }
        (is_locked(mapping.descriptor(), slot_byte(number), 1) ? count.first : count.second) += 1;
    }
    return count;
}

// Who checks a store does not work on it.
Options without_spilling() {
    Options options;
    options.spill_thread = false;
    return options;
}

}  // namespace

// Attached as anybody else. Beside others: what is reachable, inside an epoch that is left and entered again on the
// way.
class LiveVerification {
public:
    explicit LiveVerification(OpenedArena&& opened)
        : store_(std::make_shared<StoreImpl>(std::move(opened), without_spilling())), look_(store_->slots_) {}

    Result<void> run(VerifyReport* report) {
        Inspection inspection(store_->mapping_, false, *report);
        check_spill_files(inspection);
        tree_ = raw(store_->index_.tree());
        IndexCheck index(inspection, Holder::kIndex, State::kWhole, [this] { return pause(); });
        if (pause()) index.check_tree(tree_, offsetof(ArenaHeader, tree));
        inside_.reset();
        if (failure_) return tl::unexpected(std::move(*failure_));
        if (dropped_) inspection.not_checked("the rest of the index: the store was dropped meanwhile");
        inspection.not_checked("what is free, retired or leaked, and the slots: others are using the store");
        inspection.not_checked("what stands behind the claimed part of segments");
        return {};
    }

    // The dead have been recovered when it was attached; what is retired is freed here.
    void tidy(int turns) {
        for (int turn = 0; look_.get() != nullptr && turn < turns; ++turn) {
            static_cast<void>(store_->epochs_.reclaim(*look_.get(), true));
        }
    }

private:
    bool pause() {
        inside_.reset();
        auto inside = store_->enter_to_look(look_);
        if (!inside) {
            failure_ = std::move(inside.error());
            return false;
        }
        inside_.emplace(std::move(*inside));
        dropped_ = raw(store_->index_.tree()) != tree_;
        return !dropped_;
    }

    std::shared_ptr<StoreImpl> store_;
    LookSlot look_;
    std::uint64_t tree_ = 0;
    bool dropped_ = false;
    std::optional<StoreImpl::Inside> inside_;
    std::optional<Error> failure_;
};

std::optional<VerifyReport> verify_at_rest(const Mapping& mapping, Leaks* leaks) {
    if (anyone_has_a_slot(mapping)) return std::nullopt;
    const std::uint64_t before = table_sum(mapping);
    VerifyReport report;
    Inspection inspection(mapping, true, report);
    check_all(inspection);
    if (anyone_has_a_slot(mapping) || table_sum(mapping) != before) return std::nullopt;
    if (leaks != nullptr) *leaks = {std::move(inspection.leaks), std::move(inspection.lost_pages)};
    return report;
}

namespace {

constexpr int kTidyTurns = 3;  // free anything, when nobody is inside an epoch

Result<VerifyReport> verify_opened(const OpenedArena& opened, const std::string& path, const Options& access) {
    for (int turn = 0; turn < 2; ++turn) {  // one more, for who only came and went
        if (auto report = verify_at_rest(opened.mapping)) return std::move(*report);
    }
    VerifyReport report;
    std::tie(report.slots_attached, report.slots_dead) = living_and_dead(opened.mapping);
    auto again = attach_existing(path, access);
    if (!again) return tl::unexpected(std::move(again.error()));
    if (auto done = LiveVerification(std::move(*again)).run(&report); !done) {
        return tl::unexpected(std::move(done.error()));
    }
    return report;
}

// Recovers the dead, which an attach does, and frees what is retired; then gives back what is leaked, with nobody
// else in the arena. Where that cannot be, the report is what it would have been, and says why.
Result<VerifyReport> repair_opened(const OpenedArena& opened, const std::string& path, const Options& access) {
    const auto refused = [&](const std::string& why) {
        return verify_opened(opened, path, access).map([&](VerifyReport&& report) {
            report.not_repaired = why;
            return std::move(report);
        });
    };
    const LockDescription& arena = opened.mapping.locks();
    if (begin_repair(arena) != 0) return refused("another repair is under way");
    // Before anything is changed: recovery and reclaim follow what the arena says.
    auto before = verify_opened(opened, path, access);
    if (!before) return before;
    if (before->sound()) {
        auto again = attach_existing(path, access);
        if (!again) return tl::unexpected(std::move(again.error()));
        LiveVerification(std::move(*again)).tidy(kTidyTurns);
    }
    if (claim_removal(arena) != 0) {
        end_repair(arena);
        return refused("others have the store open");
    }
    Leaks leaks;
    auto report = verify_at_rest(opened.mapping, &leaks);
    if (report && !report->sound()) report->not_repaired = "the store is damaged";
    if (report && report->sound()) {
        const std::uint64_t blocks = report->blocks_leaked;
        const std::uint64_t bytes = report->leaked_bytes;
        return_leaks(opened.mapping, leaks);
        report = verify_at_rest(opened.mapping);
        if (report) {
            report->repaired_blocks = blocks - report->blocks_leaked;
            report->repaired_bytes = bytes - report->leaked_bytes;
        }
    }
    static_cast<void>(announce_presence(arena));  // from alone to shared, so that it cannot be refused
    end_repair(arena);
    if (!report) return refused("others have the store open");
    return std::move(*report);
}

}  // namespace

void return_leaks(const Mapping& mapping, const Leaks& leaks) {
    Blocks blocks(mapping);
    for (const std::uint64_t page : leaks.lost_pages) {
        Atomic<PageOwner>& word = page_owner_of(mapping, page);
        const PageOwner owner = word.load(std::memory_order_relaxed);  // relaxed: nobody else has the arena open
        if (is_changing(owner)) word.store(page_of_class(class_of_changing(owner)), std::memory_order_relaxed);
    }
    for (const LeakedBlock& leak : leaks.blocks) {
        Slot nobody{};
        blocks.release(nobody, static_cast<ArenaOffset>(leak.offset), leak.bytes, leak.unwritten ? 0 : leak.bytes);
    }
    for (const std::uint64_t page : leaks.lost_pages) {
        Slot nobody{};  // as if it had been this one's source
        // relaxed: as above
        const PageOwner owner = page_owner_of(mapping, page).load(std::memory_order_relaxed);
        if (!is_page_of_blocks(owner)) continue;  // empty by now, and given back
        // relaxed: nobody else knows of this slot
        nobody.sources[class_of_page(owner)].page.store(static_cast<std::uint32_t>(page + 1),
                                                        std::memory_order_relaxed);
        blocks.give_back_sources(nobody);
    }
}

namespace {

Result<void> check_files(const std::string& path, const VerifyOptions& options, VerifyReport* report) {
    if (!report->sound()) {
        report->not_checked.emplace_back("spill files: the arena is damaged");
        return {};
    }
    auto again = attach_existing(path, options.access);
    if (!again) return tl::unexpected(std::move(again.error()));
    if (again->mapping.header().spill_files_at == 0) return {};
    const auto store = std::make_shared<StoreImpl>(std::move(*again), without_spilling());
    return FilesCheck(*store, options.progress, *report).run();
}

}  // namespace

Result<VerifyReport> verify_store(const std::string& path, const VerifyOptions& options) {
    auto opened = attach_existing(path, options.access);
    if (!opened && opened.error().code == Code::kDamaged) {
        VerifyReport report = unattachable(path, opened.error().message);
        if (options.repair) report.not_repaired = "the store is damaged";
        return report;
    }
    if (!opened) return tl::unexpected(std::move(opened.error()));
    auto report = options.repair ? repair_opened(*opened, path, options.access)
                                 : verify_opened(*opened, path, options.access);
    if (!report) return report;
    report->path = opened->path;
    report->arena_path = opened->arena_path;
    if (options.files) {
        if (auto checked = check_files(path, options, &*report); !checked) {
            return tl::unexpected(std::move(checked.error()));
        }
    }
    return report;
}

namespace {

// What checks a store attaches as any process that uses it.
Error not_read_only(const char* what) {
    return {Code::kReadOnly,
            fmt::format("{} takes a place among those who use the store: call it without Options::read_only", what),
            0, 0};
}

}  // namespace

Result<VerifyReport> Store::verify(const std::string& path, const VerifyOptions& options) {
    if (options.access.read_only) return tl::unexpected(not_read_only("verify"));
    return verify_store(path, options);
}

Result<Recovery> Store::recover(const std::string& path, const Options& options,
                                const RecoverOptions& recover_options) {
    if (options.read_only) return tl::unexpected(not_read_only("recover"));
    Recovery recovery;
    Options quietly = options;
    quietly.spill_thread = false;
    if (auto there = attach_existing(path, quietly); !there) {
        const Code code = there.error().code;
        if (code != Code::kArenaGone && code != Code::kCopied) return tl::unexpected(std::move(there.error()));
        const CheckCallback& progress = recover_options.progress;
        const auto fill = [&](Mapping& mapping, const Options& as_before, const std::string& store_path,
                              CheckpointReader* checkpoint) {
            if (checkpoint != nullptr && progress) {
                checkpoint->on_block(
                    [&progress, all = static_cast<double>(checkpoint->bytes())](std::uint64_t bytes) {
                        return progress({CheckProgress::Step::kRestoring, static_cast<double>(bytes) / all, bytes});
                    });
            }
            return StoreImpl::fill_arena(mapping, as_before, store_path, checkpoint);
        };
        auto restored = attach_or_restore(path, quietly, fill, true);
        if (!restored) return tl::unexpected(std::move(restored.error()));
        const auto store = std::make_shared<StoreImpl>(std::move(*restored), quietly);
        recovery.restored = true;
    }
    VerifyOptions checked;
    checked.access = options;
    checked.progress = recover_options.progress;
    auto found = verify_store(path, checked);
    if (!found) return tl::unexpected(std::move(found.error()));
    recovery.found = std::move(*found);
    return recovery;
}

}  // namespace shoal
