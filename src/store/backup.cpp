// Store::backup: every key's value, copied out of the arena and the spill files, chunk by chunk.
//
// A walk over the keys gives them in the order of their hashes, a batch at a time. Values are copied into a chunk
// inside an epoch, kEpochKeys and a chunk's bytes at most; what is in files is noted there, and read when the epoch
// has been left. Then the chunk is written. So neither a slow sink nor a slow disk keeps memory from reuse.
//
// A value that is longer than a chunk is copied over several epochs (LongValue), and stays one closed cut:
//
//   cut      at the first epoch: the segments before the tail, all closed, and a copy of what is in the tail
//   parts    segment by segment, the tail's copy last
//
// A record in a closed segment that is acknowledged before the cut is committed before the segment is read,
// whenever that is; a record behind the tail's copy is in no part. In each later epoch the chain is found anew by
// its key, and is the same chain by its generation (which a backup gives a chain that has none yet); the place in
// it is the same by its ordinal and the counts before it. Segments may have been merged (chain/merge.hpp), which
// changes neither. Where the chain was erased, anything before the place is not as it was, or a merged segment lies
// across the place or the cut's end, the parts that were written are declared void; then the value is read again,
// or is gone.
//
// Thread safety: as Store; any number of backups at once. A crash inside an epoch leaves that epoch, as any
// reader's; else nothing in the arena.
// Invariants: I1 each value is one closed cut, taken after the backup began;
//             I2 a key that is there from the beginning to the end is in the backup once;
//             I3 between two chunks this thread is in no epoch, and what it holds of a value may be freed;
//             I4 flush leaves nothing in the draft, and no key to be read again: a long value has chunks of its
//             own.
#include "store/backup.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "arena/system_failure.hpp"
#include "backup/file.hpp"
#include "spill/codec_word.hpp"
#include "store/group_look_up.hpp"
#include "store/hash.hpp"

namespace shoal {
namespace {

constexpr std::size_t kEpochKeys = 2048;  // copied in one epoch
constexpr std::uint64_t kRecordCost = 8;  // bytes that a record counts in a chunk beside its payload
constexpr std::uint64_t kKeyCost = sizeof(BackupPart);

// What counters say of some segments. Spilling them changes neither number, but where a writer has died.
struct Counts {
    std::uint64_t records = 0;
    std::uint64_t payload_bytes = 0;

    void add(const Reserve& reserve) noexcept {
        records += reserve.records;
        payload_bytes += reserve.payload_bytes();
    }
    [[nodiscard]] bool operator==(const Counts&) const = default;
};

double place_among_hashes(std::uint64_t hash) noexcept { return std::ldexp(static_cast<double>(hash), -64); }

}  // namespace

// What is gathered for a chunk: payload that is copied, and places for what is to be loaded.
class BackupRun::Draft {
public:
    struct Entry {
        std::size_t key_begins = 0;  // in keys_
        std::size_t key_bytes = 0;
        std::uint64_t hash = 0;
        std::uint32_t codec = 0;
        std::uint32_t flags = 0;
        std::size_t payload_begins = 0;
        std::size_t lengths_begin = 0;
        std::size_t parts_begin = 0;  // in stored_
        std::size_t parts_end = 0;
    };

    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] std::uint64_t cost() const noexcept { return cost_; }
    [[nodiscard]] bool has_room(std::uint64_t cost) const noexcept {
        const bool has_records = !lengths_.empty() || !stored_.empty();
        return !has_records || cost_ + cost <= kBackupChunkBytes;
    }

