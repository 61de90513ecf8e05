// What of a value is in files: which parts are to be read, and what becomes of a part that could not be.
//
// Thread safety: every function. A crash leaves nothing.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>

#include "chain/chain.hpp"
#include "spill/load.hpp"

namespace shoal {

// A spilled segment's bytes, the chain's `ordinal`th from 0, as they are to be loaded; where to is not said yet.
[[nodiscard]] inline StoredPart stored_part(ByteView key, std::uint64_t generation, const SegmentExtent& extent,
                                            std::uint64_t ordinal) {
    StoredPart part;
    part.place = extent.block;
    part.generation = generation;
    part.first_segment = static_cast<std::uint32_t>(ordinal);
    part.segments = 1;
    part.key = key;
    part.bytes = extent.reserve.payload_bytes();
    return part;
}

// What a view has of a part that is loaded, behind `spans`: a span per record, or one, where boundaries do not
// matter or it is one large record; none for nothing then.
inline void add_spans(const StoredPart& part, bool each_record, std::vector<ByteView>& spans) {
    if (!each_record || is_in_parts(part)) {
        if (part.bytes != 0) spans.emplace_back(part.to, part.bytes);
        return;
    }
    std::uint64_t at = 0;
    for (const std::uint32_t length : part.lengths) {
        spans.emplace_back(part.to + at, length);
        at += length;
    }
}

// Whether a segment of the cut is stored at that place.
[[nodiscard]] inline bool names_place(const Mapping& mapping, const Cut& cut, std::uint64_t place) {
    bool named = false;
    static_cast<void>(each_segment(mapping, cut, [&](const Segment&, const SegmentExtent& extent) {
        named = extent.block == place;
        return !named;
    }));
    return named;
}

// After the parts, of one key, were loaded outside of every epoch. True: all are there. False: the key was erased,
// or segments of it were merged, and its value is to be read anew. `still_named`: whether the key's chain is the
// part's, and a segment of it is stored there. `read_again`: one part, from a file that is opened anew: the one
// that is open under that number may have been removed, and another made.
[[nodiscard]] Result<bool> check_loaded(ByteView key, std::span<StoredPart> stored,
                                        const std::function<Result<bool>(const StoredPart&)>& still_named,
                                        const std::function<void(StoredPart&)>& read_again);

}  // namespace shoal
