// Claim, commit, close: how a record gets into a segment. After Aeron's log buffers (claim, commit, unblock).
//
//   claim    fetch_add on the reserve word: the frame's place, its record's number, the order of the key's value;
//            a compare-and-exchange for slots from kAddingSlots on, of which so many at once would overflow the
//            word
//   say so   store the claimed header, before any byte of payload
//   copy     plain stores, nobody reads them yet
//   commit   store the committed header with release
//
// The one whose claim crosses the end closes the segment: it writes padding over what is left and the sealed word.
//
// Thread safety: any number of processes on one segment. Wait-free for the first kAddingSlots slots, but for
// close(); lock-free for the others.
// A crash before the claimed header leaves a hole, one after it a claimed frame, one while closing a hole at the
// end and no sealed word: readers pass all three (segment/walk.hpp).
// Invariants: I1 claims do not overlap and lie below claimable_units;
//             I2 the first word of a claim's payload is stored after its claimed header;
//             I3 a committed header is stored after the whole of its payload.
#pragma once

#include <cstdint>
#include <span>

#include <shoal/bytes.hpp>

#include "arena/bytes.hpp"
#include "arena/crash_point.hpp"
#include "arena/location.hpp"
#include "arena/mapping.hpp"
#include "segment/layout.hpp"
#include "segment/reserve.hpp"
#include "segment/watch.hpp"

namespace shoal {

// One record in pieces, or up to kMaxClaimRecords records of one piece each, to be claimed together.
struct Payload {
    std::span<const ByteView> pieces;
    bool one_record;      // the pieces form one record
    std::uint64_t bytes;  // of all pieces
    Reserve claim;        // what the frames take