    void begin(const KeyRef& key, std::uint32_t codec, std::uint32_t flags) {
        entries_.push_back({keys_.size(), key.bytes.size(), key.hash, codec, flags, payload_.size(),
                            lengths_.size(), stored_.size(), stored_.size()});
        keys_.insert(keys_.end(), key.bytes.data(), key.bytes.data() + key.bytes.size());
        cost_ += key.bytes.size() + kKeyCost;
    }
    void add(const std::byte* payload, std::uint64_t bytes) {
        payload_.insert(payload_.end(), payload, payload + bytes);
        lengths_.push_back(bytes);
        cost_ += bytes + kRecordCost;
    }
    void add_stored(std::uint64_t generation, const SegmentExtent& extent, std::uint64_t ordinal) {
        StoredPart part;
        part.place = extent.block;
        part.generation = generation;
        part.first_segment = static_cast<std::uint32_t>(ordinal);
        part.segments = 1;
        part.bytes = extent.reserve.payload_bytes();
        part.wants_lengths = true;
        const bool follows =
            stored_.size() > entries_.back().parts_begin && places_.back().lengths == lengths_.size();
        const std::uint64_t begins = payload_.size();
        payload_.resize(begins + part.bytes);
        cost_ += part.bytes + extent.reserve.records * kRecordCost;
        if (add_part(stored_, follows, std::move(part))) places_.push_back({begins, lengths_.size()});
        entries_.back().parts_end = stored_.size();
    }
    void end(std::uint32_t flags) noexcept { entries_.back().flags |= flags; }

    [[nodiscard]] std::span<StoredPart> stored() noexcept { return stored_; }
    // Outside of every epoch, before stored() is loaded.
    void place_stored() noexcept {
        for (std::size_t at = 0; at < stored_.size(); ++at) stored_[at].to = payload_.data() + places_[at].payload;
        for (const Entry& entry : entries_) {
            for (StoredPart& part : stored_of(entry)) part.key = key_of(entry);
        }
    }
    [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
    [[nodiscard]] ByteView key_of(const Entry& entry) const noexcept {
        return {keys_.data() + entry.key_begins, entry.key_bytes};
    }
    [[nodiscard]] std::span<StoredPart> stored_of(const Entry& entry) noexcept {
        return std::span(stored_).subspan(entry.parts_begin, entry.parts_end - entry.parts_begin);
    }
    // A record that is copied piece by piece, and its end; or its pieces are taken back.
    void add_some(const std::byte* payload, std::uint64_t bytes) {
        payload_.insert(payload_.end(), payload, payload + bytes);
    }
    void end_record(std::uint64_t bytes) {
        lengths_.push_back(bytes);
        cost_ += bytes + kRecordCost;
    }
    void take_back(std::uint64_t bytes) { payload_.resize(payload_.size() - bytes); }

    // Of the entry of that number, once its parts are loaded: the lengths of its records in order.
    [[nodiscard]] std::span<const std::uint64_t> lengths_of(std::size_t number) {
        const Entry& entry = entries_[number];
        const std::size_t end = number + 1 < entries_.size() ? entries_[number + 1].lengths_begin : lengths_.size();
        const auto resident =
            std::span<const std::uint64_t>(lengths_).subspan(entry.lengths_begin, end - entry.lengths_begin);
        if (entry.parts_begin == entry.parts_end) return resident;
        merged_.clear();
        std::size_t taken = 0;
        for (std::size_t at = entry.parts_begin; at < entry.parts_end; ++at) {
            const std::size_t before = places_[at].lengths - entry.lengths_begin;
            merged_.insert(merged_.end(), resident.begin() + static_cast<std::ptrdiff_t>(taken),
                           resident.begin() + static_cast<std::ptrdiff_t>(before));
            taken = before;
            if (is_in_parts(stored_[at])) {
                merged_.push_back(stored_[at].bytes);
            } else {
                merged_.insert(merged_.end(), stored_[at].lengths.begin(), stored_[at].lengths.end());
            }
        }
        merged_.insert(merged_.end(), resident.begin() + static_cast<std::ptrdiff_t>(taken), resident.end());
        return merged_;
    }
    // The payload of the chunk; entries that are left out are cut out of it, the last one first.
    [[nodiscard]] std::vector<std::byte>& payload() noexcept { return payload_; }
    void cut_out(std::size_t number) {
        const auto begins = static_cast<std::ptrdiff_t>(entries_[number].payload_begins);
        const auto ends = number + 1 < entries_.size()
                              ? payload_.begin() + static_cast<std::ptrdiff_t>(entries_[number + 1].payload_begins)
                              : payload_.end();
        payload_.erase(payload_.begin() + begins, ends);
    }
    void clear() {
        entries_.clear();
        keys_.clear();
        payload_.clear();
        if (payload_.capacity() > 3 * kBackupChunkBytes) payload_ = {};  // of a long record
        lengths_.clear();
        stored_.clear();
        places_.clear();
        cost_ = 0;
    }

private:
    struct Place {
        std::size_t payload;  // where its bytes go
        std::size_t lengths;  // before which of lengths_ its records come
    };

    std::vector<Entry> entries_;
    std::vector<std::byte> keys_;
    std::vector<std::byte> payload_;
    std::vector<std::uint64_t> lengths_;  // of resident records
    std::vector<StoredPart> stored_;
    std::vector<Place> places_;  // of each of stored_
    std::vector<std::uint64_t> merged_;
    std::uint64_t cost_ = 0;
};

// A value on its way into the backup, over several epochs.
struct BackupRun::LongValue {
    bool has_cut = false;
    std::uint64_t generation = 0;
    std::uint32_t codec = 0;
    Counts all;  // about

