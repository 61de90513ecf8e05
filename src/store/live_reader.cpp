#include "store/live_reader.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "chain/merge.hpp"
#include "store/hash.hpp"
#include "store/key_walk.hpp"
#include "store/statistics.hpp"
#include "store/stored_value.hpp"
#include "store/waiting.hpp"

namespace shoal {
namespace {

constexpr std::size_t kCopyBytes = 256 << 10;  // copied between two looks at the epoch: some 30 µs
constexpr int kLooksAtOnce = 16;               // before the first pause
constexpr int kLeastLooks = 100;               // before it is given up
constexpr std::chrono::microseconds kFirstLookPause{100};
constexpr std::chrono::microseconds kLastLookPause{3'200};

Error not_found() { return {Code::kNotFound, "no such key", 0, 0}; }

}  // namespace

// Views over a copy.
class ViewOfCopy {
public:
    template <class Made, class Piece>
    [[nodiscard]] static Made make(std::span<const Piece> pieces, const std::vector<StoredPart>& stored,
                                   std::shared_ptr<std::byte[]> copy, bool with_empty) {
        Made made;
        made.spans_.reserve(pieces.size());
        for (const Piece& piece : pieces) {
            if (piece.part == 0) {
                if (piece.bytes != 0 || with_empty) made.spans_.emplace_back(copy.get() + piece.at, piece.bytes);
                continue;
            }
            add_spans(stored[piece.part - 1], with_empty, made.spans_);
        }
        for (const ByteView span : made.spans_) made.bytes_ += span.size();
        made.loaded_ = std::move(copy);
        made.loaded_bytes_ = made.bytes_;
        return made;
    }