    [[nodiscard]] static Payload record(std::span<const ByteView> pieces) noexcept {
        std::uint64_t bytes = 0;
        for (const ByteView piece : pieces) bytes += piece.size();
        return {pieces, true, bytes, {frame_units(bytes), 1, pad_bytes(bytes)}};
    }
    [[nodiscard]] static Payload records(std::span<const ByteView> records) noexcept {
        Payload payload{records, false, 0, {}};
        for (const ByteView piece : records) {
            payload.bytes += piece.size();
            payload.claim.units += frame_units(piece.size());
            payload.claim.records += 1;
            payload.claim.pad += pad_bytes(piece.size());
        }
        return payload;
    }
};

[[nodiscard]] inline AtomicWord* frame_at(const Mapping& mapping, std::uint64_t block,
                                          std::uint64_t unit) noexcept {
    return mapping.at<AtomicWord>(block + unit * kUnitBytes);
}

inline void copy_pieces(std::byte* to, std::span<const ByteView> pieces) noexcept {
    for (const ByteView piece : pieces) {
        copy_bytes(to, piece.data(), piece.size());
        to += piece.size();
        crash_point(CrashPoint::kClaimCopying);
    }
}

inline constexpr std::uint64_t kNonTemporalBytes = 8 * 1024;  // below, no memcpy that we know of uses such stores

// Fills a claim and commits it. `claimed` is the claimed header that names the writer, or 0 where nobody can see
// the segment yet.
inline void write_claim(AtomicWord* first, const Payload& payload, std::uint64_t claimed) noexcept {
    if (claimed != 0) {
        // The fence orders the header before the payload (I2): a reader that sees a payload word in a scan, and
        // looks again after its acquire fence, sees this header (segment/walk.hpp).
        first->store(claimed, std::memory_order_relaxed);
        // On x86 that is no instruction, and a long memcpy may use non-temporal stores, which need one.
        thread_fence(std::memory_order_release);
        if (payload.bytes >= kNonTemporalBytes) thread_fence(std::memory_order_seq_cst);
        crash_point(CrashPoint::kClaimSaid);
    }
    if (payload.one_record) {
        copy_pieces(reinterpret_cast<std::byte*>(first + 1), payload.pieces);
        crash_point(CrashPoint::kClaimCopied);
        // release: pairs with the acquire in walk(): who sees it committed sees the payload (I3)
        first->store(committed_header(payload.bytes), std::memory_order_release);
        return;
    }
    AtomicWord* frame = first;
    for (const ByteView record : payload.pieces) {
        copy_bytes(reinterpret_cast<std::byte*>(frame + 1), record.data(), record.size());
        // relaxed: reached only by way of the first header, whose release comes after
        if (frame != first) frame->store(committed_header(record.size()), std::memory_order_relaxed);
        frame += frame_units(record.size());
        crash_point(CrashPoint::kClaimCopying);
    }
    crash_point(CrashPoint::kClaimCopied);
    // release: as above, for every frame of the claim at once
    first->store(committed_header(payload.pieces.front().size()), std::memory_order_release);
}

// What the one that crossed the end does, given the reserve word before its claim.
inline void seal(const Mapping& mapping, Segment& segment, std::uint64_t before) noexcept {
    const std::uint64_t end = reserved_units(before);
    crash_point(CrashPoint::kSealBegun);
    if (end < segment.claimable_units()) {
        // relaxed: where it is in the arena, that is since before we could claim. It may be spilled already, by who
        // took us for dead or found nothing missing; else it stays as long as we are in our epoch.
        const std::uint64_t block = segment.block.load(std::memory_order_relaxed);
        // release: pairs with walk()
        if (!is_stored(block)) {
            frame_at(mapping, block, end)
                ->store(padding_header(segment.claimable_units() - end), std::memory_order_release);
        }
    }
    crash_point(CrashPoint::kSealPadded);
    segment.sealed.store(before | kSealedBit, std::memory_order_release);  // pairs with extent_of()
}

enum class ClaimOutcome { kWritten, kClosed };

// Adds the claim to the word, which was `seen`; returns the word before, which is that of a closed segment where
// nothing was added. seq_cst: see claim_and_write.
[[nodiscard, gnu::noinline]] inline std::uint64_t add_unless_closed(Segment& segment, std::uint64_t seen,
                                                                    std::uint64_t claim) noexcept {
    while (reserved_units(seen) <= segment.claimable_units()) {  // a failed turn: another claimed
        if (segment.reserve.compare_exchange_weak(seen, seen + claim, std::memory_order_seq_cst,
                                                  std::memory_order_acquire)) {
            break;
        }
    }
    return seen;
}

// One try to put the payload into this segment. kClosed: it is closed now, by this claim or before. `hash`: of the
// key, read only where the segment is watched.
[[nodiscard]] inline ClaimOutcome claim_and_write(const Mapping& mapping, Segment& segment,
                                                  ArenaOffset segment_offset, const Payload& payload, Slot& slot,
                                                  std::uint32_t slot_number, const std::uint64_t& hash) noexcept {
    // A filter that keeps a closed segment's word from growing; the fetch_add decides. acquire: who goes on to the
    // next segment comes after every claim in this one (closed cut)
    const std::uint64_t seen = segment.reserve.load(std::memory_order_acquire);
    // relaxed: the look behind the claim decides
    if (!may_claim(reserved_units(seen), segment.claimable.load(std::memory_order_relaxed))) [[unlikely]] {
        if (reserved_units(seen) > segment.claimable_units()) return ClaimOutcome::kClosed;
        stop_watching(mapping, segment, hash);
    }
    // From here on this slot may own a hole in the segment; the fetch_add comes after it for everyone. release: who
    // sees us here, and no longer in another segment, sees what we committed there (Slots::anyone_writes_to)
    slot.segment.store(raw(segment_offset), std::memory_order_release);
    crash_point(CrashPoint::kClaimNamed);
    // release: everything acknowledged before this claim is seen by a reader whose cut holds it (closed cut);
    // acquire: pairs with the same; seq_cst: orders slot.segment before the claim for whoever judges a hole.
    const std::uint64_t before = slot_number < kAddingSlots
                                     ? segment.reserve.fetch_add(pack(payload.claim), std::memory_order_seq_cst)
                                     : add_unless_closed(segment, seen, pack(payload.claim));
    const std::uint64_t at = reserved_units(before);
    // seq_cst: the claim comes before this look; pairs with watch(), and with stop_watching: who finds the segment
    // not watched comes after the change that was said
    const std::uint32_t claimable = segment.claimable.load(std::memory_order_seq_cst);
    if (!may_claim(at + payload.claim.units, claimable)) [[unlikely]] {
        if ((claimable & kWatchedBit) != 0) stop_watching(mapping, segment, hash);
        const std::uint32_t units = claimable & ~kWatchedBit;
        if (at + payload.claim.units > units) {
            if (at <= units) seal(mapping, segment, before);
            crash_point(CrashPoint::kSealWritten);
            slot.segment.store(0, std::memory_order_release);  // pairs with the acquire of whoever judges a hole
            return ClaimOutcome::kClosed;
        }
    }
    crash_point(CrashPoint::kClaimAdded);
    AtomicWord* first =
        // relaxed: nobody spills it while our claim is open (segment/hand_over.hpp)
        frame_at(mapping, segment.block.load(std::memory_order_relaxed), at);
    // relaxed: our own slot's word
    write_claim(first, payload,
                claimed_header(payload.claim.units, slot_number, slot.generation.load(std::memory_order_relaxed)));
    crash_point(CrashPoint::kClaimCommitted);
    slot.segment.store(0, std::memory_order_release);  // as above
    return ClaimOutcome::kWritten;
}

// Closes the segment if it is open, so that something other than one more claim can follow it.
inline void close(const Mapping& mapping, Segment& segment) noexcept {
    std::uint64_t word = segment.reserve.load(std::memory_order_acquire);  // as in claim_and_write
    while (reserved_units(word) <= segment.claimable_units()) {            // a failed turn: another claimed
        const std::uint64_t closed = word + segment.claimable_units() + 1;
        if (segment.reserve.compare_exchange_weak(word, closed, std::memory_order_acq_rel,
                                                  std::memory_order_acquire)) {
            seal(mapping, segment, word);
            return;
        }
    }
}

}  // namespace shoal
