#include "spill/batch_journal.hpp"

#include "arena/crash_point.hpp"

namespace shoal {
namespace {

// Large batches of small segments want many entries; where memory is short, few must do.
constexpr std::array<std::uint64_t, 4> kJournalBytes{sizeof(SpilledBlocks), kSpareJournalBytes, 512, 64};

}  // namespace

BatchJournal::~BatchJournal() {
    if (!slot_->is_ours() || hand_on() || journal_ == nullptr) return;  // the parent's
    forget_journal(*mapping_, **slot_, at_);  // before it is another's: a crash leaks it at most
    free_spilled_blocks(*mapping_, *blocks_, **slot_, at_);
}

bool BatchJournal::hand_on() noexcept {
    if (journal_ == nullptr || is_free()) return false;
    const std::uint64_t epoch = slot_->enter();
    if (epoch == 0) return false;
    epochs_->retire(RetiredKind::kBlocks, at_);
    crash_point(CrashPoint::kSpillHandedOn);
    forget_journal(*mapping_, **slot_, at_);
    journal_ = nullptr;
    slot_->leave(epoch);
    return true;
}

bool BatchJournal::set_up() noexcept {
    if (journal_ == nullptr || (journal_->bytes != kJournalBytes.front() && is_free())) improve();
    return journal_ != nullptr;
}

// The largest that is to be had, if that is larger than what there is.
void BatchJournal::improve() noexcept {
    const std::uint64_t now = journal_ == nullptr ? 0 : journal_->bytes;
    ArenaOffset better = ArenaOffset::kNull;
    for (const std::uint64_t bytes : kJournalBytes) {
        if (bytes <= now) break;
        better = allocate_journal(*mapping_, *blocks_, **slot_, bytes);
        if (!is_null(better)) break;
    }
    if (is_null(better) && now == 0) better = take_spare_journal(*mapping_);
    if (is_null(better)) return;
    const ArenaOffset old = journal_ == nullptr ? ArenaOffset::kNull : at_;
    journal_ = mapping_->at<SpilledBlocks>(better);
    at_ = better;
    name_journal(*mapping_, **slot_, better);
    if (is_null(old)) return;
    forget_journal(*mapping_, **slot_, old);  // before it is another's, as above
    free_spilled_blocks(*mapping_, *blocks_, **slot_, old);
}

bool BatchJournal::is_free() noexcept {
    // relaxed, here and below: our own
    const std::uint64_t published = journal_->published_in.load(std::memory_order_relaxed);
    if (published == 0) return true;
    if (epochs_->current() < published + kEpochBuckets - 1) return false;
    thread_fence(std::memory_order_release);  // pairs with Mapping::glance_holds, as in Epochs::drain
    empty_spilled_blocks(*mapping_, *blocks_, **slot_, at_);
    journal_->count.store(0, std::memory_order_release);  // pairs with entries_now; in this order: see recovery
    journal_->published_in.store(0, std::memory_order_release);
    return true;
}

bool BatchJournal::is_full() const noexcept {
    return journal_->count.load(std::memory_order_relaxed) == journal_->capacity();  // relaxed: our own
}

void BatchJournal::add(const SpilledBlocks::Entry& entry) noexcept {
    const std::uint64_t at = journal_->count.load(std::memory_order_relaxed);  // relaxed: our own
    journal_->entries[at] = entry;
    journal_->count.store(at + 1, std::memory_order_release);  // pairs with entries_now in recovery
    crash_point(CrashPoint::kSpillJournalled);
}

std::uint64_t BatchJournal::room() const noexcept {
    return journal_->capacity() - journal_->count.load(std::memory_order_relaxed);  // relaxed: our own
}

void BatchJournal::forget_merged(std::uint64_t back) noexcept {
    journal_->entries[journal_->count.load(std::memory_order_relaxed) - 1 - back].block = 0;  // relaxed: our own
}

void BatchJournal::publish() noexcept {
    // As in Epochs::retire: a reader that came in before it could see the new places has read no later epoch.
    thread_fence(std::memory_order_seq_cst);
    journal_->published_in.store(epochs_->current(), std::memory_order_release);  // pairs with finish_spilling
    crash_point(CrashPoint::kSpillRetired);
}

void BatchJournal::abandon() noexcept {
    journal_->count.store(0, std::memory_order_release);  // pairs with entries_now
}

}  // namespace shoal