    // The records [first, end) of a cut.
    [[nodiscard]] static Records part(const Records& all, std::size_t first, std::size_t end) {
        Records made;
        made.spans_.assign(all.spans_.begin() + static_cast<std::ptrdiff_t>(first),
                           all.spans_.begin() + static_cast<std::ptrdiff_t>(end));
        for (const ByteView span : made.spans_) made.bytes_ += span.size();
        made.loaded_ = all.loaded_;
        made.loaded_bytes_ = made.bytes_;
        return made;
    }
};

LiveReader::LiveReader(OpenedArena&& opened, const Options& options)
    : path_(std::move(opened.path)),
      arena_path_(std::move(opened.arena_path)),
      lock_(std::move(opened.lock)),
      mapping_(std::move(opened.mapping)),
      blocks_(mapping_),
      slots_(mapping_, blocks_),
      index_(mapping_),
      files_(mapping_, slots_, {}, options.page_cache, path_),
      loader_(files_, slots_, mapping_.header().store_id),
      patience_(options.room_wait_ms),
      wait_hooks_(options.wait_hooks) {
    mapping_.share_with_children();
    lock_.share_with_children();
}

template <class Use>
auto LiveReader::look(Use&& use) -> decltype(use(std::declval<Glance&>())) {
    using Clock = std::chrono::steady_clock;
    std::optional<Clock::time_point> began;
    std::chrono::microseconds pause = kFirstLookPause;
    for (int turn = 1;; ++turn) {  // a failed turn: others have moved the epoch on twice
        {
            Glance glance(mapping_);
            if (glance.destroyed()) return tl::unexpected(destroyed());
            auto result = use(glance);
            if (glance.holds()) return result;
        }
        if (turn < kLooksAtOnce) continue;
        const Clock::time_point now = Clock::now();
        if (!began) began = now;
        if (turn >= kLeastLooks && now - *began >= patience_) return tl::unexpected(never_held());
        const Waiting waiting(wait_hooks_);
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, kLastLookPause);
    }
}

std::uint64_t LiveReader::hash(ByteView key) const noexcept { return hash_key(key, mapping_.header().hash_seed); }

std::optional<LiveReader::Found> LiveReader::find(ByteView key, std::uint64_t key_hash) const noexcept {
    Index::Which which = Index::Which::kFirst;
    for (int turn = 0; turn < kMostTurns; ++turn) {  // a turn fails when the chain is erased under us
        const ArenaOffset chain = index_.find(index_.tree_to_read(), key, key_hash, which);
        if (is_null(chain)) break;
        const Chain& found = *mapping_.at<Chain>(chain);
        const Cut cut = take_cut(mapping_, found);
        // relaxed: never changes but for the codec
        const std::uint64_t identity = found.identity.load(std::memory_order_relaxed);
        if (!is_null(cut.root)) return Found{chain, cut, generation_of(identity)};
        which = Index::Which::kLive;
    }
    return std::nullopt;
}

// What is wrong with it means nothing where the glance does not hold behind it.
Result<LiveReader::Copied> LiveReader::copy_resident(Glance& glance, ByteView key, const Room& room,
                                                     Pieces pieces) const {
    const std::uint64_t key_hash = hash(key);
    const std::uint64_t merges =
        mapping_.header().merges.load(std::memory_order_acquire);  // pairs with replace_run
    const std::optional<Found> found = find(key, key_hash);
    if (!found) return tl::unexpected(not_found());
    const std::optional<std::uint64_t> most = payload_bound(mapping_, found->cut);
    if (!most || !glance.holds()) return tl::unexpected(damaged(key));
    const std::span<std::byte> to = room(*most);
    Copied copied;
    copied.generation = found->generation;
    std::uint64_t ordinal = 0;
    std::size_t since_look = kCopyBytes;  // bytes copied
    const bool sound = each_segment(mapping_, found->cut, [&](const Segment& segment, const SegmentExtent& extent) {
        const auto is_linked = [&] {
            // All that is gone on with: the chain, and the bytes of this segment and of the last one, which may be
            // in a file by now. acquire, both: as in extent_of
            // What is in a file may be of a run that was merged: then the chain does not lead to it any more.
            return ((!extent.stored() && !found->cut.end.stored()) || no_merge_since(mapping_.header(), merges)) &&
                   segment.block.load(std::memory_order_acquire) == extent.block &&
                   mapping_.at<Segment>(found->cut.tail)->block.load(std::memory_order_acquire) ==
                       found->cut.end.block &&
                   index_.find(index_.tree_to_read(), key, key_hash, Index::Which::kLive) == found->chain;
        };
        const auto goes_on = [&](std::size_t bytes) {
            since_look += bytes;
            if (since_look < kCopyBytes) return true;
            since_look = 0;
            return glance.renew(is_linked);
        };
        if (!goes_on(sizeof(Segment))) return false;
        const auto fits = [&](std::uint64_t bytes) {
            return bytes <= to.size() && copied.bytes <= to.size() - bytes;
        };
        if (extent.stored()) {
            StoredPart part = stored_part(key, found->generation, extent, ordinal);
            ordinal += ordinals_of(segment);
            const std::uint64_t bytes = part.bytes;
            if (fits(bytes)) {
                part.to = to.data() + copied.bytes;
                part.wants_lengths = pieces == Pieces::kRecords;
                const bool begins = add_part(copied.stored, !copied.stored.empty(), std::move(part));
                if (begins && pieces != Pieces::kNone)
                    copied.pieces.push_back({copied.bytes, 0, copied.stored.size()});
            }
            copied.bytes += bytes;
            return true;
        }
        ordinal += 1;
        const AtomicWord* frames = frames_of(mapping_, extent);
        bool in_time = true;
        const auto add = [&](const std::byte* payload, std::uint64_t bytes) {
            for (std::uint64_t at = 0; in_time && fits(bytes) && at < bytes; at += kCopyBytes) {
                const std::uint64_t count = std::min<std::uint64_t>(bytes - at, kCopyBytes);
                std::memcpy(to.data() + copied.bytes + at, payload + at, count);
                in_time = goes_on(count);
            }
            if (pieces != Pieces::kNone && fits(bytes)) copied.pieces.push_back({copied.bytes, bytes, 0});
            copied.bytes += bytes;
        };
        return frames != nullptr && walk(frames, extent.units, add) && in_time;
    });
    if (!sound) return tl::unexpected(damaged(key));
    return copied;
}

void LiveReader::read_files(std::span<StoredPart> stored) {
    const Waiting waiting(wait_hooks_);
    loader_.load(stored);
}

Result<bool> LiveReader::load(ByteView key, std::span<StoredPart> stored) {
    if (stored.empty()) return true;
    read_files(stored);
    return check_loaded(
        key, stored,
        [&](const StoredPart& part) {
            return look([&](Glance&) -> Result<bool> {
                const std::optional<Found> now = find(key, hash(key));
                return now && now->generation == part.generation && names_place(mapping_, now->cut, part.place);
            });
        },
        [this](StoredPart& part) {
            files_.forget(stored_at(part.place).file);
            read_files({&part, 1});
        });
}

Result<LiveReader::Copied> LiveReader::copy(ByteView key, const Room& room, Pieces pieces) {
    if (auto checked = check_key(key); !checked) return tl::unexpected(std::move(checked.error()));
    for (;;) {  // again where the key was erased while we read files
        Result<Copied> copied = look([&](Glance& glance) { return copy_resident(glance, key, room, pieces); });
        if (!copied || copied->stored.empty()) return copied;
        const Result<bool> done = load(key, copied->stored);
        if (!done) return tl::unexpected(done.error());
        if (*done) return copied;
    }
}

Result<Bytes> LiveReader::get(ByteView key) {
    Bytes value;
    const auto copied = copy(
        key,
        [&](std::size_t most) {
            value = Bytes(most);
            return std::span(value.data(), value.size());
        },
        Pieces::kNone);
    if (!copied) return tl::unexpected(copied.error());
    if (copied->bytes > value.size()) return tl::unexpected(damaged(key));
    value.shrink(copied->bytes);
    return value;
}

std::vector<Result<Bytes>> LiveReader::get(std::span<const ByteView> keys) {
    std::vector<Result<Bytes>> values;
    values.reserve(keys.size());
    for (const ByteView key : keys) values.push_back(get(key));
    return values;
}

Result<std::size_t> LiveReader::get_into(ByteView key, std::span<std::byte> buffer) {
    const auto copied = copy(
        key, [&](std::size_t) { return buffer; }, Pieces::kNone);
    if (!copied) return tl::unexpected(copied.error());
    if (copied->bytes > buffer.size()) {
        return tl::unexpected(Error{Code::kBufferTooSmall, "buffer too small", 0, copied->bytes});
    }
    return copied->bytes;
}

template <class Made>
Result<Made> LiveReader::copied_view(ByteView key, Pieces pieces) {
    std::shared_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
    const auto copied = copy(
        key,
        [&](std::size_t most) {
            memory.reset(new std::byte[most]);
            bytes = most;
            return std::span(memory.get(), most);
        },
        pieces);
    if (!copied) return tl::unexpected(copied.error());
    if (copied->bytes > bytes) return tl::unexpected(damaged(key));
    return ViewOfCopy::make<Made, Piece>(copied->pieces, copied->stored, std::move(memory),
                                         pieces == Pieces::kRecords);
}

Result<View> LiveReader::view(ByteView key) { return copied_view<View>(key, Pieces::kBytes); }
Result<Records> LiveReader::records(ByteView key) { return copied_view<Records>(key, Pieces::kRecords); }

Result<void> LiveReader::records(ByteView key, std::size_t part_bytes,
                                 const std::function<bool(const Records&)>& take) {
    const auto all = records(key);
    if (!all) return tl::unexpected(all.error());
    std::size_t first = 0;
    std::size_t bytes = 0;
    for (std::size_t at = 0; at < all->size(); ++at) {
        bytes += (*all)[at].size();
        if (bytes < part_bytes && at + 1 < all->size()) continue;
        if (!take(ViewOfCopy::part(*all, first, at + 1))) return {};
        first = at + 1;
        bytes = 0;
    }
    return {};
}

Result<ValueSize> LiveReader::size(ByteView key) {
    if (auto checked = check_key(key); !checked) return tl::unexpected(std::move(checked.error()));
    return look([&](Glance&) -> Result<ValueSize> {
        const std::optional<Found> found = find(key, hash(key));
        if (!found) return tl::unexpected(not_found());
        // After the cut was taken: as in StoreImpl::size.
        const std::optional<Reserve> total = measure(mapping_, found->cut, slots_.written_segments());
        if (!total) return tl::unexpected(damaged(key));
        return ValueSize{total->payload_bytes(), total->records};
    });
}

Result<bool> LiveReader::contains(ByteView key) {
    if (auto checked = check_key(key); !checked) return tl::unexpected(std::move(checked.error()));
    return look([&](Glance&) -> Result<bool> { return find(key, hash(key)).has_value(); });
}

Result<bool> LiveReader::next_keys(KeyCursor& cursor) {
    return KeyWalk::next(cursor, mapping_, index_, damaged_index(), [&](const KeyWalk::Read& read) {
        return look([&](Glance&) { return read(index_.tree_to_read()); });
    });
}

Result<void> LiveReader::for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) {
    return KeyWalk::for_each(prefix, take, [this](KeyCursor& cursor) { return next_keys(cursor); });
}

