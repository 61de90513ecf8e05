// What reads: get, views, sizes, stats.
#include <algorithm>

#include <fmt/format.h>

#include "store/group_look_up.hpp"
#include "store/hash.hpp"
#include "store/metadata.hpp"
#include "store/statistics.hpp"
#include "store/stored_value.hpp"
#include "store/waiting.hpp"

namespace shoal {

// Gathers what a view is to have: spans of resident records, and places in between for what is loaded afterwards.
class ViewBuilder {
public:
    // With empty records, and each by itself; or the bytes alone.
    ViewBuilder(const KeyRef& key, std::uint64_t generation, bool with_empty) noexcept
        : key_(&key), generation_(generation), with_empty_(with_empty) {}

    void reserve(std::uint64_t records) {
        pieces_.reserve(records);
        records_ = records;
    }
    void add(const std::byte* payload, std::uint64_t bytes) {
        if (bytes != 0 || with_empty_) pieces_.push_back({{payload, bytes}, 0});
        bytes_ += bytes;
    }
    void add_stored(const SegmentExtent& extent, std::uint64_t ordinal) {
        StoredPart part = stored_part(key_->bytes, generation_, extent, ordinal);
        part.wants_lengths = with_empty_;
        stored_bytes_ += part.bytes;
        bytes_ += part.bytes;
        const bool follows = !pieces_.empty() && pieces_.back().part != 0;
        if (add_part(stored_, follows, std::move(part))) pieces_.push_back({{}, stored_.size()});
    }
    [[nodiscard]] bool empty() const noexcept { return pieces_.empty(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

    // After all is added: what is to be loaded, with memory to load it to.
    [[nodiscard]] std::span<StoredPart> place_stored() {
        if (stored_.empty()) return {};
        loaded_.reset(new std::byte[stored_bytes_]);
        std::uint64_t at = 0;
        for (StoredPart& part : stored_) part.to = loaded_.get() + std::exchange(at, at + part.bytes);
        return stored_;
    }

    // After that is loaded.
    template <class Made>
    [[nodiscard]] Made make(std::shared_ptr<detail::Pin> pin) {
        Made made;
        made.spans_.reserve(std::max<std::uint64_t>(records_, pieces_.size()));
        for (const Piece& piece : pieces_) {
            if (piece.part == 0) {
                made.spans_.push_back(piece.resident);
                continue;
            }
            add_spans(stored_[piece.part - 1], with_empty_, made.spans_);
        }
        made.bytes_ = bytes_;
        made.loaded_ = std::move(loaded_);
        made.loaded_bytes_ = stored_bytes_;
        made.pin_ = std::move(pin);
        return made;
    }

    // Of the records, those from `begin` to `end`, or to their own end.
    static void keep(Records& records, std::uint64_t begin, std::uint64_t end) {
        std::vector<ByteView>& spans = records.spans_;
        spans.resize(std::min<std::uint64_t>(spans.size(), end));
        const auto first = std::min<std::uint64_t>(spans.size(), begin);
        spans.erase(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(first));
        records.bytes_ = 0;
        for (const ByteView span : spans) records.bytes_ += span.size();
    }

private:
    struct Piece {
        ByteView resident;
        std::size_t part = 0;  // 1 + its index in stored_, where it is stored
    };

    const KeyRef* key_;
    std::uint64_t generation_;
    bool with_empty_;
    std::uint64_t records_ = 0;  // expected
    std::vector<Piece> pieces_;
    std::vector<StoredPart> stored_;
    std::uint64_t stored_bytes_ = 0;
    std::uint64_t bytes_ = 0;
    std::shared_ptr<std::byte[]> loaded_;
};

std::optional<StoreImpl::CutOfChain> StoreImpl::cut_of(const KeyRef& key) noexcept {
    ArenaOffset chain = find_chain(key, index_.tree(), Index::Which::kFirst);
    // A turn fails when the chain is erased under us.
    for (int turn = 0; !is_null(chain) && turn < kMostTurns; ++turn) {
        const Chain& found = *mapping_.at<Chain>(chain);
        const Cut cut = take_cut(mapping_, found);
        if (!is_null(cut.root)) {
            // relaxed: never changes but for the codec, and a generation that a backup gives
            const std::uint64_t identity = found.identity.load(std::memory_order_relaxed);
            return CutOfChain{cut, generation_of(identity), codec_of(identity), chain};
        }
        chain = find_chain(key, index_.tree(), Index::Which::kLive);
    }
    return std::nullopt;
}

std::vector<StoredPart> StoreImpl::stored_parts(const KeyRef& key, const CutOfChain& found) const {
    std::vector<StoredPart> parts;
    const auto note = [&](const SegmentExtent& extent, std::uint64_t ordinal) {
        static_cast<void>(
            add_part(parts, !parts.empty(), stored_part(key.bytes, found.generation, extent, ordinal)));
    };
    static_cast<void>(walk_cut(
        mapping_, found.cut, [](const std::byte*, std::uint64_t) {}, note));
    return parts;
}

Result<std::size_t> StoreImpl::gather(const KeyRef& key, const CutOfChain& found, std::span<std::byte> to,
                                      std::vector<StoredPart>& stored) const {
    std::size_t total = 0;
    const std::size_t before = stored.size();  // of other keys, or of this one, asked for twice
    const auto copy = [&](const std::byte* payload, std::uint64_t bytes) {
        if (bytes != 0 && bytes <= to.size() && total <= to.size() - bytes) {
            std::memcpy(to.data() + total, payload, bytes);
        }
        total += bytes;
    };
    const auto note = [&](const SegmentExtent& extent, std::uint64_t ordinal) {
        const std::uint64_t bytes = extent.reserve.payload_bytes();
        if (bytes <= to.size() && total <= to.size() - bytes) {
            StoredPart part = stored_part(key.bytes, found.generation, extent, ordinal);
            part.to = to.data() + total;
            static_cast<void>(add_part(stored, stored.size() > before, std::move(part)));
        }
        total += bytes;
    };
    if (!walk_cut(mapping_, found.cut, copy, note)) return tl::unexpected(damaged(key.bytes));
    return total;
}

// Inside an epoch.
Result<Bytes> StoreImpl::gather_whole(const KeyRef& key, std::vector<StoredPart>& stored) {
    const std::optional<CutOfChain> found = cut_of(key);
    if (!found) return tl::unexpected(not_found());
    const std::optional<std::uint64_t> bound = payload_bound(mapping_, found->cut);
    if (!bound) return tl::unexpected(damaged(key.bytes));
    Bytes value(*bound);
    const Result<std::size_t> bytes = gather(key, *found, {value.data(), value.size()}, stored);
    if (!bytes) return tl::unexpected(bytes.error());
    if (*bytes > value.size()) return tl::unexpected(damaged(key.bytes));
    value.shrink(*bytes);
    return value;
}

void StoreImpl::read_files(std::span<StoredPart> stored) {
    const Waiting waiting(wait_hooks_);
    loader_.load(stored);
}

Result<bool> StoreImpl::still_names(const KeyRef& key, const StoredPart& part) {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const std::optional<CutOfChain> found = cut_of(key);
    return found && found->generation == part.generation && names_place(mapping_, found->cut, part.place);
}

Result<bool> StoreImpl::load(const KeyRef& key, std::span<StoredPart> stored) {
    if (stored.empty()) [[likely]]
        return true;
    read_files(stored);
    return loaded(key, stored);
}

Result<bool> StoreImpl::loaded(const KeyRef& key, std::span<StoredPart> stored) {
    return check_loaded(
        key.bytes, stored, [&](const StoredPart& part) { return still_names(key, part); },
        [this](StoredPart& part) {
            files_.forget(stored_at(part.place).file);
            read_files({&part, 1});
        });
}

Result<Bytes> StoreImpl::get(const KeyRef& key) {
    for (;;) {  // again where the key was erased while we read files
        std::vector<StoredPart> stored;
        Result<Bytes> value = [&]() -> Result<Bytes> {
            auto inside = enter();
            if (!inside) [[unlikely]]
                return tl::unexpected(std::move(inside.error()));
            return gather_whole(key, stored);
        }();
        if (!value || stored.empty()) return value;
        const Result<bool> done = load(key, stored);
        if (!done) return tl::unexpected(done.error());
        if (*done) return value;
    }
}

std::vector<Result<Bytes>> StoreImpl::get(std::span<const ByteView> keys) {
    std::vector<Result<Bytes>> values;
    values.reserve(keys.size());
    GroupLookUp look_up(*this);
    std::vector<StoredPart> stored;        // of all keys: their extents are read together
    std::vector<std::size_t> parts_begin;  // of each key, in `stored`
    parts_begin.reserve(keys.size());
    while (values.size() < keys.size()) {
        auto inside = enter();  // for each group, so as not to hold back reuse
        if (!inside) {
            while (values.size() < keys.size()) values.emplace_back(tl::unexpected(inside.error()));
            return values;
        }
        const std::size_t first = values.size();
        const std::size_t count = std::min(GroupLookUp::kKeys, keys.size() - first);
        std::size_t good = 0;
        for (; good < count && keys[first + good].size() <= kMaxKeyBytes; ++good) {
            look_up.refs[good] = {keys[first + good], hash_key(keys[first + good], mapping_.header().hash_seed),
                                  nullptr};
        }
        look_up.find(index_.tree(), good);
        look_ahead(look_up, good);
        for (std::size_t at = 0; at < good; ++at) {
            parts_begin.push_back(stored.size());
            values.push_back(gather_whole(look_up.refs[at], stored));
        }
        if (good < count) {
            parts_begin.push_back(stored.size());
            values.emplace_back(tl::unexpected(std::move(key_ref(keys[first + good]).error())));
        }
    }
    if (stored.empty()) return values;
    read_files(stored);
    for (std::size_t at = 0; at < keys.size(); ++at) {
        const std::size_t end = at + 1 < keys.size() ? parts_begin[at + 1] : stored.size();
        const std::span<StoredPart> parts(stored.data() + parts_begin[at], end - parts_begin[at]);
        if (!values[at] || parts.empty()) continue;
        const KeyRef key{keys[at], hash_key(keys[at], mapping_.header().hash_seed), nullptr};
        if (const Result<bool> done = loaded(key, parts); !done) {
            values[at] = tl::unexpected(done.error());
        } else if (!*done) {
            values[at] = get(key);
        }
    }
    return values;
}

// Asks for the first segment of each key, and then for the first bytes in it.
void StoreImpl::look_ahead(const GroupLookUp& look_up, std::size_t count) const noexcept {
    constexpr std::uint64_t kLines = 4;  // beyond, the hardware sees the stream
    std::array<const Segment*, GroupLookUp::kKeys> roots{};
    for (std::size_t at = 0; at < count; ++at) {
        if (is_null(look_up.chains[at])) continue;
        roots[at] = mapping_.at<Segment>(mapping_.at<Chain>(look_up.chains[at])->root);
        prefetch_to_read(roots[at]);
    }
    for (std::size_t at = 0; at < count; ++at) {
        if (roots[at] == nullptr) continue;
        // relaxed, both: only a guess at what will be read
        const std::uint64_t units = reserved_units(roots[at]->reserve.load(std::memory_order_relaxed));
        const auto* block = mapping_.at<std::byte>(roots[at]->block.load(std::memory_order_relaxed));
        for (std::uint64_t line = 0; line < std::min(kLines, units / 8 + 1); ++line)
            prefetch_to_read(block + line * 64);
    }
}

Result<std::size_t> StoreImpl::get_into(const KeyRef& key, std::span<std::byte> buffer) {
    for (;;) {  // as get
        std::vector<StoredPart> stored;
        const Result<std::size_t> bytes = [&]() -> Result<std::size_t> {
            auto inside = enter();
            if (!inside) [[unlikely]]
                return tl::unexpected(std::move(inside.error()));
            const std::optional<CutOfChain> found = cut_of(key);
            if (!found) return tl::unexpected(not_found());
            return gather(key, *found, buffer, stored);
        }();
        if (!bytes) return bytes;
        if (*bytes > buffer.size()) {
            return tl::unexpected(Error{Code::kBufferTooSmall, "buffer too small", 0, *bytes});
        }
        const Result<bool> done = load(key, stored);
        if (!done) return tl::unexpected(done.error());
        if (*done) return bytes;
    }
}

template <class Made>
Result<Made> StoreImpl::make_view(const KeyRef& key, bool with_empty) {
    for (;;) {                // as get
        auto pinned = pin();  // before the cut: it protects all that is reachable from now on
        if (!pinned) return tl::unexpected(std::move(pinned.error()));
        const std::optional<CutOfChain> found = cut_of(key);
        if (!found) return tl::unexpected(not_found());
        const std::optional<Reserve> total = measure(mapping_, found->cut, {});  // to reserve memory: a bound
        if (!total) return tl::unexpected(damaged(key.bytes));
        ViewBuilder builder(key, found->generation, with_empty);
        builder.reserve(total->records);
        const bool sound = walk_cut(
            mapping_, found->cut,
            [&](const std::byte* payload, std::uint64_t bytes) { builder.add(payload, bytes); },
            [&](const SegmentExtent& extent, std::uint64_t ordinal) { builder.add_stored(extent, ordinal); });
        if (!sound) return tl::unexpected(damaged(key.bytes));
        const Result<bool> done = load(key, builder.place_stored());
        if (!done) return tl::unexpected(done.error());
        if (*done) return builder.make<Made>(std::move(*pinned));
    }
}

Result<View> StoreImpl::view(const KeyRef& key) { return make_view<View>(key, false); }
Result<Records> StoreImpl::records(const KeyRef& key) { return make_view<Records>(key, true); }

Result<void> StoreImpl::records(const KeyRef& key, std::size_t part_bytes,
                                const std::function<bool(const Records&)>& take) {
    std::shared_ptr<detail::Pin> first_pin;  // of what `first` names
    std::optional<CutOfChain> first;
    std::uint64_t given = 0;  // records
    std::uint64_t most = ~0ULL;
    for (;;) {                // again where segments were merged while we read files
        auto pinned = pin();  // as make_view
        if (!pinned) return tl::unexpected(std::move(pinned.error()));
        const std::optional<CutOfChain> found = cut_of(key);
        if (!found || (first && found->generation != first->generation)) return tl::unexpected(not_found());
        if (first) {  // what was appended since is not in the cut
            const std::optional<Reserve> all = measure(mapping_, first->cut, slots_.written_segments());
            if (!all) return tl::unexpected(damaged(key.bytes));
            most = all->records;
        } else {
            first = *found;
            first_pin = *pinned;
        }
        const Result<bool> done = give_parts(key, *found, *pinned, part_bytes, most, &given, take);
        if (!done) return tl::unexpected(done.error());
        if (*done) return {};
    }
}

// The records behind the first `*given`, up to `most` with those. False: some were merged meanwhile, or erased.
Result<bool> StoreImpl::give_parts(const KeyRef& key, const CutOfChain& found,
                                   const std::shared_ptr<detail::Pin>& pin, std::size_t part_bytes,
                                   std::uint64_t most, std::uint64_t* given,
                                   const std::function<bool(const Records&)>& take) {
    Result<bool> loaded_all = true;
    bool wants_more = true;
    std::uint64_t begins = 0;  // the first record of the part
    ViewBuilder part(key, found.generation, true);
    const auto give = [&] {
        loaded_all = load(key, part.place_stored());
        if (!loaded_all || !*loaded_all) return false;
        auto records = part.make<Records>(pin);
        part = ViewBuilder(key, found.generation, true);
        const std::uint64_t end = begins + records.size();
        if (begins < *given || end > most) ViewBuilder::keep(records, *given - begins, most - begins);
        begins = end;
        if (!records.empty()) {
            *given += records.size();
            wants_more = take(records);
        }
        return wants_more;
    };
    std::uint64_t ordinal = 0;
    const auto add = [&](const Segment& segment, const SegmentExtent& extent) {
        const std::uint64_t at = std::exchange(ordinal, ordinal + ordinals_of(segment));
        if (!extent.stored()) {
            const AtomicWord* frames = frames_of(mapping_, extent);
            const auto one = [&](const std::byte* payload, std::uint64_t bytes) { part.add(payload, bytes); };
            if (frames == nullptr || !walk(frames, extent.units, one)) return false;
        } else if (part.empty() && begins + extent.reserve.records <= *given) {
            begins += extent.reserve.records;
        } else {
            part.add_stored(extent, at);
        }
        return part.bytes() < part_bytes || give();
    };
    const bool sound = each_segment(mapping_, found.cut, add);
    if (!loaded_all || !*loaded_all || !wants_more) return loaded_all;
    if (!sound) return tl::unexpected(damaged(key.bytes));
    if (!part.empty()) static_cast<void>(give());
    return loaded_all;
}

Result<ValueSize> StoreImpl::size(const KeyRef& key) {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const std::optional<CutOfChain> found = cut_of(key);
    if (!found) return tl::unexpected(not_found());
    // After the cut was taken: a claim below its end is committed, or its slot is seen to name the segment.
    const std::optional<Reserve> total = measure(mapping_, found->cut, slots_.written_segments());
    if (!total) return tl::unexpected(damaged(key.bytes));
    return ValueSize{total->payload_bytes(), total->records};
}

Result<bool> StoreImpl::contains(const KeyRef& key) {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    return cut_of(key).has_value();
}

Result<Stats> StoreImpl::stats() {
    // What is shown should be what there is, not what nobody has come round to give back.
    const LookSlot look(slots_);
    if (look.get() != nullptr) {
        for (int turn = 0; turn < 3 && epochs_.has_retired(); ++turn)
            static_cast<void>(epochs_.reclaim(*look.get(), true));
    }
    auto inside = enter_to_look(look);
    if (!inside) return tl::unexpected(std::move(inside.error()));
    Stats stats;
    stats.path = path_now();
    stats.arena_path = arena_path_;
    stats.arena_note = arena_note_;
    stats.store_id = id_text(mapping_.header().arena_id);
    stats.memory_limit_bytes = limit_of(mapping_.bytes());
    const Blocks::Usage usage = blocks_.usage();
    stats.real_bytes = usage.real_bytes;
    stats.used_bytes = usage.used_bytes;
    const ArenaOffset tree = index_.tree();
    // Before the cuts are taken: what is stopped or dead in the middle of an append now is not counted. What others
    // begin meanwhile may be.
    const WrittenSegments written = slots_.written_segments();
    std::uint64_t room = mapping_.bytes() / kUnitBytes;  // that all segments together may take
    bool sound = true;
    sound &= index_.for_each(tree, [&](ArenaOffset chain) {
        sound &= count_chain(mapping_, *mapping_.at<Chain>(chain), written, room, stats);
    });
    if (!sound) return tl::unexpected(damaged_index());
    stats.index_bytes = index_.bytes(tree);
    if (files_.enabled()) {
        count_files(mapping_, files_, stats);
        stats.io_engine = spiller_.engine();
        stats.spill_errno = spiller_.last_error();
    }
    stats.retired_objects = epochs_.retired_objects();
    stats.slots_in_use = slots_.in_use();
    stats.slots_total = kSlots;
    stats.epoch = epochs_.current();
    stats.held_back_by = held_back_by(kHeldForLongMs);
    return stats;
}

}  // namespace shoal
