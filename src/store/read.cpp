// What reads: get, views, sizes, keys, stats.
#include <algorithm>

#include "store/group_look_up.hpp"
#include "store/hash.hpp"
#include "store/metadata.hpp"

namespace shoal {

class ViewBuilder {
public:
    template <class Made>
    static void add(Made& made, const std::byte* payload, std::uint64_t bytes) {
        made.spans_.emplace_back(payload, bytes);
        made.bytes_ += bytes;
    }
    template <class Made>
    static void reserve(Made& made, std::uint64_t records) {
        made.spans_.reserve(records);
    }
    template <class Made>
    static void pin(Made& made, std::shared_ptr<detail::Pin> pin) {
        made.pin_ = std::move(pin);
    }
};

std::optional<Cut> StoreImpl::cut_of(const KeyRef& key) noexcept {
    ArenaOffset chain = find_chain(key, index_.tree(), Index::Which::kFirst);
    // A turn fails when the chain is erased under us.
    for (int turn = 0; !is_null(chain) && turn < kMostTurns; ++turn) {
        const Cut cut = take_cut(mapping_, *mapping_.at<Chain>(chain));
        if (!is_null(cut.root)) return cut;
        chain = find_chain(key, index_.tree(), Index::Which::kLive);
    }
    return std::nullopt;
}

Result<Bytes> StoreImpl::get(const KeyRef& key) {
    auto inside = enter();
    if (!inside) [[unlikely]]
        return tl::unexpected(std::move(inside.error()));
    return get_inside(key);
}

Result<Bytes> StoreImpl::get_inside(const KeyRef& key) {
    const std::optional<Cut> cut = cut_of(key);
    if (!cut) return tl::unexpected(not_found());
    const std::optional<std::uint64_t> bound = payload_bound(mapping_, *cut);
    if (!bound) return tl::unexpected(damaged(key.bytes));
    Bytes value(*bound);
    std::size_t filled = 0;
    bool fits = true;
    const bool sound = walk_cut(mapping_, *cut, [&](const std::byte* payload, std::uint64_t bytes) {
        fits &= bytes <= value.size() - filled;
        if (!fits) return;
        if (bytes != 0) std::memcpy(value.data() + filled, payload, bytes);
        filled += bytes;
    });
    if (!sound || !fits) return tl::unexpected(damaged(key.bytes));
    value.shrink(filled);
    return value;
}

std::vector<Result<Bytes>> StoreImpl::get(std::span<const ByteView> keys) {
    std::vector<Result<Bytes>> values;
    values.reserve(keys.size());
    GroupLookUp look_up(*this);
    while (values.size() < keys.size()) {
        auto inside = enter();  // for each group, so as not to hold back reuse
        const std::size_t first = values.size();
        const std::size_t count = std::min(GroupLookUp::kKeys, keys.size() - first);
        std::size_t good = 0;
        for (; inside && good < count && keys[first + good].size() <= kMaxKeyBytes; ++good) {
            look_up.refs[good] = {keys[first + good], hash_key(keys[first + good], mapping_.header().hash_seed),
                                  nullptr};
        }
        look_up.find(index_.tree(), good);
        look_ahead(look_up, good);
        for (std::size_t at = 0; at < good; ++at) values.push_back(get_inside(look_up.refs[at]));
        if (!inside) {
            values.emplace_back(tl::unexpected(inside.error()));
        } else if (good < count) {
            values.emplace_back(tl::unexpected(std::move(key_ref(keys[first + good]).error())));
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
    auto inside = enter();
    if (!inside) [[unlikely]]
        return tl::unexpected(std::move(inside.error()));
    const std::optional<Cut> cut = cut_of(key);
    if (!cut) return tl::unexpected(not_found());
    std::size_t total = 0;
    const bool sound = walk_cut(mapping_, *cut, [&](const std::byte* payload, std::uint64_t bytes) {
        if (bytes != 0 && total + bytes <= buffer.size()) std::memcpy(buffer.data() + total, payload, bytes);
        total += bytes;
    });
    if (!sound) return tl::unexpected(damaged(key.bytes));
    if (total > buffer.size()) return tl::unexpected(Error{Code::kBufferTooSmall, "buffer too small", 0, total});
    return total;
}

template <class Made>
Result<Made> StoreImpl::make_view(const KeyRef& key, bool with_empty) {
    auto pinned = pin();  // before the cut: it protects all that is reachable from now on
    if (!pinned) return tl::unexpected(std::move(pinned.error()));
    const std::optional<Cut> cut = cut_of(key);
    if (!cut) return tl::unexpected(not_found());
    Made made;
    const std::optional<Reserve> total = measure(mapping_, *cut);
    if (!total) return tl::unexpected(damaged(key.bytes));
    ViewBuilder::reserve(made, total->records);
    const bool sound = walk_cut(mapping_, *cut, [&](const std::byte* payload, std::uint64_t bytes) {
        if (bytes != 0 || with_empty) ViewBuilder::add(made, payload, bytes);
    });
    if (!sound) return tl::unexpected(damaged(key.bytes));
    ViewBuilder::pin(made, std::move(*pinned));
    return made;
}

Result<View> StoreImpl::view(const KeyRef& key) { return make_view<View>(key, false); }
Result<Records> StoreImpl::records(const KeyRef& key) { return make_view<Records>(key, true); }

Result<ValueSize> StoreImpl::size(const KeyRef& key) {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    const std::optional<Cut> cut = cut_of(key);
    if (!cut) return tl::unexpected(not_found());
    const std::optional<Reserve> total = measure(mapping_, *cut);
    if (!total) return tl::unexpected(damaged(key.bytes));
    return ValueSize{total->payload_bytes(), total->records};
}

Result<bool> StoreImpl::contains(const KeyRef& key) {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    return cut_of(key).has_value();
}

Result<std::vector<Bytes>> StoreImpl::keys() {
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    std::vector<Bytes> keys;
    std::uint64_t room = mapping_.bytes();  // that all keys together may take
    bool sound = true;
    sound &= index_.for_each(index_.tree(), [&](ArenaOffset chain) {
        const ByteView key = mapping_.at<Chain>(chain)->key();
        sound &= room >= Chain::bytes_for(key.size());
        if (!sound) return;
        room -= Chain::bytes_for(key.size());
        keys.emplace_back(key.size());
        if (!key.empty()) std::memcpy(keys.back().data(), key.data(), key.size());
    });
    if (!sound) return tl::unexpected(damaged_index());
    return keys;
}

Result<Stats> StoreImpl::stats() {
    // What is shown should be what there is, not what nobody has come round to give back.
    int failure = 0;
    if (Slot* slot = slots_.current(&failure); slot != nullptr) {
        for (int turn = 0; turn < 3 && epochs_.has_retired(); ++turn)
            static_cast<void>(epochs_.reclaim(*slot, true));
    }
    auto inside = enter();
    if (!inside) return tl::unexpected(std::move(inside.error()));
    Stats stats;
    stats.path = path_;
    stats.arena_path = arena_path_;
    stats.arena_note = arena_note_;
    stats.store_id = id_text(mapping_.header().store_id);
    stats.memory_limit_bytes = mapping_.bytes();
    const Blocks::Usage usage = blocks_.usage();
    stats.real_bytes = usage.real_bytes;
    stats.used_bytes = usage.used_bytes;
    const ArenaOffset tree = index_.tree();
    std::uint64_t room = mapping_.bytes() / kUnitBytes;  // that all segments together may take
    bool sound = true;
    sound &= index_.for_each(tree, [&](ArenaOffset chain) {
        const Cut cut = take_cut(mapping_, *mapping_.at<Chain>(chain));
        if (is_null(cut.root)) return;
        const std::optional<Reserve> total = measure(mapping_, cut, room);
        sound &= total.has_value();
        if (!total) return;
        stats.keys += 1;
        stats.records += total->records;
        stats.payload_bytes += total->payload_bytes();
        stats.segments += segments_of(mapping_, cut);
    });
    if (!sound) return tl::unexpected(damaged_index());
    stats.index_bytes = index_.bytes(tree);
    stats.retired_objects = epochs_.retired_objects();
    stats.slots_in_use = slots_.in_use();
    stats.slots_total = kSlots;
    stats.epoch = epochs_.current();
    stats.held_back_by = held_back_by();
    return stats;
}

}  // namespace shoal
