#include "verify/check_files.hpp"

#include <algorithm>

#include "arena/system_failure.hpp"
#include "spill/checkpoint_reader.hpp"
#include "spill/sync_finish.hpp"

namespace shoal {

void FilesCheck::report_damage(Damage damage) {
    report_->damage_count += 1;
    if (report_->damage.size() < VerifyReport::kMostDamage) report_->damage.push_back(std::move(damage));
}

// By the loader. A key that is erased meanwhile has nothing to say any more.
void FilesCheck::read_again(StoredPart& part, bool named_by_segments) {
    memory_.resize(std::max<std::size_t>(memory_.size(), part.bytes));
    part.to = memory_.data();
    store_->loader_.load({&part, 1});
    if (!part.error) return;
    std::string what = part.error->message;
    if (named_by_segments) {
        const auto ref = store_->key_ref(part.key);
        const Result<bool> again = ref ? store_->loaded(*ref, {&part, 1}) : tl::unexpected(ref.error());
        if (again) return;
        what = again.error().message;
    }
    report_damage({"extent", stored_at(part.place).offset, std::move(what)});
}

void FilesCheck::add(const StoredPart& part, std::uint64_t hash) {
    report_->extents_read += 1;
    report_->stored_payload_read += part.bytes;
    scan_.add(part, hash);
}

// What the chains of the leaf that holds *from have in files; *from becomes where the next leaf begins.
Result<void> FilesCheck::add_leaf(std::uint64_t* from) {
    auto inside = store_->enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const auto add_chain = [&](ArenaOffset offset) {
        const Chain& chain = *store_->mapping_.at<Chain>(offset);
        const Cut cut = take_cut(store_->mapping_, chain);
        if (is_null(cut.root)) return true;  // erased
        // relaxed: never changes but for the codec
        const std::uint64_t generation = generation_of(chain.identity.load(std::memory_order_relaxed));
        for (const StoredPart& part : store_->stored_parts({chain.key(), chain.hash, nullptr}, {cut, generation}))
            add(part, chain.hash);
        return true;
    };
    const auto next = store_->index_.visit_leaf(store_->index_.tree(), *from, add_chain);
    if (!next) return tl::unexpected(Error{Code::kDamaged, "the index cannot be right"});
    *from = *next;
    return {};
}

Result<void> FilesCheck::check_keys() {
    std::uint64_t from = 0;
    const auto step = [&] { return goes_on(from == 0 ? 1 : static_cast<double>(from) * 0x1p-64); };
    const auto doubtful = [this](StoredPart& part) { read_again(part, true); };
    do {
        if (auto added = add_leaf(&from); !added) return added;
        if (scan_.is_full() || from == 0) scan_.run(step, doubtful);
    } while (from != 0 && !stopped_);
    return {};
}

bool FilesCheck::read_checkpoint(std::uint64_t turn) {
    SyncTurns turns(store_->mapping_.header());
    const auto damaged = [&](const Error& error) { report_damage({"checkpoint", 0, error.message}); };
    auto checkpoint = CheckpointReader::open(store_->files_.checkpoint_path(turns.checkpoint()),
                                             store_->mapping_.header().store_id);
    if (!checkpoint) {
        if (checkpoint.error().code != Code::kNotFound) damaged(checkpoint.error());
        return turns.step(turn, SyncPhase::kCopying);
    }
    report_->synced_unix_s = checkpoint->header().written_unix_s;
    report_->synced_keys = 0;
    const auto has_turn = [&] { return turns.step(turn, SyncPhase::kCopying); };
    std::uint64_t read = 0;
    checkpoint->on_block([&](std::uint64_t bytes) {
        read = bytes;
        return true;
    });
    const auto step = [&] {
        return goes_on(static_cast<double>(read) / static_cast<double>(checkpoint->bytes())) && has_turn();
    };
    const auto doubtful = [this](StoredPart& part) { read_again(part, false); };
    CheckpointedChain chain;
    std::vector<StoredPart> parts;
    while (!stopped_ && has_turn()) {
        const auto next = checkpoint->next(chain);
        if (!next) damaged(next.error());
        if (!next || !*next) break;
        report_->synced_keys += 1;
        parts.clear();
        std::uint64_t ordinal = 0;
        for (const CheckpointSegment& segment : chain.segments) {
            StoredPart part;
            part.place = segment.place;
            part.generation = generation_of(chain.identity);
            part.first_segment = static_cast<std::uint32_t>(ordinal);
            ordinal += ordinals_of(segment);
            part.segments = 1;
            part.key = chain.key;
            part.bytes = spilled_counts(segment.counts).payload_bytes;
            static_cast<void>(add_part(parts, !parts.empty(), std::move(part)));
        }
        for (const StoredPart& one : parts) add(one, chain.hash);
        if (scan_.is_full()) scan_.run(step, doubtful);
    }
    scan_.run(step, doubtful);
    return stopped_ || turns.is_at(turn, SyncPhase::kCopying);
}

Result<void> FilesCheck::check_checkpoint() {
    int failure = 0;
    Slot* slot = store_->slots_.current(&failure);
    if (slot == nullptr) return tl::unexpected(store_->no_slot(failure));
    const VerifyReport before = *report_;
    for (bool whole = false; !whole;) {
        *report_ = before;
        const auto turn = store_->take_sync_turn(kMostSyncNumber, *slot);
        if (!turn && turn.error().code == Code::kDestroyed) return tl::unexpected(turn.error());
        if (!turn) {
            report_->not_checked.push_back("the checkpoint: " + turn.error().message);
            return {};
        }
        const HeldSyncTurn held(SyncTurns(store_->mapping_.header()), **turn, store_->sync_hand(*slot));
        whole = read_checkpoint(**turn);
        static_cast<void>(give_up_sync(store_->mapping_, **turn));
    }
    return {};
}

Result<void> FilesCheck::run() {
    if (SyncTurns(store_->mapping_.header()).checkpoint() != 0) passes_ = 2;
    if (auto checked = check_keys(); !checked) return checked;
    pass_ = 1;
    if (!stopped_) {
        if (auto checked = check_checkpoint(); !checked) return checked;
    }
    if (stopped_) return stopped_by_caller("the check");
    return {};
}

bool FilesCheck::goes_on(double of_pass) {
    const double fraction = (pass_ + of_pass) / passes_;
    if (*progress_ && !stopped_) {
        stopped_ = !(*progress_)({CheckProgress::Step::kChecking, fraction, report_->stored_payload_read});
    }
    return !stopped_;
}

}  // namespace shoal
