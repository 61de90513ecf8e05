// A chain, its segments and their frames, checked: chain/layout.hpp, segment/layout.hpp, segment/claim.hpp.
#pragma once

#include "chain/chain.hpp"
#include "verify/inspection.hpp"

namespace shoal {

// How whole an object has to be.
enum class State : std::uint8_t {
    kWhole,   // in the index
    kPartly,  // being made or being freed: what is missing is no damage
};

struct CheckedChain {
    bool readable = false;  // the rest holds only then
    std::uint64_t hash = 0;
    bool erased = false;
};

// `from`: the word that names the chain.
CheckedChain check_chain(Inspection& inspection, std::uint64_t chain, std::uint64_t from, Holder holder,
                         State state);

// One segment and its block; where its `next` leads, or 0 when it cannot be told.
struct CheckedSegment {
    bool readable = false;
    std::uint64_t next = 0;
    bool unclaimed = false;  // nothing has been claimed in it, nor can be there
    bool begins_with_record = false;
};
CheckedSegment check_segment(Inspection& inspection, std::uint64_t segment, std::uint64_t from, Holder holder,
                             State state);

}  // namespace shoal
