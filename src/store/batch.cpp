// append(batch): groups of pairs go through the stages of an append together, so that their cache misses overlap.
//
//   hash, entry, bucket   →  chain  →  segment  →  end of the frames  →  claim, copy, commit
//
// Each stage has asked for the line that the next one reads (after the staged look-ups of "cuckoo++" and of MICA).
// Claims are made strictly in the batch's order, so that what an error leaves is a prefix. Neighbours of one key
// are claimed together.
#include <algorithm>
#include <array>

#include "arena/prefetch.hpp"
#include "store/hash.hpp"
#include "store/impl.hpp"

namespace shoal {
namespace {

constexpr std::size_t kGroup = 32;  // pairs in flight: more than a core has outstanding misses
constexpr std::size_t kGroupBytes =
    8 * 1024;  // of records in flight: what is asked for must still be there when used
constexpr std::size_t kGroupsAnEpoch = 256;     // then the thread leaves and enters, so as not to hold back reuse
constexpr std::uint64_t kPrefetchBytes = 2048;  // of a destination; beyond, the hardware sees the stream

}  // namespace

class BatchAppender {
public:
    BatchAppender(StoreImpl& store, std::span<const Pair> batch) noexcept : store_(store), batch_(batch) {}

    Result<void> run() {
        int tried = 0;  // at the same pair
        std::size_t failed_at = 0;
        while (done_ < batch_.size()) {
            AppendOutcome outcome{};
            too_long_ = false;
            anew_ = false;
            Slot* slot = nullptr;
            {
                auto inside = store_.enter();
                if (!inside) return failed(std::move(inside.error()));
                slot = &inside->slot();
                outcome = append_groups(store_.context(*slot));
            }
            if (anew_) store_.tidy(*slot);
            if (outcome == AppendOutcome::kAppended) {
                if (too_long_) return failed(std::move(store_.key_ref(batch_[done_].key).error()));
                continue;
            }
            tried = done_ == failed_at ? tried + 1 : 1;
            failed_at = done_;
            if (tried == StoreImpl::kTries || outcome == AppendOutcome::kDamaged || !store_.make_room()) {
                return failed(store_.no_memory(outcome, batch_[done_].value.size()));
            }
        }
        return {};
    }

private:
    tl::unexpected<Error> failed(Error&& error) const {
        error.count = done_;
        return tl::unexpected(std::move(error));
    }

    AppendOutcome append_groups(const ChainContext& context) noexcept {
        for (std::size_t turn = 0; turn < kGroupsAnEpoch && done_ < batch_.size() && !too_long_; ++turn) {
            size_ = group_size();
            const ArenaOffset tree = store_.index_.tree();
            look_up_buckets(tree);
            if (too_long_ && size_ == 0) break;
            look_up_chains(tree);
            look_up_segments();
            look_up_ends();
            const AppendOutcome outcome = claim_and_write(context, tree);
            if (outcome != AppendOutcome::kAppended) return outcome;
        }
        return AppendOutcome::kAppended;
    }

    [[nodiscard]] std::size_t group_size() const noexcept {
        const std::size_t most = std::min(kGroup, batch_.size() - done_);
        std::size_t size = 1;
        for (std::size_t bytes = batch_[done_].value.size(); size < most; ++size) {
            bytes += batch_[done_ + size].value.size();
            if (bytes > kGroupBytes) break;
        }
        return size;
    }

    void look_up_buckets(ArenaOffset tree) noexcept {
        const std::uint64_t seed = store_.mapping_.header().hash_seed;
        for (std::size_t at = 0; at < size_; ++at) {
            const Pair& pair = batch_[done_ + at];
            values_[at] = pair.value;
            if (pair.handle != nullptr) {
                refs_[at] = store_.key_ref(*pair.handle);
                continue;
            }
            if (pair.key.size() > kMaxKeyBytes) {  // what comes before it is appended first
                size_ = at;
                too_long_ = true;
                return;
            }
            refs_[at] = {pair.key, hash_key(pair.key, seed), nullptr};
            prefetch_to_read(store_.index_.second_entry(tree, refs_[at].hash));
        }
        for (std::size_t at = 0; at < size_; ++at) {
            if (refs_[at].handle != nullptr) continue;
            prefetch_to_read(&store_.index_.leaf_for(tree, refs_[at].hash).slots[home_slot(refs_[at].hash)]);
        }
    }