    // The tail that the cut found, and what was in it, unless it does not change any more.
    std::uint64_t tail_ordinal = 0;
    std::uint64_t tail_ordinals = 1;
    Counts before_tail;
    bool has_tail_copy = false;
    std::vector<std::byte> tail_payload;
    std::vector<std::uint64_t> tail_lengths;

    // The segment that comes next.
    std::uint64_t ordinal = 0;
    Counts before;
    std::uint64_t copied_of_record = 0;  // of the large one that fills that segment; it lies at the draft's end

    Counts written;  // parts of it that are in the backup
    bool begun = false;
};

BackupRun::BackupRun(StoreImpl& store, BackupWriter& writer, const BackupCallback& progress)
    : store_(store), writer_(writer), progress_(progress), draft_(std::make_unique<Draft>()) {}
BackupRun::~BackupRun() = default;

Result<void> BackupRun::run() {
    KeyCursor cursor;
    cursor.from_ = writer_.position().resume_at;
    fraction_ = place_among_hashes(cursor.from_);
    std::vector<KeyRef> batch;
    for (;;) {
        const Result<bool> some = store_.next_keys(cursor);
        if (!some) return tl::unexpected(some.error());
        if (!*some) break;
        batch.clear();
        for (const ByteView key : cursor.keys()) {
            batch.push_back({key, hash_key(key, store_.mapping_.header().hash_seed), nullptr});
        }
        std::sort(batch.begin(), batch.end(), [](const KeyRef& a, const KeyRef& b) { return a.hash < b.hash; });
        const auto next = cursor.ended_ ? std::nullopt : std::optional(cursor.from_);
        if (auto done = copy_batch(batch, next); !done) return done;
    }
    if (auto done = flush(std::nullopt); !done) return done;
    crash_point(CrashPoint::kBackupCopied);
    return writer_.finish();
}

// `next`: the least hash that may come behind the batch; nothing: it is the last.
Result<void> BackupRun::copy_batch(std::span<const KeyRef> batch, std::optional<std::uint64_t> next) {
    // Where a backup may go on when the keys before that one are written. Not between two of one hash, since it
    // would write the first of them again.
    const auto resume_at = [&](std::size_t at) -> std::optional<std::uint64_t> {
        if (at == batch.size()) return next;
        if (at != 0 && batch[at].hash == batch[at - 1].hash) return std::nullopt;
        return batch[at].hash;
    };
    GroupLookUp look_up(store_);
    for (std::size_t at = 0; at < batch.size();) {
        Copied copied = Copied::kWhole;
        {
            const LookSlot look(store_.slots_);
            auto inside = store_.enter_to_look(look);
            if (!inside) return tl::unexpected(std::move(inside.error()));
            const std::size_t end = std::min(batch.size(), at + kEpochKeys);
            for (std::size_t asked_for = at; at < end && copied == Copied::kWhole;) {
                if (at == asked_for) {  // a group's cache misses at once
                    const std::size_t count = std::min(GroupLookUp::kKeys, end - at);
                    std::copy_n(batch.begin() + static_cast<std::ptrdiff_t>(at), count, look_up.refs.begin());
                    look_up.find(store_.index_.tree(), count);
                    store_.look_ahead(look_up, count);
                    asked_for += count;
                }
                auto one = copy_value(batch[at]);
                if (!one) return tl::unexpected(std::move(one.error()));
                copied = *one;
                if (copied == Copied::kWhole) at += 1;
            }
            crash_point(CrashPoint::kBackupValuesCopied);
        }
        if (copied == Copied::kWhole) continue;
        if (auto done = flush(resume_at(at)); !done) return done;
        if (copied == Copied::kNoRoom) continue;
        const std::uint64_t behind = at + 1 < batch.size() ? batch[at + 1].hash : next.value_or(~0ULL);
        if (auto done = copy_long(batch[at], behind); !done) return done;
        at += 1;
    }
    return {};
}

// Inside an epoch. Nothing is copied where the key is gone.
Result<BackupRun::Copied> BackupRun::copy_value(const KeyRef& key) {
    const auto found = store_.cut_of(key);
    if (!found) return Copied::kWhole;
    const std::optional<Reserve> bound = measure(store_.mapping_, found->cut, {});
    if (!bound) return tl::unexpected(store_.damaged(key.bytes));
    const std::uint64_t cost = bound->payload_bytes() + bound->records * kRecordCost + key.bytes.size() + kKeyCost;
    if (cost > kBackupChunkBytes) return Copied::kTooLong;
    if (!draft_->has_room(cost)) return Copied::kNoRoom;
    draft_->begin(key, found->codec, kPartBegins | kPartEnds);
    const bool sound = walk_cut(
        store_.mapping_, found->cut,
        [&](const std::byte* payload, std::uint64_t bytes) { draft_->add(payload, bytes); },
        [&](const SegmentExtent& extent, std::uint64_t ordinal) {
            draft_->add_stored(found->generation, extent, ordinal);
        });
    if (!sound) return tl::unexpected(store_.damaged(key.bytes));
    return Copied::kWhole;
}

// The draft is empty, and is left with the value's last part. `next`: the hash behind the key's.
Result<void> BackupRun::copy_long(const KeyRef& key, std::uint64_t next) {
    for (;;) {  // again where others have changed what was read already: each turn is their progress
        LongValue value;
        const auto whole = copy_parts(key, next, value);
        if (!whole) return tl::unexpected(whole.error());
        if (*whole) return {};
        draft_->clear();
        if (value.begun) writer_.add_void(key.bytes, value.written.records, value.written.payload_bytes);
        if (!value.has_cut) return {};  // the key is gone
    }
}

// False where the value is not what it was when the first part was copied, or is gone.
Result<bool> BackupRun::copy_parts(const KeyRef& key, std::uint64_t next, LongValue& value) {
    for (;;) {
        const auto step = copy_part(key, value);
        if (!step) return tl::unexpected(step.error());
        if (*step == Step::kChanged) return false;
        if (*step == Step::kMore) continue;
        const bool ended = *step == Step::kEnded;
        // Whether its end can be loaded has to be known now: else it is to be read again from its beginning.
        if (ended && draft_->stored().empty()) return true;
        const BackupPosition before = writer_.position();
        if (auto written = write_chunk(std::nullopt); !written) return tl::unexpected(written.error());
        if (!again_.empty()) {
            again_.clear();
            return false;
        }
        value.begun = true;
        value.written.records += writer_.position().records - before.records;
        value.written.payload_bytes += writer_.position().payload_bytes - before.payload_bytes;
        const double part = static_cast<double>(value.written.payload_bytes) /
                            static_cast<double>(std::max<std::uint64_t>(value.all.payload_bytes, 1));
        const double begins = place_among_hashes(key.hash);
        fraction_ = begins + (place_among_hashes(next) - begins) * std::min(part, 1.0);
        if (auto told = tell_progress(); !told) return tl::unexpected(told.error());
        if (ended) return true;
    }
}

// As much of the value as goes into the draft in one epoch.
Result<BackupRun::Step> BackupRun::copy_part(const KeyRef& key, LongValue& value) {
    const LookSlot look(store_.slots_);
    auto inside = store_.enter_to_look(look);
    if (!inside) return tl::unexpected(std::move(inside.error()));
    if (!value.has_cut) {
        auto taken = take_cut_of(key, value);
        if (!taken) return tl::unexpected(std::move(taken.error()));
        if (!*taken) return Step::kChanged;
    }
    const ArenaOffset offset = store_.index_.find(store_.index_.tree(), key.bytes, key.hash, Index::Which::kLive);
    if (is_null(offset)) return Step::kChanged;
    const Chain& chain = *store_.mapping_.at<Chain>(offset);
    // relaxed: it changes once, from 0, before value.generation was known
    if (generation_of(chain.identity.load(std::memory_order_relaxed)) != value.generation) return Step::kChanged;
    if (draft_->empty()) draft_->begin(key, value.codec, value.begun ? 0 : kPartBegins);
    const auto step = copy_segments(key, chain, value);
    crash_point(CrashPoint::kBackupPartCopied);
    return step;
}

// Inside an epoch. False where the key is gone.
Result<bool> BackupRun::take_cut_of(const KeyRef& key, LongValue& value) {
    const Mapping& mapping = store_.mapping_;
    const auto found = store_.cut_of(key);
    if (!found) return false;
    value.generation = give_generation(mapping.header(), *mapping.at<Chain>(found->chain));
    value.codec = found->codec;
    std::uint64_t ordinal = 0;
    const bool sound = each_segment(mapping, found->cut, [&](const Segment& segment, const SegmentExtent& extent) {
        if (&segment == mapping.at<Segment>(found->cut.tail)) {
            value.tail_ordinal = ordinal;
            value.tail_ordinals = ordinals_of(segment);
            value.before_tail = value.all;
            if (!extent.stored() && segment.single_bytes == 0) {
                value.has_tail_copy = true;
                const AtomicWord* frames = frames_of(mapping, extent);
                const auto copy = [&](const std::byte* payload, std::uint64_t bytes) {
                    value.tail_payload.insert(value.tail_payload.end(), payload, payload + bytes);
                    value.tail_lengths.push_back(bytes);
                };
                if (frames == nullptr || !walk(frames, extent.units, copy)) return false;
            }
        }
        value.all.add(extent.reserve);
        ordinal += ordinals_of(segment);
        return true;
    });
    if (!sound) return tl::unexpected(store_.damaged(key.bytes));
    value.has_cut = true;
    return true;
}

Result<BackupRun::Step> BackupRun::copy_segments(const KeyRef& key, const Chain& chain, LongValue& value) {
    const Mapping& mapping = store_.mapping_;
    const std::uint64_t most = mapping.bytes() / sizeof(Segment);  // no chain has more, or it runs in a circle
    auto at = static_cast<ArenaOffset>(chain.root);
    Counts before;
    std::uint64_t ordinal = 0;
    for (std::uint64_t left = most; left != 0; --left) {
        const Segment& segment = *mapping.at<Segment>(at);
        const SegmentExtent extent = extent_of(segment);
        const std::uint64_t ordinals = ordinals_of(segment);
        const auto lies_across = [&](std::uint64_t place) { return ordinal < place && ordinal + ordinals > place; };
        if (lies_across(value.ordinal) || lies_across(value.tail_ordinal)) return Step::kChanged;
        if (ordinal == value.ordinal && ordinal != 0 && before != value.before) return Step::kChanged;
        const bool is_tail = ordinal == value.tail_ordinal;
        if (is_tail && before != value.before_tail) return Step::kChanged;
        // More may be in it than in the cut.
        if (is_tail && !value.has_tail_copy && ordinals != value.tail_ordinals) return Step::kChanged;
        if (ordinal >= value.ordinal) {
            value.ordinal = ordinal;
            value.before = before;
            if (is_tail && value.has_tail_copy) {
                if (!draft_->has_room(value.tail_payload.size() + value.tail_lengths.size() * kRecordCost)) {
                    return Step::kChunkFull;
                }
                const std::byte* payload = value.tail_payload.data();
                for (const std::uint64_t bytes : value.tail_lengths) {
                    draft_->add(payload, bytes);
                    payload += bytes;
                }
            } else {
                const auto step = copy_segment(key, segment, extent, value);
                if (!step || *step != Step::kEnded) return step;
            }
        }
        if (is_tail) {
            draft_->end(kPartEnds);
            return Step::kEnded;
        }
        before.add(extent.reserve);
        const std::uint64_t next = segment.next.load(std::memory_order_acquire);  // pairs with the link
        if (next == 0 || is_erased(next)) return Step::kChanged;
        ordinal += ordinals;
        at = static_cast<ArenaOffset>(next);
    }
    return tl::unexpected(store_.damaged(key.bytes));
}

// kEnded: all of the segment is in the draft.
Result<BackupRun::Step> BackupRun::copy_segment(const KeyRef& key, const Segment& segment,
                                                const SegmentExtent& extent, LongValue& value) {
    if (extent.stored()) {
        draft_->take_back(std::exchange(value.copied_of_record, 0));
        if (!draft_->has_room(extent.reserve.payload_bytes() + extent.reserve.records * kRecordCost)) {
            return Step::kChunkFull;
        }
        draft_->add_stored(value.generation, extent, value.ordinal);
        return Step::kEnded;
    }
    const AtomicWord* frames = frames_of(store_.mapping_, extent);
    if (frames == nullptr) return tl::unexpected(store_.damaged(key.bytes));
    if (segment.single_bytes != 0) {
        const std::uint64_t bytes = segment.single_bytes;
        if (value.copied_of_record == 0 && !draft_->has_room(bytes + kRecordCost)) return Step::kChunkFull;
        const auto* payload = reinterpret_cast<const std::byte*>(frames + 1);
        const std::uint64_t some = std::min(bytes - value.copied_of_record, kBackupChunkBytes);
        draft_->add_some(payload + value.copied_of_record, some);
        value.copied_of_record += some;
        if (value.copied_of_record < bytes) return Step::kMore;
        value.copied_of_record = 0;
        draft_->end_record(bytes);
        return Step::kEnded;
    }
    const std::uint64_t cost = extent.exact ? extent.reserve.payload_bytes() + extent.reserve.records * kRecordCost
                                            : extent.units * kUnitBytes;
    if (!draft_->has_room(cost)) return Step::kChunkFull;
    const auto copy = [&](const std::byte* payload, std::uint64_t bytes) { draft_->add(payload, bytes); };
    if (!walk(frames, extent.units, copy)) return tl::unexpected(store_.damaged(key.bytes));
    return Step::kEnded;
}

Result<void> BackupRun::flush(std::optional<std::uint64_t> resume_at) {
    if (draft_->empty() && writer_.parts() == 0) return {};
    if (auto written = write_chunk(resume_at); !written) return written;
    while (!again_.empty()) {
        const std::string name = std::move(again_.front());
        again_.pop_front();
        if (auto done = copy_again(name); !done) return done;
        if (!again_.empty()) continue;
        if (auto written = write_chunk(resume_at); !written) return written;  // which may bring others
    }
    return tell_progress();
}

// Puts the key's value of now into the draft.
Result<void> BackupRun::copy_again(const std::string& name) {
    const KeyRef key{name, hash_key(name, store_.mapping_.header().hash_seed), nullptr};
    for (;;) {
        Result<Copied> copied = Copied::kWhole;
        {
            const LookSlot look(store_.slots_);
            auto inside = store_.enter_to_look(look);
            if (!inside) return tl::unexpected(std::move(inside.error()));
            copied = copy_value(key);
        }
        if (!copied) return tl::unexpected(std::move(copied.error()));
        if (*copied == Copied::kWhole) return {};
        if (auto written = write_chunk(std::nullopt); !written) return written;
        if (*copied == Copied::kNoRoom) continue;
        // The others wait, as copy_long tells by again_ that a part cannot be loaded.
        std::deque<std::string> waiting = std::exchange(again_, {});
        auto done = copy_long(key, key.hash);
        again_ = std::move(waiting);
        return done;
    }
}

Result<void> BackupRun::write_chunk(std::optional<std::uint64_t> resume_at) {
    Draft& draft = *draft_;
    if (draft.empty() && writer_.parts() == 0) return {};
    draft.place_stored();
    crash_point(CrashPoint::kBackupDrafted);
    if (!draft.stored().empty()) store_.read_files(draft.stored());
    crash_point(CrashPoint::kBackupLoaded);
    const auto& entries = draft.entries();
    std::vector<std::size_t> left_out;
    for (std::size_t number = 0; number < entries.size(); ++number) {
        const KeyRef key{draft.key_of(entries[number]), entries[number].hash, nullptr};
        const std::span<StoredPart> stored = draft.stored_of(entries[number]);
        if (!stored.empty()) {
            const Result<bool> loaded = store_.loaded(key, stored);
            if (!loaded) return tl::unexpected(loaded.error());
            if (!*loaded) {
                left_out.push_back(number);
                again_.emplace_back(key.bytes.text());
                continue;
            }
        }
        writer_.add_part(key.bytes, entries[number].codec, entries[number].flags, draft.lengths_of(number));
    }
    for (std::size_t at = left_out.size(); at > 0; --at) draft.cut_out(left_out[at - 1]);
    if (!left_out.empty()) resume_at.reset();
    if (auto written = writer_.end_chunk(draft.payload(), resume_at); !written) return written;
    draft.clear();
    crash_point(CrashPoint::kBackupChunkWritten);
    return {};
}

Result<void> BackupRun::tell_progress() {
    if (!progress_) return {};
    const BackupPosition& now = writer_.position();
    if (progress_({std::min(fraction_, 1.0), now.keys, now.records, now.payload_bytes, now.file_bytes})) return {};
    return stopped_by_caller("the backup");
}

BackupHeader StoreImpl::backup_header() const {
    const ArenaHeader& header = mapping_.header();
    BackupHeader made{};
    made.magic = kBackupMagic;
    made.store_id = header.store_id;
    made.begun_unix_s = static_cast<std::uint64_t>(::time(nullptr));
    made.hash_seed = header.hash_seed;
    made.restore = header.restore;
    made.memory_limit = limit_of(header.arena_bytes);
    made.codec = static_cast<std::uint32_t>(header.codec);
    made.flags = files_.enabled() ? kBackupSpills : 0;
    made.first_segment_bytes = header.first_segment_bytes;
    made.max_segment_bytes = header.max_segment_bytes;
    made.checksum = checksum_of(made);
    return made;
}

Codec StoreImpl::backup_codec(const BackupOptions& options) const {
    return options.codec.value_or(codec_of_said(static_cast<std::uint32_t>(mapping_.header().codec)));
}

Result<BackedUp> StoreImpl::backup(const BackupSink& sink, const BackupOptions& options) {
    if (options.resume) {
        return tl::unexpected(Error{Code::kInvalidArgument,
                                    "only a backup to a file can be resumed: name a file, or do not resume", 0, 0});
    }
    BackupWriter writer(sink, backup_codec(options));
    if (auto begun = writer.begin(backup_header()); !begun) return tl::unexpected(std::move(begun.error()));
    if (auto done = BackupRun(*this, writer, options.progress).run(); !done) {
        return tl::unexpected(std::move(done.error()));
    }
    const BackupPosition& end = writer.position();
    return BackedUp{end.keys, end.records, end.payload_bytes, end.file_bytes, 0};
}

Result<BackedUp> StoreImpl::backup(const std::string& path, const BackupOptions& options) {
    auto file = BackupFile::open(path);
    if (!file) return tl::unexpected(std::move(file.error()));
    const BackupSink sink = [&](ByteView bytes) { return file->write(bytes); };
    BackupWriter writer(sink, backup_codec(options));
    std::uint64_t resumed_bytes = 0;
    const BackupHeader header = backup_header();
    if (options.resume) {
        const auto interrupted = file->interrupted(header);
        if (!interrupted) return tl::unexpected(interrupted.error());
        if (*interrupted) {
            writer.resume((*interrupted)->position);
            resumed_bytes = (*interrupted)->position.file_bytes;
        }
    }
    if (resumed_bytes == 0) {
        if (auto emptied = file->begin_anew(); !emptied) return tl::unexpected(std::move(emptied.error()));
        if (auto begun = writer.begin(header); !begun) return tl::unexpected(std::move(begun.error()));
    }
    crash_point(CrashPoint::kBackupBegun);
    if (auto done = BackupRun(*this, writer, options.progress).run(); !done) {
        return tl::unexpected(std::move(done.error()));
    }
    crash_point(CrashPoint::kBackupWritten);
    if (auto named = file->publish(); !named) return tl::unexpected(std::move(named.error()));
    const BackupPosition& end = writer.position();
    return BackedUp{end.keys, end.records, end.payload_bytes, end.file_bytes, resumed_bytes};
}

}  // namespace shoal
