#include "verify/check_files.hpp"

#include <algorithm>

#include "spill/checkpoint_reader.hpp"
#include "spill/sync_finish.hpp"

namespace shoal {
namespace {

constexpr std::size_t kMemoryBytes = 16 << 20;  // of payload at a time, unless one record is larger

}  // namespace

void FilesCheck::report_damage(Damage damage) {
    report_->damage_count += 1;
    if (report_->damage.size() < VerifyReport::kMostDamage) report_->damage.push_back(std::move(damage));
}

// Reads the parts, some at a time. A key that is erased meanwhile has nothing to say any more.
void FilesCheck::load(const KeyRef& key, std::vector<StoredPart>& parts, bool named_by_segments) {
    for (std::size_t first = 0; first < parts.size();) {
        std::size_t end = first;
        std::size_t bytes = 0;
        while (end < parts.size() && (end == first || bytes + parts[end].bytes <= kMemoryBytes)) {
            bytes += parts[end++].bytes;
        }
        memory_.resize(std::max(memory_.size(), bytes));
        std::size_t at = 0;
        for (std::size_t index = first; index < end; ++index) {
            parts[index].to = memory_.data() + std::exchange(at, at + parts[index].bytes);
        }
        const std::span<StoredPart> some(parts.data() + first, end - first);
        store_->loader_.load(some);
        report_->extents_read += some.size();
        report_->stored_payload_read += bytes;
        for (StoredPart& part : some) {
            if (!part.error) continue;
            if (!named_by_segments) {
                report_damage({"extent", stored_at(part.place).offset, part.error->message});
                continue;
            }
            const Result<bool> again = store_->loaded(key, {&part, 1});
            if (!again) report_damage({"extent", stored_at(part.place).offset, again.error().message});
        }
        first = end;
    }
}

Result<void> FilesCheck::check_key(const KeyRef& key) {
    std::vector<StoredPart> parts;
    {
        auto inside = store_->enter();
        if (!inside) return tl::unexpected(std::move(inside.error()));
        const auto found = store_->cut_of(key);
        if (!found) return {};
        parts = store_->stored_parts(key, *found);
    }
    load(key, parts, true);
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
    CheckpointedChain chain;
    std::vector<StoredPart> parts;
    while (turns.step(turn, SyncPhase::kCopying)) {
        const auto next = checkpoint->next(chain);
        if (!next) damaged(next.error());
        if (!next || !*next) break;
        report_->synced_keys += 1;
        parts.clear();
        for (std::uint32_t ordinal = 0; ordinal < chain.segments.size(); ++ordinal) {
            const CheckpointSegment& segment = chain.segments[ordinal];
            StoredPart part;
            part.place = segment.place;
            part.generation = generation_of(chain.identity);
            part.first_segment = ordinal;
            part.segments = 1;
            part.key = chain.key;
            part.bytes = spilled_counts(segment.counts).payload_bytes;
            static_cast<void>(add_part(parts, !parts.empty(), std::move(part)));
        }
        load({}, parts, false);
    }
    return turns.is_at(turn, SyncPhase::kCopying);
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
    auto keys = store_->keys();
    if (!keys) return tl::unexpected(std::move(keys.error()));
    for (const Bytes& key : *keys) {
        auto ref = store_->key_ref(ByteView(key));
        if (!ref) return tl::unexpected(std::move(ref.error()));
        if (auto checked = check_key(*ref); !checked) return checked;
    }
    return check_checkpoint();
}

}  // namespace shoal
