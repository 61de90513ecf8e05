// append(batch): groups of pairs go through the stages of an append together, so that their cache misses overlap.
//
//   the look-up (store/group_look_up.hpp)  →  segment  →  end of the frames  →  claim, copy, commit
//
// Claims are made strictly in the batch's order, so that what an error leaves is a prefix. Neighbours of one key
// are claimed together.
#include <algorithm>
#include <array>

#include "store/group_look_up.hpp"
#include "store/hash.hpp"
#include "store/room.hpp"

namespace shoal {
namespace {

constexpr std::size_t kGroup = GroupLookUp::kKeys;
constexpr std::uint64_t kAheadBytes = 3072;     // of destinations asked for ahead of the copy
constexpr std::size_t kGroupsAnEpoch = 256;     // then the thread leaves and enters, so as not to hold back reuse
constexpr std::uint64_t kPrefetchBytes = 2048;  // of a destination; beyond, the hardware sees the stream

}  // namespace

class BatchAppender {
public:
    BatchAppender(StoreImpl& store, std::span<const Pair> batch) noexcept : store_(store), batch_(batch) {}

    Result<void> run() {
        RoomWait room(store_);
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
            if (std::exchange(failed_at, done_) != done_) room.reset();
            if (!room.again(outcome)) return failed(store_.no_memory(outcome, batch_[done_].value.size()));
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
            size_ = std::min(kGroup, batch_.size() - done_);
            const ArenaOffset tree = store_.index_.tree();
            hash_keys();
            look_up_.find(tree, size_);
            look_up_segments();
            const AppendOutcome outcome = claim_and_write(context, tree);
            if (outcome != AppendOutcome::kAppended) return outcome;
        }
        return AppendOutcome::kAppended;
    }

    void hash_keys() noexcept {
        const std::uint64_t seed = store_.mapping_.header().hash_seed;
        for (std::size_t at = 0; at < size_; ++at) {
            const Pair& pair = batch_[done_ + at];
            values_[at] = pair.value;
            if (pair.handle != nullptr) {
                look_up_.refs[at] = store_.key_ref(*pair.handle);
            } else if (pair.key.size() <= kMaxKeyBytes) {
                look_up_.refs[at] = {pair.key, hash_key(pair.key, seed), nullptr};
            } else {  // what comes before it is appended first
                size_ = at;
                too_long_ = true;
            }
        }
    }

    void look_up_segments() noexcept {
        for (std::size_t at = 0; at < size_; ++at) {
            if (is_null(look_up_.chains[at])) continue;
            // acquire: as in append_to
            tails_[at] = store_.mapping_.at<Chain>(look_up_.chains[at])->tail.load(std::memory_order_acquire);
            prefetch_to_write(store_.mapping_.at<Segment>(tails_[at]));
        }
    }

    // Asks for the lines in which record `at` of the group will stand.
    void ask_for_end(std::size_t at) const noexcept {
        if (is_null(look_up_.chains[at])) return;
        const Segment& segment = *store_.mapping_.at<Segment>(tails_[at]);
        // relaxed, both: only a guess at where the frame will go
        const std::uint64_t end = reserved_units(segment.reserve.load(std::memory_order_relaxed));
        if (end >= segment.claimable_units()) return;
        prefetch_to_write(frame_at(store_.mapping_, segment.block.load(std::memory_order_relaxed), end),
                          std::min<std::uint64_t>(values_[at].size() + kUnitBytes, kPrefetchBytes));
    }

    AppendOutcome claim_and_write(const ChainContext& context, ArenaOffset tree) noexcept {
        const std::size_t count = size_;
        const std::uint64_t most_units =
            std::min<std::uint64_t>(kMaxClaimUnits, store_.mapping_.header().max_segment_bytes / 4 / kUnitBytes);
        std::size_t asked = 0;          // records whose lines have been asked for
        std::uint64_t asked_bytes = 0;  // of those
        std::uint64_t written_bytes = 0;
        for (std::size_t at = 0; at < count;) {
            for (; asked < count && asked_bytes <= written_bytes + kAheadBytes; ++asked) {
                ask_for_end(asked);
                asked_bytes += values_[asked].size() + kUnitBytes;
            }
            std::size_t together = 1;
            std::uint64_t units = frame_units(values_[at].size());
            if (!is_null(look_up_.chains[at])) {
                while (at + together < count && look_up_.chains[at + together] == look_up_.chains[at] &&
                       units + frame_units(values_[at + together].size()) <= most_units) {
                    units += frame_units(values_[at + together].size());
                    ++together;
                }
            }
            const std::span<const ByteView> values(&values_[at], together);
            const Payload payload = together == 1 ? Payload::record(values) : Payload::records(values);
            AppendOutcome outcome = AppendOutcome::kErased;
            if (!is_null(look_up_.chains[at])) {
                outcome = append_to(context, *store_.mapping_.at<Chain>(look_up_.chains[at]), payload);
            }
            const bool made_anew = outcome == AppendOutcome::kErased;
            if (made_anew) {
                bool was_there = false;
                anew_ = true;
                outcome = store_.append_anew(context, look_up_.refs[at], payload, false, &was_there);
            }
            if (outcome != AppendOutcome::kAppended) return outcome;
            at += together;
            done_ += together;
            written_bytes += payload.bytes + together * kUnitBytes;
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
    GroupLookUp look_up_{store_};
    std::array<ByteView, kGroup> values_;
    std::array<std::uint64_t, kGroup> tails_;
};

Result<void> StoreImpl::append(std::span<const Pair> batch) { return BatchAppender(*this, batch).run(); }

}  // namespace shoal