Result<std::vector<Bytes>> LiveReader::keys() {
    return KeyWalk::list(mapping_.bytes(), damaged_index(),
                         [this](KeyCursor& cursor) { return next_keys(cursor); });
}

Result<Stats> LiveReader::stats() {
    const ArenaHeader& header = mapping_.header();
    Stats stats;
    stats.path = path_;
    stats.arena_path = arena_path_;
    stats.store_id = id_text(header.arena_id);
    stats.memory_limit_bytes = limit_of(mapping_.bytes());
    const Blocks::Usage usage = blocks_.usage();
    stats.real_bytes = usage.real_bytes;
    stats.used_bytes = usage.used_bytes;
    const WrittenSegments written = slots_.written_segments();  // as in StoreImpl::stats
    // A leaf in each glance, so that one holds: added only then.
    struct Counted {
        Stats counted;
        std::uint64_t next = 0;
    };
    std::uint64_t left = 0;
    std::uint64_t retirements = 0;
    for (std::uint64_t from = 0;;) {
        // relaxed: as in KeyWalk, which bounds its walk in the same way
        const std::uint64_t now = header.retirements.load(std::memory_order_relaxed);
        if (from == 0 || std::exchange(retirements, now) != now) left = mapping_.bytes() / sizeof(Leaf);
        if (left-- == 0) return tl::unexpected(damaged_index());
        const Result<Counted> leaf = look([&](Glance&) -> Result<Counted> {
            Counted here;
            bool sound = true;
            std::uint64_t room = mapping_.bytes() / kUnitBytes;
            const auto next = index_.visit_leaf(index_.tree_to_read(), from, [&](ArenaOffset chain) {
                sound &= count_chain(mapping_, *mapping_.at<Chain>(chain), written, room, here.counted);
                return sound;
            });
            if (!next || !sound) return tl::unexpected(damaged_index());
            here.next = *next;
            return here;
        });
        if (!leaf) return tl::unexpected(leaf.error());
        stats.keys += leaf->counted.keys;
        stats.records += leaf->counted.records;
        stats.payload_bytes += leaf->counted.payload_bytes;
        stats.segments += leaf->counted.segments;
        stats.spilled_segments += leaf->counted.spilled_segments;
        stats.spilled_bytes += leaf->counted.spilled_bytes;
        from = leaf->next;
        if (from == 0) break;
    }
    const Result<std::uint64_t> index_bytes =
        look([&](Glance&) -> Result<std::uint64_t> { return index_.bytes(index_.tree_to_read()); });
    if (!index_bytes) return tl::unexpected(index_bytes.error());
    stats.index_bytes = *index_bytes;
    if (files_.enabled()) count_files(mapping_, files_, stats);
    // relaxed, all: an answer of one moment
    stats.spill_errno = static_cast<int>(header.spill_errno.load(std::memory_order_relaxed));
    stats.retired_objects = header.retired_objects.load(std::memory_order_relaxed);
    stats.slots_in_use = slots_.in_use();
    stats.slots_total = kSlots;
    stats.epoch = header.epoch.load(std::memory_order_relaxed) & ~kDestroyedBit;
    return stats;
}

Error LiveReader::destroyed() const {
    return {Code::kDestroyed, fmt::format("the store {} was destroyed; open it anew", path_), 0, 0};
}

Error LiveReader::never_held() const {
    return {
        Code::kInUse,
        fmt::format("other processes free memory of the store {} faster than it can be read without a place among "
                    "them, in {} ms and more tries than {}: open it without Options::read_only (--read-only)",
                    path_, patience_.count(), kLeastLooks),
        EBUSY, 0};
}

Error LiveReader::damaged(ByteView key) const {
    return {Code::kDamaged,
            fmt::format("arena {}: a frame of the key with {} bytes cannot be right; see 'shoal verify'",
                        arena_path_, key.size()),
            0, 0};
}

Error LiveReader::damaged_index() const {
    return {Code::kDamaged, fmt::format("arena {}: its index cannot be right; see 'shoal verify'", arena_path_), 0,
            0};
}

}  // namespace shoal
