#include "verify/check_chain.hpp"

#include <fmt/format.h>
#include <shoal/store.hpp>

#include "spill/checkpoint_layout.hpp"
#include "store/hash.hpp"
#include "verify/check_spill.hpp"

namespace shoal {
namespace {

struct Frames {
    Reserve committed;
    std::uint64_t unfinished = 0;
    bool first_is_committed = false;
};

// Every header before `end` units, of which the block has that many. `at`: the block's offset.
Frames check_frames(Inspection& inspection, std::uint64_t at, std::uint64_t end) {
    Frames found;
    const AtomicWord* frames = frame_at(inspection.mapping(), at, 0);
    for (std::uint64_t unit = 0; unit < end;) {
        const std::uint64_t header =
            frames[unit].load(std::memory_order_acquire);  // pairs with write_claim and seal
        const std::uint64_t offset = at + unit * kUnitBytes;
        std::uint64_t units = 0;
        if (frame_state(header) == FrameState::kCommitted) {
            const std::uint64_t bytes = committed_bytes(header);
            if (bytes > (end - unit - 1) * kUnitBytes) {
                inspection.damage("claim I1", offset,
                                  fmt::format("a record of {} bytes reaches beyond what is claimed", bytes));
                return found;
            }
            units = frame_units(bytes);
            found.committed.units += units;
            found.committed.records += 1;
            found.committed.pad += pad_bytes(bytes);
            if (unit == 0) found.first_is_committed = true;
        } else if (header == 0) {
            units = find_header(frames, unit, end) - unit;
            if (units == 0) continue;  // its header came meanwhile
            found.unfinished += 1;
        } else {
            units = skipped_units(header);
            if (frame_state(header) == FrameState::kHole || units == 0) {
                inspection.damage("walk I2", offset, fmt::format("{:#x} is no frame's header", header));
                return found;
            }
            if (units > end - unit) {
                inspection.damage("claim I1", offset,
                                  fmt::format("a frame of {} units reaches beyond what is claimed", units));
                return found;
            }
            if (frame_state(header) == FrameState::kClaimed) found.unfinished += 1;
        }
        unit += units;
    }
    return found;
}

bool same_counts(const Reserve& one, const Reserve& other) noexcept {
    return one.records == other.records && one.payload_bytes() == other.payload_bytes();
}

void check_zero(Inspection& inspection, std::string_view invariant, std::uint64_t begin, std::uint64_t end,
                std::string_view what) {
    if (begin >= end) return;
    if (const std::byte* at = inspection.bytes().first_not_zero(begin, end - begin); at != nullptr) {
        const auto offset = static_cast<std::uint64_t>(at - inspection.mapping().at<std::byte>(0UL));
        inspection.damage(invariant, offset, std::string(what));
    }
}

struct Fields {  // read once
    std::uint64_t block, data_units, single_bytes, claimable_units, growth_bytes, reserve, sealed, next, spill;
};

bool has_shape(Inspection& inspection, std::uint64_t at, const Fields& fields) {
    const std::uint64_t bytes = fields.data_units * kUnitBytes;
    const bool shared = fields.single_bytes == 0 && fields.claimable_units == fields.data_units &&
                        fields.data_units <= kMaxSegmentUnits && Blocks::is_block_size(bytes);
    const bool single = fields.single_bytes != 0 && fields.claimable_units == 0 &&
                        fields.single_bytes < inspection.mapping().bytes() &&
                        fields.data_units == frame_units(fields.single_bytes);
    const bool merged = fields.single_bytes == 0 && fields.claimable_units == 0 && is_stored(fields.block) &&
                        fields.sealed > 1 && fields.sealed <= kMostOrdinals;
    if ((shared || single || merged) && fields.growth_bytes <= 2 * kMaxSegmentUnits * kUnitBytes) return true;
    inspection.damage(
        "segment I5", at,
        fmt::format("{} claimable and {} data units, {} bytes of one record, growth {}: no segment is "
                    "like that",
                    fields.claimable_units, fields.data_units, fields.single_bytes, fields.growth_bytes));
    return false;
}

void check_claims(Inspection& inspection, std::uint64_t at, const Fields& fields, const SegmentExtent& extent,
                  const Frames& frames) {
    if (extent.exact && frames.unfinished == 0 && !same_counts(frames.committed, extent.reserve)) {
        inspection.damage((fields.sealed & kSealedBit) != 0 ? "segment I4" : "claim I1", at,
                          fmt::format("counts {} records of {} bytes, and holds {} of {}", extent.reserve.records,
                                      extent.reserve.payload_bytes(), frames.committed.records,
                                      frames.committed.payload_bytes()));
    } else if (frames.committed.records > extent.reserve.records && extent.reserve.units != 0) {
        inspection.damage(
            "claim I1", at,
            fmt::format("counts {} records, and holds {}", extent.reserve.records, frames.committed.records));
    }
}

}  // namespace

CheckedSegment check_segment(Inspection& inspection, std::uint64_t at, std::uint64_t from, Holder holder,
                             State state) {
    CheckedSegment checked;
    const Reached reached = inspection.reach(at, sizeof(Segment), from, "a segment", holder);
    if (reached == Reached::kNever) return checked;
    if (reached == Reached::kAgain) {
        inspection.damage("blocks I3", from, fmt::format("names a segment at {:#x} that something else names", at));
        return checked;
    }
    const Segment& segment = *inspection.mapping().at<Segment>(at);
    // The end first: what is read afterwards is at least as new. acquire: as extent_of
    Fields fields{};
    fields.claimable_units = segment.claimable_units();
    fields.growth_bytes = snapshot(segment.growth_bytes);
    fields.data_units = snapshot(segment.data_units);
    fields.single_bytes = snapshot(segment.single_bytes);
    const SegmentExtent extent = extent_of(segment);
    fields.block = extent.block;
    fields.spill = segment.spill.load(std::memory_order_relaxed);  // relaxed: of what is stored, as extent_of
    fields.sealed = segment.sealed.load(std::memory_order_acquire);
    fields.next = segment.next.load(std::memory_order_acquire);
    fields.reserve = segment.reserve.load(std::memory_order_acquire);  // last: closed once, closed for ever
    checked.readable = true;
    checked.next = fields.next;
    if (state == State::kPartly && fields.block == 0) return checked;  // not yet, or no longer
    if (!has_shape(inspection, at, fields)) return checked;
    const bool closed = reserved_units(fields.reserve) > fields.claimable_units;
    const SpillWords spill{at, fields.block, fields.spill, fields.data_units, fields.single_bytes, closed};
    checked.unclaimed = fields.single_bytes != 0 || reserved_units(fields.reserve) == 0;
    if (extent.stored()) {
        const SpilledCounts counts = check_stored(inspection, spill);
        checked.begins_with_record = counts.records != 0;
        if (state == State::kPartly) return checked;
        VerifyReport& report = inspection.report();
        report.segments += 1;
        report.records += counts.records;
        report.payload_bytes += counts.payload_bytes;
        report.spilled_segments += 1;
        report.spilled_bytes += counts.payload_bytes;
        return checked;
    }
    check_in_hand(inspection, spill);
    const Reached block = inspection.reach(fields.block, fields.data_units * kUnitBytes,
                                           at + offsetof(Segment, block), "a segment's block", holder);
    if (block == Reached::kNever) return checked;
    if (block == Reached::kAgain) {
        inspection.damage("blocks I3", at + offsetof(Segment, block),
                          fmt::format("names a block at {:#x} that something else names", fields.block));
        return checked;
    }
    if (state == State::kPartly) return checked;

    if (fields.next != 0 && !closed) {
        inspection.damage(
            "segment I2", at + offsetof(Segment, next),
            "next is set, and the segment is not closed: it takes records that no reader finds in order");
    }
    const bool sealed = (fields.sealed & kSealedBit) != 0;
    if (fields.sealed != 0 && (!sealed || !closed || reserved_units(fields.sealed) > fields.claimable_units)) {
        inspection.damage("segment I4", at + offsetof(Segment, sealed),
                          fmt::format("sealed at {} of {} units, {}", reserved_units(fields.sealed),
                                      fields.claimable_units, closed ? "closed" : "and not closed"));
        return checked;
    }
    const std::uint64_t end =
        std::min(extent.units, fields.data_units);  // it may have changed since the look above
    const Frames frames = check_frames(inspection, fields.block, end);
    checked.begins_with_record = frames.first_is_committed;
    if (fields.single_bytes == 0) check_claims(inspection, at, fields, extent, frames);
    if (fields.single_bytes != 0 &&
        (frames.committed.records != 1 || frames.committed.payload_bytes() != fields.single_bytes)) {
        inspection.damage(
            "segment I5", at,
            fmt::format("is of one record of {} bytes, which its block does not hold", fields.single_bytes));
    }
    VerifyReport& report = inspection.report();
    report.segments += 1;
    report.records += frames.committed.records;
    report.payload_bytes += frames.committed.records == 0 ? 0 : frames.committed.payload_bytes();
    report.unfinished_frames += frames.unfinished;
    if (inspection.at_rest()) {
        // Behind the end stands the padding of who closed it, or nothing.
        const bool padded = sealed && end < fields.claimable_units;
        check_zero(inspection, "segment I3", fields.block + (end + (padded ? 1 : 0)) * kUnitBytes,
                   fields.block + fields.data_units * kUnitBytes, "is behind what was claimed, and not zero");
    }
    return checked;
}

namespace {

void check_generation(Inspection& inspection, std::uint64_t at, const Chain& chain, State state) {
    if (state == State::kPartly) return;  // it may have none yet
    const ArenaHeader& header = inspection.header();
    // acquire: pairs with give_generation, of a chain that was linked without one
    const std::uint64_t generation = generation_of(chain.identity.load(std::memory_order_acquire));
    // relaxed: handed out before the chain was linked, or before that
    const std::uint64_t handed_out = header.generations.load(std::memory_order_relaxed);
    const bool spills = snapshot(header.spill_files_at) != 0;
    const bool all_are = handed_out >= 1ULL << kGenerationBits;  // they have begun anew
    if ((generation != 0 || !spills) && (generation <= handed_out || all_are)) return;
    inspection.damage(
        "chain I6", at + offsetof(Chain, identity),
        fmt::format("generation {} of {}, in a store that spills{}", generation, handed_out, spills ? "" : " not"));
}

}  // namespace

CheckedChain check_chain(Inspection& inspection, std::uint64_t at, std::uint64_t from, Holder holder, State state) {
    CheckedChain checked;
    if (!inspection.readable(at, sizeof(Chain), from, "a chain")) return checked;
    const Mapping& mapping = inspection.mapping();
    const Chain& chain = *mapping.at<Chain>(at);
    const std::uint64_t key_bytes = snapshot(chain.key_bytes);
    if (key_bytes > kMaxKeyBytes) {
        inspection.damage("chain I5", at + offsetof(Chain, key_bytes), fmt::format("a key of {} bytes", key_bytes));
        return checked;
    }
    const Reached reached = inspection.reach(at, Chain::bytes_for(key_bytes), from, "a chain", holder);
    if (reached == Reached::kNever) return checked;
    if (reached == Reached::kAgain) {
        inspection.damage("blocks I3", from, fmt::format("names a chain at {:#x} that something else names", at));
        return checked;
    }
    checked.readable = true;
    checked.hash = snapshot(chain.hash);
    if (state == State::kWhole &&
        checked.hash != hash_key(ByteView(chain.key_data(), key_bytes), snapshot(inspection.header().hash_seed))) {
        inspection.damage("chain I5", at + offsetof(Chain, hash), "the hash is not that of the key");
    }
    check_generation(inspection, at, chain, state);
    // acquire, all: pair with who linked; the tail first: what it names is linked by then
    const std::uint64_t tail = chain.tail.load(std::memory_order_acquire);
    std::uint64_t segment = snapshot(chain.root);
    std::uint64_t named_by = at + offsetof(Chain, root);
    bool seen_tail = false;
    std::uint64_t behind_tail = 0;
    inspection.last_place = 0;
    VerifyReport& report = inspection.report();
    const std::uint64_t records = report.records;
    const std::uint64_t payload_bytes = report.payload_bytes;
    const std::uint64_t spilled_bytes = report.spilled_bytes;
    if (segment == 0 && state == State::kPartly) return checked;
    std::uint64_t steps = 0;
    std::uint64_t anchor = 0;  // a segment of before, ever further apart (Brent): beside others nothing is marked
    for (bool first = true;; first = false) {
        if (!inspection.spend()) {
            inspection.not_checked("the rest of the index: it changes faster than it can be read");
            return checked;
        }
        const CheckedSegment now = check_segment(inspection, segment, named_by, holder, state);
        if (!now.readable) return checked;
        if (state == State::kWhole && first && !now.begins_with_record) {
            inspection.damage("chain I1", segment,
                              "the first segment of a key does not begin with a committed record");
        }
        if (seen_tail && (++behind_tail > 1 || !now.unclaimed) && state == State::kWhole) {
            inspection.damage("chain I3", segment,
                              "has been claimed from, though the tail of its chain does not name it yet");
        }
        seen_tail |= segment == tail;
        if (now.next == 0) break;
        if (is_erased(now.next)) {
            const std::uint64_t slot_number = now.next >> 8 & 0xff'ffff;
            if ((now.next & 0xfe) != 0 || slot_number >= kSlots) {
                inspection.damage("chain I4", segment + offsetof(Segment, next),
                                  fmt::format("{:#x} is no mark of an erase", now.next));
            }
            checked.erased = true;
            break;
        }
        if (seen_tail && !inspection.at_rest()) break;  // what comes behind may just be coming
        named_by = segment + offsetof(Segment, next);
        ++steps;
        if ((steps & (steps - 1)) == 0) anchor = segment;
        segment = now.next;
        if (segment == anchor) {
            inspection.damage("chain I2", named_by,
                              fmt::format("the segments run in a circle, by way of {:#x}", segment));
            return checked;
        }
    }
    if (!seen_tail && state == State::kWhole) {
        inspection.damage("chain I2", at + offsetof(Chain, tail),
                          fmt::format("the tail {:#x} is none of the chain's segments", tail));
    }
    if (holder != Holder::kIndex || state != State::kWhole || checked.erased) {
        report.records = records;
        report.payload_bytes = payload_bytes;
        report.spilled_bytes = spilled_bytes;
    }
    if (holder == Holder::kIndex) (checked.erased ? report.erased_keys : report.keys) += 1;
    return checked;
}

}  // namespace shoal