    void look_up_chains(ArenaOffset tree) noexcept {
        for (std::size_t at = 0; at < size_; ++at) {
            const KeyRef& ref = refs_[at];
            chains_[at] = ref.handle != nullptr ? store_.find_chain(ref, tree, Index::Which::kFirst)
                                                : store_.index_.candidate(tree, ref.hash);
            if (!is_null(chains_[at])) prefetch_to_read(store_.mapping_.at<Chain>(chains_[at]));
        }
        for (std::size_t at = 0; at < size_; ++at) {
            const KeyRef& ref = refs_[at];
            if (ref.handle != nullptr) continue;
            if (is_null(chains_[at]) || !store_.mapping_.at<Chain>(chains_[at])->has_key(ref.hash, ref.bytes)) {
                chains_[at] = store_.index_.find(tree, ref.bytes, ref.hash, Index::Which::kFirst);
            }
        }
    }

    void look_up_segments() noexcept {
        for (std::size_t at = 0; at < size_; ++at) {
            if (is_null(chains_[at])) continue;
            // acquire: as in append_to
            tails_[at] = store_.mapping_.at<Chain>(chains_[at])->tail.load(std::memory_order_acquire);
            prefetch_to_write(store_.mapping_.at<Segment>(tails_[at]));
        }
    }

    void look_up_ends() noexcept {
        for (std::size_t at = 0; at < size_; ++at) {
            if (is_null(chains_[at])) continue;
            const Segment& segment = *store_.mapping_.at<Segment>(tails_[at]);
            // relaxed, both: only a guess at where the frame will go
            const std::uint64_t end = reserved_units(segment.reserve.load(std::memory_order_relaxed));
            if (end >= segment.claimable_units) continue;
            prefetch_to_write(frame_at(store_.mapping_, segment.block.load(std::memory_order_relaxed), end),
                              std::min<std::uint64_t>(values_[at].size() + kUnitBytes, kPrefetchBytes));
        }
    }

    AppendOutcome claim_and_write(const ChainContext& context, ArenaOffset tree) noexcept {
        const std::size_t count = size_;
        const std::uint64_t most_units =
            std::min<std::uint64_t>(kMaxClaimUnits, store_.mapping_.header().max_segment_bytes / 4 / kUnitBytes);
        for (std::size_t at = 0; at < count;) {
            std::size_t together = 1;
            std::uint64_t units = frame_units(values_[at].size());
            if (!is_null(chains_[at])) {
                while (at + together < count && chains_[at + together] == chains_[at] &&
                       units + frame_units(values_[at + together].size()) <= most_units) {
                    units += frame_units(values_[at + together].size());
                    ++together;
                }
            }
            const std::span<const ByteView> values(&values_[at], together);
            const Payload payload = together == 1 ? Payload::record(values) : Payload::records(values);
            AppendOutcome outcome = AppendOutcome::kErased;
            if (!is_null(chains_[at])) {
                outcome = append_to(context, *store_.mapping_.at<Chain>(chains_[at]), payload);
            }
            const bool made_anew = outcome == AppendOutcome::kErased;
            if (made_anew) {
                bool was_there = false;
                anew_ = true;
                outcome = store_.append_anew(context, refs_[at], payload, false, &was_there);
            }
            if (outcome != AppendOutcome::kAppended) return outcome;
            at += together;
            done_ += together;
            // A record went into the index that a drop has put there: those after it must not go where the dropped
            // ones are, so they are looked up again.
            if (made_anew && store_.index_.tree() != tree) {
                too_long_ = false;  // that pair is met again
                return AppendOutcome::kAppended;
            }
        }
        return AppendOutcome::kAppended;
    }

    static_assert(kGroup <= kMaxClaimRecords, "a group of one key is one claim");

    StoreImpl& store_;
    std::span<const Pair> batch_;
    std::size_t done_ = 0;   // pairs appended
    std::size_t size_ = 0;   // of the group under way
    bool too_long_ = false;  // the pair after those of this group has a key that is too long
    bool anew_ = false;      // a key was made
    std::array<KeyRef, kGroup> refs_;
    std::array<ByteView, kGroup> values_;
    std::array<ArenaOffset, kGroup> chains_;
    std::array<std::uint64_t, kGroup> tails_;
};

Result<void> StoreImpl::append(std::span<const Pair> batch) { return BatchAppender(*this, batch).run(); }

}  // namespace shoal
